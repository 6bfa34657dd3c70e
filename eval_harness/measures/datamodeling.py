"""The linear datamodeling score (LDS): do scores predict what training on a subset does?

For every target, Spearman's correlation over subsets of the predicted influence f(x, S) with the
negative loss on x after training on S; then the mean over targets (Park et al. 2023, TRAK). Larger
scores promise a lower loss, so 1 is right about every order, 0 is chance, -1 is the wrong way
round.

A target whose predictions or losses are all one value has no correlation. It is NaN in
`per_target`, counted in `undefined`, and left out of every mean.

Intervals are bootstraps over subsets and targets at once: the central percentiles of the resampled
means, moved so that they lie around the estimate. A resample holds subsets twice, and such ties
pull its rank correlations towards 0; unmoved, percentiles can miss their own estimate.

Shapes: S subsets, T targets, N pool rows, R repeats (fine-tuning seeds).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted
from airrep.errors import ArgumentError, EmbeddingError
from eval_harness.measures.predictions import (
    AnyScores,
    LdsPooling,
    Subsets,
    attention_scale,
    group_predictions,
)
from eval_harness.measures.rank_statistics import Float64, Interval, Term, estimate
from eval_harness.measures.reliability import NoiseCeiling, noise_ceiling, read_losses


@dataclass(frozen=True)
class ScoringCost:
    """What scores cost, on a machine that may have been busy with other work.

    Attributes:
        seconds: Wall-clock time of features, scores and their pooling over all subsets.
        rows: Pool rows and targets together.
        bytes_per_row: Bytes of a pool row's features; None where none are kept.
    """

    seconds: float
    rows: int
    bytes_per_row: int | None

    def __str__(self) -> str:
        size = "" if self.bytes_per_row is None else f" and {self.bytes_per_row:,} bytes"
        return f"{1000 * self.seconds / self.rows:.2f} ms{size} a row"


@dataclass(frozen=True, eq=False)
class LdsResult(Interval):
    """LDS, larger = better, with its interval: `mean` is over the targets that have a correlation.

    Attributes:
        per_target: (T,) correlations; NaN where undefined.
        undefined: Targets without one.
        subsets: S.
        ceiling: What is attainable, if every subset has two losses or more per target.
        pooling: How scores became predictions; None if predictions were given.
        scale: Inverse temperature of attention pooling; None for any other.
        cost: What the scores cost, where that was measured.
    """

    per_target: Float64
    undefined: int
    subsets: int
    ceiling: NoiseCeiling | None = None
    pooling: LdsPooling | None = None
    scale: float | None = None
    cost: ScoringCost | None = None

    def __repr__(self) -> str:
        return f"LdsResult({self})"

    def __str__(self) -> str:
        notes = [f"ceiling {self.ceiling.attainable:.2f}"] if self.ceiling else []
        notes += [f"{self.undefined} of the targets undefined"] if self.undefined else []
        notes += [str(self.cost)] if self.cost else []
        return (
            f"{super().__str__()} over {counted(self.subsets, 'subset')} × "
            f"{counted(len(self.per_target), 'target')}"
            + (f" ({'; '.join(notes)})" if notes else "")
        )


def lds_of_scores(
    scores: AnyScores,
    subsets: Subsets,
    losses: npt.ArrayLike,
    pooling: LdsPooling = "attention",
    *,
    scale: float | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> LdsResult:
    """LDS of scores, pooled over every subset.

    Args:
        scores: (T, N), or a `Scores`, which is read block by block.
        subsets: S arrays of distinct pool positions; they may differ in size.
        losses: (S, T), or (S, R, T), whose mean over repeats is what counts; lower is better.
        pooling: "attention", "sum" or "mean", see `airrep.pooling`; or "signed_attention", see
            `group_predictions`.
        scale: Inverse temperature of the attention; None: the `Scores`'s own, or 1.
        draws: Bootstrap resamples; 0 for no interval. Time is proportional to S·T·draws.
        confidence: Confidence of the interval.
        seed: Seed of the resampling.

    Raises:
        ArgumentError: Arguments that do not fit, fewer than 3 subsets, NaN or infinite losses, or
            no target with a correlation.
        EmbeddingError: Scores that are not (T, N), or NaN or infinite somewhere.

    Example:
        >>> scores = np.array([[3.0, 2.0, 1.0]])  # one target, three pool rows
        >>> lds_of_scores(scores, [[0], [1], [2]], [[0.1], [0.2], [0.3]], draws=0)
        LdsResult(1.000 over 3 subsets × 1 target)
    """
    predictions = group_predictions(scores, subsets, pooling, scale)
    result = lds_of_predictions(predictions, losses, draws=draws, confidence=confidence, seed=seed)
    used = attention_scale(scores, scale) if pooling.endswith("attention") else None
    return replace(result, pooling=pooling, scale=used)


def lds_of_predictions(
    predictions: npt.ArrayLike,
    losses: npt.ArrayLike,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> LdsResult:
    """LDS of predicted group influences (S, T), however they were made; larger = a lower loss.

    The other arguments, and what is raised, are those of `lds_of_scores`.

    Example:
        >>> lds_of_predictions([[1.0], [2.0], [3.0]], [[0.3], [0.1], [0.2]], draws=0).mean
        0.5
    """
    given = read_losses(losses)
    variables = [_predictions(predictions, given), -given.mean(axis=1)]
    per_target, interval = estimate(variables, [Term(0, 1)], draws, confidence, seed)
    return LdsResult(
        **asdict(interval),
        per_target=per_target,
        undefined=int(np.isnan(per_target).sum()),
        subsets=len(given),
        ceiling=noise_ceiling(given, draws=draws, confidence=confidence, seed=seed),
    )


def lds_difference(
    predictions_a: npt.ArrayLike,
    predictions_b: npt.ArrayLike,
    losses: npt.ArrayLike,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """By how much the LDS of `predictions_a` is larger, on the same subsets and targets.

    Both see the same resamples, so that what makes a subset or a target hard cancels, and the
    interval is narrower than two separate ones suggest. Targets without a correlation in either
    are left out of both. The arguments, and what is raised, are those of `lds_of_predictions`.

    Example:
        >>> good, bad = [[1.0], [2.0], [3.0]], [[3.0], [2.0], [1.0]]
        >>> lds_difference(good, bad, [[0.3], [0.2], [0.1]], draws=0).mean
        2.0
    """
    given = read_losses(losses)
    variables = [_predictions(values, given) for values in (predictions_a, predictions_b)]
    variables.append(-given.mean(axis=1))
    return estimate(variables, [Term(0, 2), Term(1, 2, -1.0)], draws, confidence, seed)[1]


def _predictions(predictions: npt.ArrayLike, losses: Float64) -> Float64:
    """As (S, T) float64, finite, of the shape of losses (S, R, T)."""
    given = np.asarray(predictions, dtype=np.float64)
    expected = (losses.shape[0], losses.shape[2])
    if given.shape != expected:
        raise ArgumentError(
            f"the losses are of (subsets, targets) {expected}, but there are predictions for "
            f"{given.shape}: give one loss for each subset and each target (row) of the scores."
        )
    finite = np.isfinite(given)
    if not finite.all():
        subset, target = np.argwhere(~finite)[0]
        raise EmbeddingError(
            f"the prediction for subset {subset} and target {target} (counting from 0) is "
            f"{given[subset, target]}; scores or scale may be too large."
        )
    return given
