"""Inner products of gradients, of the language model that will be fine-tuned.

One step of gradient descent on row z changes the loss of target x by −η ⟨g_x, g_z⟩ + O(η²): a
positive inner product means that training on the row lowers the target's loss (TracIn: Pruthi et
al. 2020; LESS, Xia et al. 2024, takes cosines, because short examples have long gradients). At an
optimum, giving row z more weight changes the loss by −g_xᵀ H⁻¹ g_z (influence functions: Koh and
Liang 2017). LoGra (Choe et al. 2024, arXiv 2405.13954) makes that affordable: projected gradients,
and the Fisher matrix of each layer in place of H. Dividing by a row's own length in that metric is
ℓ-RelatIF (Barshan et al. 2020): rows that fit badly everywhere do not come first everywhere.

Approximations: projections, layers taken as independent, the empirical Fisher matrix of the pool
(outer products of the gradients of examples' mean losses), damping, and plain gradients where the
fine-tuning may use Adam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import torch

from airrep.errors import ArgumentError
from airrep.gradients.features import gradient_features
from airrep.gradients.random_projections import (
    FEATURES,
    Modules,
    ProjectedLayer,
    projected_layers,
    rank_within,
)
from airrep.gradients.reductions import TwoSided
from airrep.gradients.stored import GradientEncoder
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import check_options
from airrep.records import Example
from airrep.store import EmbeddingStore, StoredEmbeddings
from selection.features import KnownFeatures, check_given, features_of
from selection.scorers.base import described, read_by_model
from selection.scores import DenseScores, EmbeddingScores, Scores

Preconditioner = Literal["fisher", "none"]
Normalize = Literal["none", "pool", "both"]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_COSINE_SCALE = 5.0
_BYTES_AT_ONCE = 1 << 30  # of features from a store, while scores are made
_BYTES_READ = 1 << 26
# Ranks at which the models of docs/results.md lose little; with a Fisher matrix, which has to be
# estimated and inverted, the smaller one is enough.
_RANKS: dict[str, int] = {"fisher": 32, "none": 64}


@dataclass(frozen=True)
class GradientScorer:
    """Influence by projected gradients, ⟨u_x, u_z⟩ with u = g or u = (F + λI)^(-1/2) g.

    Attributes:
        model: The model to be fine-tuned, as it is before that.
        rank: Rank of each side's projection; a layer has rank² features. Default 32 with a Fisher
            matrix and 64 without, less where a row would have more than
            `airrep.gradients.random_projections.FEATURES`.
        preconditioner: "fisher" (LoGra), or "none" (TracIn; normalized: as LESS, without Adam).
        normalize: "both" for cosines, "pool" to divide by the row's length alone (the same order
            for each target, but targets with long gradients weigh more), or "none".
        damping: λ in units of the mean eigenvalue of a layer's F. Choose it on validation data: on
            T0, 0.03 loses a quarter of the LDS that 30 has (docs/results.md).
        layers: Only the last so many transformer blocks; None takes all.
        modules: Only layers whose names match one of these globs ("*.mlp.*"); None takes all.
        seed: Seed of the projections.
        tokens_per_batch: See `gradient_features`.
        dtype: See `gradient_features`.
        progress: Show a progress bar for the pool.
        known: Features computed before, by `features` of a scorer like this one.
        store: Where the pool's features are kept and found again, in float32. Scores are made of
            some layers at a time, if all would take more than 1 GiB; they have no embeddings then.
        signed: A score below 0 means harm, not only less help than other rows give.
    """

    model: LanguageModel = field(repr=False)
    rank: int | None = None
    preconditioner: Preconditioner = "fisher"
    normalize: Normalize = "both"
    damping: float = 30.0
    layers: int | None = None
    modules: Modules = None
    seed: int = 0
    tokens_per_batch: int = 4096
    dtype: str = "auto"
    progress: bool = False
    known: KnownFeatures | None = None
    store: EmbeddingStore | None = None
    signed = True

    def __post_init__(self) -> None:
        for option, value, known in (
            ("preconditioner", self.preconditioner, get_args(Preconditioner)),
            ("normalize", self.normalize, get_args(Normalize)),
        ):
            if value not in known:
                raise ArgumentError(f"{option} {value!r} is unknown; choose {' or '.join(known)}.")
        check_damping(self.damping)
        check_options(self.dtype, self.tokens_per_batch)
        if self.rank is None:
            every = projected_layers(self.model.network, layers=self.layers, modules=self.modules)
            object.__setattr__(
                self, "rank", rank_within(every, _RANKS[self.preconditioner], FEATURES)
            )
        self.blocks  # noqa: B018 (refuses rank, layers, modules and networks that do not fit)

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        if self.preconditioner == "fisher":
            return "gradient"
        return "gradient_cosine" if self.normalize == "both" else "gradient_dot"

    @cached_property
    def blocks(self) -> list[ProjectedLayer]:
        """The layers looked at, in the order of their features."""
        return projected_layers(
            self.model.network,
            rank=cast("int", self.rank),
            layers=self.layers,
            modules=self.modules,
        )

    @property
    def dim(self) -> int:
        """Features per example, of 4 bytes each."""
        return sum(layer.width for layer in self.blocks)

    def features(self, examples: Sequence[Example], *, progress: bool = False) -> Float32:
        """Projected gradients (len(examples), dim), before preconditioning and normalization."""
        return features_of(
            examples,
            self.known,
            self.dim,
            lambda missing: gradient_features(
                self.model,
                missing,
                rank=cast("int", self.rank),
                layers=self.layers,
                modules=self.modules,
                seed=self.seed,
                tokens_per_batch=self.tokens_per_batch,
                dtype=self.dtype,
                progress=progress,
            ),
        )

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`. Without normalization, scores have no unit of their own."""
        check_given(targets, pool)
        queries, rows = self.features(targets), self._rows(pool)
        counts = {"encoded": len(pool)}
        if isinstance(rows, StoredEmbeddings):
            counts = {name: getattr(rows, name) for name in ("encoded", "reused", "changed")}
        read = read_by_model(
            self.name,
            self.model,
            self.dtype,
            pool,
            rank=cast("int", self.rank),
            features=self.dim,
            **counts,
        )
        scale = _COSINE_SCALE if self.normalize == "both" else 1.0
        made = described(self, targets, pool, scale, read)
        if 4 * len(pool) * self.dim > _BYTES_AT_ONCE and isinstance(rows, StoredEmbeddings):
            return DenseScores(self._by_columns(queries, rows), **made)
        whole = rows[:]
        if self.preconditioner == "fisher":
            widths = [layer.width for layer in self.blocks]
            queries, whole = whiten(queries, whole, widths, self.damping)
        if self.normalize == "both":
            queries = unit(queries)
        if self.normalize != "none":
            whole = unit(whole)
        return EmbeddingScores(queries, whole, **made)

    def _rows(self, pool: Sequence[Example]) -> Float32 | StoredEmbeddings:
        """The pool's features, in memory or on disk."""
        if self.store is None:
            return self.features(pool, progress=self.progress)
        encoder = GradientEncoder(
            self.model,
            [TwoSided.random(each, self.seed, self.model.network.device) for each in self.blocks],
            layers=self.layers,
            dtype=self.dtype,
        )
        return self.store.embed(
            pool, encoder, tokens_per_batch=self.tokens_per_batch, progress=self.progress
        )

    def _by_columns(self, queries: Float32, rows: StoredEmbeddings) -> Float32:
        """(T, N) scores, of as many layers at a time as fit into memory."""
        scores = np.zeros((len(queries), len(rows)))
        lengths = [np.zeros(len(queries)), np.zeros(len(rows))]
        stop = 0
        for widths in grouped(self.blocks, _BYTES_AT_ONCE // (4 * len(rows))):
            start, stop = stop, stop + sum(widths)
            both = queries[:, start:stop], columns(rows, start, stop)
            if self.preconditioner == "fisher":
                both = whiten(*both, widths, self.damping)
            scores += both[0].astype(np.float64) @ both[1].T
            for total, part in zip(lengths, both, strict=True):
                total += np.square(part, dtype=np.float64).sum(axis=1)
        tiny = np.finfo(np.float32).tiny
        roots = [np.maximum(np.sqrt(each), tiny) for each in lengths]
        if self.normalize == "both":
            scores /= roots[0][:, None]
        if self.normalize != "none":
            scores /= roots[1]
        return scores.astype(np.float32)


def grouped(layers: Sequence[ProjectedLayer], most: int) -> list[list[int]]:
    """The layers' widths in groups of so many columns at most, or of one layer."""
    groups: list[list[int]] = []
    for layer in layers:
        if not groups or sum(groups[-1]) + layer.width > most:
            groups.append([])
        groups[-1].append(layer.width)
    return groups


def columns(rows: StoredEmbeddings, start: int, stop: int) -> Float32:
    """Some columns of all rows, which are read some at a time."""
    found = np.empty((len(rows), stop - start), dtype=np.float32)
    step = max(1, _BYTES_READ // (4 * rows.shape[1]))
    for first in range(0, len(rows), step):
        found[first : first + step] = rows[first : first + step][:, start:stop]
    return found


def whiten(
    targets: npt.NDArray[np.floating],
    pool: npt.NDArray[np.floating],
    widths: Sequence[int],
    damping: float,
) -> tuple[Float32, Float32]:
    """Gradients whose inner products are Σ over blocks of g_xᵀ (F + λI)⁻¹ g_z.

    For each block of columns, F is the mean of g gᵀ over the pool and λ = damping · trace(F) /
    width. With more rows than columns, F + λI = C Cᵀ, and the result is C⁻¹ g; with fewer rows, it
    is (F + λI)^(-1/2) g, found from the rows' inner products (Woodbury's identity). A block in
    which the pool has no gradients at all has none afterwards.

    Args:
        targets: (T, D) gradients.
        pool: (N, D) gradients.
        widths: Widths of the blocks, from left to right; they sum to D.
        damping: Share of a block's mean eigenvalue.

    Returns:
        (T, D) and (N, D).

    Raises:
        ArgumentError: `damping` is not above 0, or too small for the inverse to exist.
    """
    check_damping(damping)
    made = np.zeros_like(targets, dtype=np.float32), np.zeros_like(pool, dtype=np.float32)
    stop = 0
    for width in widths:
        start, stop = stop, stop + width
        block = pool[:, start:stop].astype(np.float64)
        ridge = damping * np.square(block).sum() / len(block) / width
        if ridge == 0:
            continue
        both = np.concatenate([targets[:, start:stop], block])
        by = _whitened_by_rows if len(block) < width else _whitened_by_columns
        found = by(both, block, ridge)
        made[0][:, start:stop], made[1][:, start:stop] = np.split(found, [len(targets)])
    return made


def _whitened_by_columns(both: Float64, block: Float64, ridge: float) -> Float64:
    """C⁻¹ of each row, by the Cholesky root of the (width, width) matrix."""
    fisher = block.T @ block / len(block)
    fisher[np.diag_indices_from(fisher)] += ridge
    try:
        root = np.linalg.cholesky(fisher)
    except np.linalg.LinAlgError as error:
        raise ArgumentError("the damping is too small to invert the Fisher matrix.") from error
    solved = torch.linalg.solve_triangular(
        torch.from_numpy(root), torch.from_numpy(both.T), upper=False
    )
    return cast("Float64", solved.numpy().T)


def _whitened_by_rows(both: Float64, block: Float64, ridge: float) -> Float64:
    """(F + λI)^(-1/2) of each row, by the eigenvectors of the (N, N) inner products.

    With block = U √S Vᵀ, F has the eigenvalues S / N along V, and outside of V only λ is left:
    λ^(-1/2) (g - V h Vᵀ g) with h = 1 - (1 + S / (N λ))^(-1/2).
    """
    squares, vectors = np.linalg.eigh(block @ block.T)
    squares = np.maximum(squares, 0)
    shrunk = -np.expm1(-0.5 * np.log1p(squares / (len(block) * ridge)))
    shares = np.divide(
        shrunk, squares, out=np.full_like(squares, 0.5 / (len(block) * ridge)), where=squares > 0
    )
    inner = (both @ block.T) @ vectors
    return (both - (inner * shares) @ vectors.T @ block) / np.sqrt(ridge)


def check_damping(damping: float) -> None:
    """Refuse damping that leaves a matrix singular.

    Raises:
        ArgumentError: Not a finite number above 0.
    """
    if not (np.isfinite(damping) and damping > 0):
        raise ArgumentError(f"damping should be a finite number > 0, found {damping}.")


def unit(features: Float32) -> Float32:
    """Rows of length 1; a row of zeros stays one."""
    lengths = np.sqrt(np.square(features, dtype=np.float64).sum(axis=1, keepdims=True))
    tiny = np.finfo(np.float32).tiny
    return (features / np.maximum(lengths, tiny)).astype(np.float32)
