"""Inner products of gradients as Adam would take steps along them.

A step of Adam moves each weight by the batch's gradient divided by the root of its mean square, so
the first-order change of target x's loss by row z is −η ⟨g_x, D⁻¹ g_z⟩ with D = √v, elementwise
(LESS: Xia et al. 2024, arXiv 2402.04333, uses the moments of a warm-up run; here they are those of
random batches of the pool, `airrep.gradients.moments`). Three more things matter as much as D does
(docs/results.md):

* a row's gradient is that of its *summed* loss: training averages over all tokens of a batch, so
  that long completions weigh more;
* the gradient is sketched as a whole, because two-sided projections of as many features lose more
  than the moments gain;
* rows are divided by the root of their length: half way between inner products, in which a few
  long gradients drown the others, and cosines, in which their lengths count for nothing.

Scores are cos(x, z) · √(|z| / mean |z|): they have no unit.

Shapes: T targets, N pool rows, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from airrep.console.progress import bar, counted_by
from airrep.errors import ArgumentError
from airrep.gradients.features import reduced_gradients
from airrep.gradients.moments import adam_metric, second_moments
from airrep.gradients.random_projections import (
    SKETCH_FEATURES,
    Modules,
    projected_layers,
    width_within,
)
from airrep.gradients.reductions import Sketch
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import check_options
from airrep.records import Example
from selection.features import check_given
from selection.scorers.base import described, read_by_model
from selection.scores import DenseScores, Scores

Float32 = npt.NDArray[np.float32]

_SCALE = 5.0
_WIDTH = 16384  # of a layer of the models of docs/results.md
_BYTES_AT_ONCE = 1 << 28  # of pool rows' features


@dataclass(frozen=True)
class AdamGradientScorer:
    """Influence by sketched gradients in the metric of Adam's second moments.

    Attributes:
        model: The model to be fine-tuned, as it is before that.
        width: Features of each layer's gradient; more are more exact: the error of a score is
            about 1/√width per layer. Nothing is kept of them. Default 16,384, or fewer where all
            layers would have more than `airrep.gradients.random_projections.SKETCH_FEATURES`.
        layers: Only the last so many transformer blocks; None takes all.
        modules: Only layers whose names match one of these globs ("*.mlp.*"); None takes all.
        batch_size: Rows of a batch of the training that is to be foreseen.
        draws: Batches that the moments are estimated from; default see `second_moments`.
        seed: Seed of the sketch and of the batches.
        tokens_per_batch: See `airrep.gradients.features.gradient_features`.
        dtype: See there.
        progress: Show progress bars.
        signed: A score below 0 means harm, not only less help than other rows give.
    """

    model: LanguageModel = field(repr=False)
    width: int | None = None
    layers: int | None = None
    modules: Modules = None
    batch_size: int = 20
    draws: int | None = None
    seed: int = 0
    tokens_per_batch: int = 4096
    dtype: str = "auto"
    progress: bool = False
    signed = True
    name = "gradient_adam"
    embeds = False

    def __post_init__(self) -> None:
        check_options(self.dtype, self.tokens_per_batch)
        for option in ("width", "batch_size", "draws"):
            given = getattr(self, option)
            if given is not None and given < 1:
                raise ArgumentError(f"{option} should be >= 1, found {given}.")
        every = projected_layers(self.model.network, layers=self.layers, modules=self.modules)
        if self.width is None:
            object.__setattr__(self, "width", width_within(every, _WIDTH, SKETCH_FEATURES))

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`; the pool's features are made and used a part at a time."""
        check_given(targets, pool)
        sketches = self.sketches(pool)
        queries = self.features(targets, sketches)
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        queries = np.divide(queries, lengths, out=queries, where=lengths > 0)
        values = np.empty((len(targets), len(pool)), dtype=np.float32)
        sizes = np.empty(len(pool))
        step = max(1, _BYTES_AT_ONCE // (4 * queries.shape[1]))
        with bar(len(pool), "gradients", shown=self.progress) as whole, counted_by(whole):
            for start in range(0, len(pool), step):
                part = pool[start : start + step]
                rows, lengths = rooted(self.features(part, sketches), self._tokens(part))
                values[:, start : start + step] = queries @ rows.T
                sizes[start : start + step] = lengths
                whole.reach(start + len(part))
        values /= np.sqrt(sizes.mean() or 1.0).astype(np.float32)
        read = read_by_model(
            self.name,
            self.model,
            self.dtype,
            pool,
            width=cast("int", self.width),
            features=queries.shape[1],
        )
        return DenseScores(values, **described(self, targets, pool, _SCALE, read))

    def sketches(self, pool: Sequence[Example]) -> list[Sketch]:
        """How gradients are reduced, with the moments of this pool."""
        moments = second_moments(
            self.model,
            pool,
            layers=self.layers,
            modules=self.modules,
            batch_size=self.batch_size,
            draws=self.draws,
            seed=self.seed,
            tokens_per_batch=self.tokens_per_batch,
            dtype=self.dtype,
            progress=self.progress,
        )
        return [
            Sketch(name, adam_metric(moment), cast("int", self.width), self.seed)
            for name, moment in moments.items()
        ]

    def features(self, examples: Sequence[Example], sketches: Sequence[Sketch]) -> Float32:
        """Sketched gradients (len(examples), D) of the mean completion-token loss."""
        return reduced_gradients(
            self.model,
            examples,
            sketches,
            layers=self.layers,
            dtype=self.dtype,
            tokens_per_batch=self.tokens_per_batch,
            progress=self.progress,
        )

    def vectors(self, examples: Sequence[Example]) -> Float32:
        """Of each example, a vector (D,) of length 1 along its gradient: a teacher for encoders."""
        features = self.features(examples, self.sketches(examples))
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return np.divide(features, lengths, out=features, where=lengths > 0)

    def _tokens(self, examples: Sequence[Example]) -> npt.NDArray[np.int64]:
        return np.array([len(t.trained) for t in self.model.tokenize(examples)])


def rooted(
    features: Float32, tokens: npt.NDArray[np.int64]
) -> tuple[Float32, npt.NDArray[np.float64]]:
    """Gradients of summed losses over the roots of their lengths; and these lengths, (n,).

    Args:
        features: (n, D) gradients of mean losses; overwritten.
        tokens: (n,) how many tokens the mean is over.
    """
    lengths = np.linalg.norm(features, axis=1).astype(np.float64) * tokens
    roots = np.divide(tokens, np.sqrt(lengths), out=np.zeros_like(lengths), where=lengths > 0)
    features *= roots[:, None].astype(np.float32)
    return features, lengths
