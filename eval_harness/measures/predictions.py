"""The group influence of every subset on every target, as two matrix products.

`airrep.pooling` states the formula. With e_i = exp(τ|s_i| - r), r the target's largest logit so
far, and the subsets as rows of an indicator matrix X, it is X(e·s) / X(e): the sums of all subsets
at once. They run over blocks of the pool; where a block raises r, the sums are rescaled.

A subset with no row anywhere near r loses its sums to underflow. Such pairs of a subset and a
target are found by their denominator and computed again, each from its own largest logit.

Shapes: S subsets, T targets, N pool rows. Memory: one block of scores (T, BLOCK) and its mask,
8·BLOCK·(S + 3·_TARGETS) + 32·S·T bytes, and 32 bytes for each member of each subset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError, EmbeddingError
from airrep.pooling import GROUP_POOLINGS, GroupPooling
from selection.scores import BLOCK, Scores, check_scale

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
AnyScores = npt.NDArray[np.floating] | Scores
Subsets = Sequence[npt.ArrayLike]
# The evaluation script of AirRep's authors takes the softmax of scale · s, not of scale · |s|.
LdsPooling = GroupPooling | Literal["signed_attention"]
LDS_POOLINGS = (*GROUP_POOLINGS, "signed_attention")

_TARGETS = 64  # at once: 4 MiB arrays
_SAFE = 1e-200  # a denominator above it has every weight that counts at full precision
_BITS = 40  # of a prediction; float32 scores have 24


def group_predictions(
    scores: AnyScores,
    subsets: Subsets,
    pooling: LdsPooling = "attention",
    scale: float | None = None,
) -> Float64:
    """f(x, S) of every subset S and target x.

    Subsets whose true values are equal should tie when they are ranked, so values are rounded to 40
    significant bits (5e-13): sums differ in the last bits with the place where a subset stands.

    Args:
        scores: (T, N), larger = lowers the target's loss more.
        subsets: S arrays of distinct pool positions; they may differ in size.
        pooling: "attention" (softmax of scale · |s|), "signed_attention" (softmax of scale · s), or
            the plain "sum" or "mean" of the scores.
        scale: Inverse temperature of the attention; None: the `Scores`'s own, or 1.

    Returns:
        (S, T) float64, in units of the scores.

    Raises:
        ArgumentError: A subset that is empty, repeats a row or reaches beyond the pool; a scale or
            a pooling that does not exist.
        EmbeddingError: Scores that are not (T, N), or NaN or infinite somewhere.

    Example:
        >>> group_predictions(np.array([[1.0, 2.0, 4.0]]), [[0, 1], [2]], "mean")
        array([[1.5],
               [4. ]])
    """
    check_pooling(pooling)
    if not isinstance(scores, Scores):
        scores = np.asarray(scores)
        if scores.ndim != 2 or not scores.size:
            raise EmbeddingError(f"scores: expected (targets, pool), found shape {scores.shape}.")
    temperature = attention_scale(scores, scale) if pooling.endswith("attention") else 0.0
    signed = pooling == "signed_attention"
    members = _Members.read(subsets, scores.shape[1])
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):  # found by who ranks them
        numerator, denominator = _sums(scores, members, temperature, signed=signed)
        lost = denominator < _SAFE
        numerator[~lost] /= denominator[~lost]
        if lost.any():
            numerator[lost] = _exact(scores, members, temperature, lost, signed=signed)
        if pooling == "sum":
            numerator *= members.sizes[:, None]
    return _rounded(numerator)


def check_pooling(pooling: str) -> None:
    """Refuse a pooling that does not exist.

    Raises:
        ArgumentError: It is unknown.

    Example:
        >>> check_pooling("signed_attention")
    """
    if pooling not in LDS_POOLINGS:
        raise ArgumentError(
            f"pooling {pooling!r} is unknown; choose from {', '.join(LDS_POOLINGS)}."
        )


def attention_scale(scores: AnyScores, scale: float | None) -> float:
    """The scale that counts: the one given, else the scores' own, else 1.

    Example:
        >>> from selection import DenseScores
        >>> attention_scale(DenseScores(np.ones((1, 2)), scale=5.0), None)
        5.0
    """
    check_scale(scale)
    if scale is not None:
        return float(scale)
    return float(scores.scale) if isinstance(scores, Scores) else 1.0


@dataclass(frozen=True)
class _Members:
    """Who is in which subset, by pool position."""

    rows: Int64  # (M,) pool positions of all subsets together, ascending
    owners: Int64  # (M,) the subset of each
    sizes: Int64  # (S,) rows in each subset

    @classmethod
    def read(cls, subsets: Subsets, pool: int) -> _Members:
        checked = [_checked(subset, number, pool) for number, subset in enumerate(subsets)]
        if not checked:
            raise ArgumentError("no subsets: give at least one array of pool positions.")
        sizes = np.array([len(rows) for rows in checked], dtype=np.int64)
        rows = np.concatenate(checked)
        owners = np.repeat(np.arange(len(checked)), sizes)
        order = np.argsort(rows, kind="stable")
        return cls(rows[order], owners[order], sizes)

    def between(self, start: int, stop: int) -> tuple[Int64, Int64]:
        """Rows from `start` to `stop`, counted from `start`, and their subsets."""
        low, high = np.searchsorted(self.rows, (start, stop))
        return self.rows[low:high] - start, self.owners[low:high]


def _checked(subset: npt.ArrayLike, number: int, pool: int) -> Int64:
    rows = np.asarray(subset)
    where = f"subset {number} (counting from 0)"
    if rows.size == 0:
        raise ArgumentError(f"{where} is empty; leave it out, and its losses too.")
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ArgumentError(
            f"{where}: expected a list of integer pool positions, found {rows.dtype} of shape "
            f"{rows.shape}; np.flatnonzero makes positions of a mask."
        )
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= pool:
        wrong = low if low < 0 else high
        raise ArgumentError(f"{where} holds row {wrong}; the pool's rows are 0 to {pool - 1}.")
    ordered = np.sort(rows).astype(np.int64)
    again = ordered[1:] == ordered[:-1]
    if again.any():
        raise ArgumentError(f"{where} holds row {ordered[1:][again][0]} more than once.")
    return ordered


def _blocks(scores: AnyScores) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
    """(first column, scores (T, up to BLOCK)), known to be finite."""
    for start in range(0, scores.shape[1], BLOCK):
        stop = min(start + BLOCK, scores.shape[1])
        block = scores.block(start, stop) if isinstance(scores, Scores) else scores[:, start:stop]
        finite = np.isfinite(block)
        if not finite.all():
            target, row = np.argwhere(~finite)[0]
            raise EmbeddingError(
                f"the score of target {target} and pool row {start + row} (counting from 0) is "
                f"{block[target, row]}; its embedding is broken. Re-encode it, or leave it out."
            )
        yield start, block


def _sums(
    scores: AnyScores, members: _Members, scale: float, *, signed: bool
) -> tuple[Float64, Float64]:
    """Σ e·s and Σ e of every subset and target, (S, T) each."""
    shape = len(members.sizes), scores.shape[0]
    numerator, denominator = np.zeros(shape), np.zeros(shape)
    largest = np.full(shape[1], -np.inf)
    for start, block in _blocks(scores):
        rows, owners = members.between(start, start + block.shape[1])
        used, place = np.unique(rows, return_inverse=True)
        if not used.size:
            continue
        # To pick more than half of the columns would cost more than to take them all.
        counted, columns = (
            (block[:, used], place) if 2 * len(used) < block.shape[1] else (block, rows)
        )
        indicator = np.zeros((shape[0], counted.shape[1]))
        indicator[owners, columns] = 1.0
        for first in range(0, shape[1], _TARGETS):
            tile = slice(first, first + _TARGETS)
            values = counted[tile].astype(np.float64)
            if scale == 0:  # e = 1, and Σ e is the size of the subset
                numerator[:, tile] += indicator @ values.T
                continue
            weights = scale * (values if signed else np.abs(values))
            top = np.maximum(largest[tile], weights.max(axis=1))
            rescale = np.exp(largest[tile] - top)  # 0 at first
            largest[tile] = top
            weights -= top[:, None]
            np.exp(weights, out=weights)
            values *= weights
            for total, part in ((numerator, values), (denominator, weights)):
                total[:, tile] *= rescale
                total[:, tile] += indicator @ part.T
    if scale == 0:
        denominator[:] = members.sizes[:, None]
    return numerator, denominator


def _exact(
    scores: AnyScores,
    members: _Members,
    scale: float,
    wanted: npt.NDArray[np.bool_],
    *,
    signed: bool,
) -> Float64:
    """Influence of the wanted pairs (S, T), in the mask's order, each by its own largest logit."""
    largest = np.full(wanted.shape, -np.inf)
    numerator, denominator = np.zeros(wanted.shape), np.zeros(wanted.shape)
    for start, block in _blocks(scores):
        rows, owners = members.between(start, start + block.shape[1])
        for subset in np.flatnonzero(wanted.any(axis=1)):
            inside = rows[owners == subset]
            if not inside.size:
                continue
            targets = np.flatnonzero(wanted[subset])
            values = block[np.ix_(targets, inside)].astype(np.float64)
            logits = scale * (values if signed else np.abs(values))
            top = np.maximum(largest[subset, targets], logits.max(axis=1))
            rescale = np.exp(largest[subset, targets] - top)
            weights = np.exp(logits - top[:, None])
            largest[subset, targets] = top
            for total, part in ((numerator, weights * values), (denominator, weights)):
                total[subset, targets] = total[subset, targets] * rescale + part.sum(axis=1)
    return numerator[wanted] / denominator[wanted]


def _rounded(values: Float64) -> Float64:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, _BITS)), exponent - _BITS)
