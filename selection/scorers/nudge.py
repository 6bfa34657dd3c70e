"""Influence forward: one step of Adam's metric on a target, then the fall of each row's loss.

To first order, a step of training on row z does to target x's loss what a step on x does to z's:
both are ⟨g_x, D⁻¹ g_z⟩, D = √v with Adam's second moments v (`airrep.gradients.moments`). So the
target takes the step, after one backward pass, and the rows need forward passes alone:

    score(x, z) = [L_z(θ) − L_z(θ − ε u_x)] / step,    u_x = D⁻¹ g_x, scaled to an rms of 1

with L_z the row's loss summed over its completion tokens, as training counts it, and ε = step ·
learning_rate: at step = 1 the weights move as far as in a typical step of Adam, learning_rate ·
√(number of weights). A score is the fall in nats for such a step; below 0 the row's loss rises, and
training on it hurts the target. Nothing is kept per row. Training long on the targets in place of
one step is CoLoR-Filter (Brandfonbrener et al. 2024, arXiv 2406.10670).

The cost is one backward pass per target and one forward pass per target and row (one more per row
for "forward"; twice as many for "central"; about three times for "jvp"). Many targets therefore
share steps: they are clustered by their gradients, each cluster takes one step on its mean loss,
and its targets have the same scores. These foresee the cluster's mean loss, not single targets'.

Shapes: T targets, C steps, N pool rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from airrep.console.progress import bar, counted_by
from airrep.disk.digests import content_digest
from airrep.disk.parts import kept_steps
from airrep.errors import ArgumentError, EmbeddingError
from airrep.gradients.features import reduced_gradients
from airrep.gradients.moments import adam_metric, second_moments
from airrep.gradients.nudges import Direction, adam_direction, slopes, summed_losses, warmed_up
from airrep.gradients.random_projections import projected_layers
from airrep.gradients.reductions import Sketch
from airrep.language_model.model import LanguageModel
from airrep.language_model.passes import (
    check_options,
    chosen_dtype,
    computed_in,
    token_key,
    tokens_once,
)
from airrep.language_model.tokens import Tokens
from airrep.machine.arguments import check_count
from airrep.records import Example
from selection.features import check_given
from selection.scorers.base import described, read_by_model
from selection.scores import DenseScores, Scores

Difference = Literal["forward", "central", "jvp"]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

_SCALE = 0.25  # of scores over their rms
_FLOAT32_BYTES = 4
_SKETCH_WIDTH = 1024  # of each layer's gradient, to cluster targets by


@dataclass(frozen=True)
class NudgeScorer:
    """Influence by forward passes alone, after a small step on each target.

    Attributes:
        model: The model to be fine-tuned, as it is before that; its weights are in float32.
        step: Length of the step, as a share of a typical step of Adam. Choose it on validation
            data: on T0, 0.05 and 0.2 are good and 1 is too long (docs/results.md). "jvp" takes
            no step.
        difference: "forward", with one pass for each step and one for all; "central", with two
            for each step, exact to the second order; or "jvp", the derivative itself, by
            forward-mode differentiation, where the network allows that.
        clusters: How many steps there are at most. More targets than that are clustered.
        warmup: Steps of Adam on random pool rows before all else, as in LESS (Xia et al. 2024): at
            the very start of a real model's fine-tuning, first-order influence says little.
        learning_rate: Of the training that is to be foreseen; the unit of `step`, and the rate of
            the warm-up.
        layers: Only the last so many transformer blocks move; None takes all.
        batch_size: Rows of a batch, for the moments and the warm-up.
        draws: Batches that the moments are estimated from; default see `second_moments`.
        seed: Seed of the batches and the clusters.
        tokens_per_batch: See `airrep.gradients.features.gradient_features`.
        dtype: See there. The difference of two losses of a short step drowns in the rounding of
            bfloat16, which is refused but for "jvp".
        progress: Show progress bars.
        signed: A score below 0 means harm, not only less help than other rows give.
    """

    model: LanguageModel = field(repr=False)
    step: float = 0.2
    difference: Difference = "forward"
    clusters: int = 8
    warmup: int = 0
    learning_rate: float = 2e-5
    layers: int | None = None
    batch_size: int = 20
    draws: int | None = None
    seed: int = 0
    tokens_per_batch: int = 4096
    dtype: str = "float32"
    progress: bool = False
    signed = True
    name = "nudge"
    embeds = False

    def __post_init__(self) -> None:
        check_options(self.dtype, self.tokens_per_batch)
        if self.difference not in get_args(Difference):
            raise ArgumentError(
                f"difference {self.difference!r} is unknown; choose forward, central or jvp."
            )
        for option in ("step", "learning_rate"):
            value = getattr(self, option)
            if not (np.isfinite(value) and value > 0):
                raise ArgumentError(f"{option} should be a finite number > 0, found {value}.")
        for option in ("clusters", "batch_size", *["draws"] * (self.draws is not None)):
            check_count(getattr(self, option), option)
        if self.warmup < 0:
            raise ArgumentError(f"warmup should be >= 0 steps, found {self.warmup}.")
        self._check_precision()
        projected_layers(self.model.network, layers=self.layers)  # refuses what does not fit

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`; targets of a cluster have the same scores."""
        check_given(targets, pool)
        rows, which = tokens_once(self.model, pool)
        layers = [each.name for each in projected_layers(self.model.network, layers=self.layers)]
        with warmed_up(
            self.model,
            self.model.tokenize(pool),
            layers,
            steps=self.warmup,
            learning_rate=self.learning_rate,
            **self._drawn,
        ) as model:
            moments = second_moments(
                model,
                pool,
                layers=self.layers,
                draws=self.draws,
                progress=self.progress,
                **self._drawn,
            )
            cluster_of = self._clustered(model, targets, moments)
            falls = self._falls(model, targets, cluster_of, rows, moments)
        values = falls.astype(np.float32)[cluster_of][:, which]
        scale = _SCALE / (float(np.sqrt(np.square(values, dtype=np.float64).mean())) or 1.0)
        provenance = read_by_model(self.name, self.model, self.dtype, pool)
        if len(falls) < len(targets):
            provenance[0]["clusters"] = cluster_of.tolist()
        return DenseScores(values, **described(self, targets, pool, scale, provenance))

    @property
    def _shared(self) -> dict[str, Any]:
        return {"tokens_per_batch": self.tokens_per_batch, "dtype": self.dtype}

    @property
    def _drawn(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size, "seed": self.seed, **self._shared}

    def _falls(
        self,
        model: LanguageModel,
        targets: Sequence[Example],
        cluster_of: Int64,
        rows: Sequence[Tokens],
        moments: Mapping[str, torch.Tensor],
    ) -> Float64:
        """(C, N) by how much the rows' losses fall, in nats for a typical step of Adam."""
        tokens = model.tokenize(targets)
        steps, far = int(cluster_of.max()) + 1, self.step * self.learning_rate
        shown = {"progress": self.progress, **self._shared}

        def losses(direction: Direction, by: float) -> Float64:
            return summed_losses(model, rows, direction, by, **shown)

        def made_by() -> str:
            read = [content_digest(*map(token_key, each)) for each in (rows, tokens)]
            settings = replace(self, progress=False)
            device = model.network.device.type
            return f"{settings} {model.fingerprint} {device} {read} {cluster_of.tolist()}"

        def column(number: int) -> Float64:
            if number == 0:
                forward = self.difference == "forward"
                return losses({}, 0.0) if forward else np.zeros(len(rows))
            members = [tokens[i] for i in np.flatnonzero(cluster_of == number - 1)]
            direction = adam_direction(model, members, moments, **self._shared)
            if self.difference == "jvp":
                return slopes(model, rows, direction, **shown) * self.learning_rate
            if self.difference == "central":
                return (losses(direction, -far) - losses(direction, far)) / (2 * self.step)
            return (columns[0] - losses(direction, far)) / self.step

        columns = np.zeros((1 + steps, len(rows)))  # first the losses before, if they are needed
        kept = kept_steps(made_by)
        done, found = kept.find()
        columns = found[0] if done else columns
        before, each = {"forward": (1, 1), "central": (0, 2), "jvp": (0, 1)}[self.difference]
        passes = [len(rows) * times for times in (before, *[each] * steps)]
        with (
            bar(sum(passes), "passes", done=sum(passes[:done]), shown=self.progress) as whole,
            counted_by(whole),
        ):
            for number in range(done, 1 + steps):
                columns[number] = column(number)
                kept.put(number + 1, columns.nbytes, lambda: [columns])
        if not np.isfinite(columns).all():
            raise EmbeddingError(
                f"{self.name}: a pool row's loss is NaN or infinite under {model.name}. If all of "
                "its weights are finite, choose a smaller step."
            )
        return columns[1:]

    def _clustered(
        self, model: LanguageModel, targets: Sequence[Example], moments: Mapping[str, torch.Tensor]
    ) -> Int64:
        """(T,) the number of each target's step; equal targets share one, and so do clusters."""
        different, which = tokens_once(model, targets)
        if len(different) <= self.clusters:
            return which
        if any(target.against is not None for target in targets):
            raise ArgumentError(
                f"{self.name}: {len(different):,} answers of targets that compare answers would "
                f"share {self.clusters} steps, and the answers of a target would share one. Raise "
                f"clusters to {len(different)}, or give fewer targets."
            )
        from sklearn.cluster import KMeans  # here, because few targets do not need it

        sketches = [
            Sketch(name, adam_metric(moment), _SKETCH_WIDTH, self.seed)
            for name, moment in moments.items()
        ]
        vectors = reduced_gradients(model, targets, sketches, layers=self.layers, **self._shared)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.divide(vectors, lengths, out=vectors, where=lengths > 0)
        found = KMeans(self.clusters, n_init=10, random_state=self.seed).fit_predict(vectors)
        _, first, number = np.unique(found, return_index=True, return_inverse=True)
        numbers: Int64 = np.argsort(np.argsort(first))[number]  # in the order of the targets
        warnings.warn(
            f"{self.name}: {len(targets):,} targets share {len(first)} steps, by clusters of their "
            "gradients: the scores say what rows do for a cluster's mean loss, not for single "
            "targets. More clusters cost one pass over the pool each.",
            stacklevel=3,
        )
        return numbers

    def _check_precision(self) -> None:
        """Refuse precisions in which the difference of two losses is rounding.

        Raises:
            ArgumentError: The weights, or the computation, are too coarse.
        """
        coarse = self.model.network.dtype.itemsize < _FLOAT32_BYTES
        if self.difference != "jvp" and (
            coarse or chosen_dtype(self.model, self.dtype).itemsize < _FLOAT32_BYTES
        ):
            raise ArgumentError(
                f"{self.name}: weights in {self.model.network.dtype}, computed in "
                f"{computed_in(self.model, self.dtype)}: the losses before and after a small step "
                "differ by less than such numbers are rounded. Load the model in float32 and take "
                "dtype='float32', or the derivative itself (jvp)."
            )
