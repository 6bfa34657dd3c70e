"""The training objective: rank subsets by how much training on them lowered a target's loss.

The objective of AirRep (Sun et al. 2025, arXiv 2505.18513): predict a subset's influence on a
target as group influence, and compare every two subsets of one target by a logistic loss, weighted
by how far apart their measured effects are.

Shapes: S subsets, R repeats of each, E examples measured, T targets (those of a step), N pool rows
(the rows of a step's subsets), D embedding size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from airrep.console.wording import counted, shown
from airrep.errors import ArgumentError, SupervisionError
from airrep.pooling import GroupPooling, group_influence
from airrep.training.config import Weighting

LARGEST_LABEL = 10.0
_PAIRS_AT_ONCE = 1 << 22  # pairs of subsets compared at once: 16 MiB of float32 a temporary
_ROUNDING = 1e-12  # of a loss: a mean over repeats in another order differs by less


def influence_labels(losses: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """How much better than the others each subset was for an example: (mean - loss) / std.

    Larger means that training on the subset lowered the example's loss more. Losses are averaged
    over repeats first; mean and (population) standard deviation are over the subsets.

    Args:
        losses: (S, R, E) nats.

    Returns:
        (S, E), within ±10; 0 for examples that no subset changed.

    Raises:
        ArgumentError: The shape is another, or there are fewer than two subsets.
        SupervisionError: A loss is NaN or infinite.
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 3 or len(values) < 2 or values.shape[1] < 1:
        raise ArgumentError(
            "losses: expected (subsets, repeats, examples) with 2 subsets or more, found "
            f"{values.shape}."
        )
    broken = np.argwhere(~np.isfinite(values))
    if broken.size:
        subset, repeat, example = broken[0].tolist()
        raise SupervisionError(
            f"{len(broken)} of {counted(values.size, 'loss', 'losses')} are NaN or infinite, the "
            f"first is example {example} after subset {subset}, repeat {repeat}; record that run "
            "again."
        )
    means = values.mean(axis=1)  # (S, E)
    gains, deviation = means.mean(axis=0) - means, means.std(axis=0)
    varies = deviation > _ROUNDING * np.abs(means).max(axis=0)
    labels = np.divide(gains, deviation, out=np.zeros_like(gains), where=varies)
    return np.clip(labels, -LARGEST_LABEL, LARGEST_LABEL).astype(np.float32)


def group_scores(
    targets: torch.Tensor,
    pool: torch.Tensor,
    subsets: Sequence[torch.Tensor | npt.NDArray[Any]],
    *,
    pooling: GroupPooling = "attention",
    scale: float = 1.0,
) -> torch.Tensor:
    """Predicted influence of each subset on each target, differentiable in both embeddings.

    Args:
        targets: (T, D) embeddings.
        pool: (N, D) embeddings.
        subsets: S arrays of pool positions; they may overlap and differ in size.
        pooling: See `group_influence`.
        scale: See `group_influence`.

    Returns:
        (S, T).

    Raises:
        ArgumentError: There is no subset, one is no list of pool positions, or `pooling` is
            unknown.
    """
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    arrays = [_positions(subset, i, len(pool)) for i, subset in enumerate(subsets)]
    if not arrays:
        raise ArgumentError("subsets: expected at least one.")
    for i, array in enumerate(arrays):
        by_size[len(array)].append(i)
    scores = targets @ pool.T  # (T, N)
    pooled = []
    for size, members in by_size.items():
        rows = torch.from_numpy(np.concatenate([arrays[i] for i in members])).to(pool.device)
        gathered = scores.index_select(1, rows).view(len(targets), len(members), size)
        pooled.append(group_influence(gathered, pooling=pooling, scale=scale))
    back = np.argsort([i for members in by_size.values() for i in members])
    return torch.cat(pooled, dim=1).T.index_select(0, torch.from_numpy(back).to(pool.device))


def pairwise_loss(
    predicted: torch.Tensor,
    labels: torch.Tensor,
    *,
    weighting: Weighting = "difference",
    least: float = 0.1,
    most: float = 5.0,
) -> torch.Tensor:
    """Weighted mean of softplus(-(p_i - p_j)) over a target's subsets i labeled better than j.

    Pairs closer than `least` are left out as noise, the weights of the others are capped at `most`.
    (The paper clips weights to [0.1, 5], its code to [0, 10].) The mean is over the pairs of all
    targets together. Targets are compared a few at a time, and again in the backward pass, so that
    memory beyond the (S, T) values does not grow with T.

    Args:
        predicted: (S, T) predicted influence, float32 or float64.
        labels: (S, T) measured influence, from `influence_labels`; constants.
        weighting: A pair weighs its "difference" in labels, or "none": all weigh the same.
        least: Pairs count whose labels differ by more.
        most: The largest weight.

    Returns:
        A scalar; 0 if no pair counts.

    Raises:
        ArgumentError: Shapes do not agree, `weighting` is unknown, or not 0 <= least < most.
    """
    if predicted.ndim != 2 or predicted.shape != labels.shape:
        raise ArgumentError(
            "expected predictions and labels of one shape (subsets, targets), found "
            f"{tuple(predicted.shape)} and {tuple(labels.shape)}."
        )
    if weighting not in get_args(Weighting):
        raise ArgumentError(f"weighting {weighting!r} is unknown; choose difference or none.")
    if not 0 <= least < most:
        raise ArgumentError(f"expected 0 <= least < most, found {least} and {most}.")

    def sums(p: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted losses and weights of each target, from (t, S) predictions and labels."""
        difference = y[:, :, None] - y[:, None, :]  # (t, S, S), i before j
        counts = difference > least
        weights = difference.clamp(max=most) if weighting == "difference" else 1.0
        weights = torch.where(counts, weights, 0.0).to(p.dtype)
        # logsigmoid(x) is -softplus(-x) without softplus's jump at 20, which float64 would see
        losses = -functional.logsigmoid(p[:, :, None] - p[:, None, :])
        return (weights * losses).sum(dim=(1, 2)), weights.sum(dim=(1, 2))

    p, y = predicted.T, labels.detach().to(predicted).T
    step = max(1, _PAIRS_AT_ONCE // max(len(predicted) ** 2, 1))
    parts = [
        checkpoint(
            sums,
            p[start : start + step],
            y[start : start + step],
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for start in range(0, max(len(p), 1), step)
    ]
    losses, weights = (torch.cat(part).sum() for part in zip(*parts, strict=True))
    return losses / torch.where(weights > 0, weights, torch.ones_like(weights))


def _positions(
    subset: torch.Tensor | npt.NDArray[Any], number: int, rows: int
) -> npt.NDArray[np.int64]:
    array = np.asarray(subset.cpu() if isinstance(subset, torch.Tensor) else subset)
    integers = array.size == 0 or np.issubdtype(array.dtype, np.integer)
    if (
        array.ndim != 1
        or not integers
        or (array.size and not 0 <= array.min() <= array.max() < rows)
    ):
        raise ArgumentError(
            f"subset {number}: expected positions in a pool of {counted(rows, 'row')}, found "
            f"{array.dtype} of shape {array.shape}, {shown(array, 60)}."
        )
    return array.astype(np.int64)
