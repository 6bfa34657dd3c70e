"""Reliability of the losses, and the noise ceiling: how well any predictor can do against them.

Shapes: S subsets, R repeats (fine-tuning seeds of each), T targets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError
from eval_harness.measures.rank_statistics import Float64, Term, estimate

FEWEST_SUBSETS = 3  # that can be ranked: two can only agree or disagree


@dataclass(frozen=True)
class NoiseCeiling:
    """How far the losses agree with themselves, and what LDS that leaves within reach.

    Attributes:
        single: r₁, the correlation over subsets of one run's losses with another run's, mean over
            pairs of runs and over targets: the reliability of a single run.
        low: Lower end of the interval of `single`.
        high: Upper end of the interval of `single`.
        corrected: r_R = R r₁ / (1 + (R - 1) r₁), the reliability of the mean of R runs (Spearman
            1910; Brown 1910); 0 where r₁ is negative.
        attainable: √r_R, the correlation of the R-run mean with what it estimates (Spearman 1904),
            so the LDS of a predictor that knows every subset's expected loss. It can be exceeded
            by chance. √r_R bounds an LDS; r₁ and r_R do not.
        repeats: R.
        undefined: Targets left out, the losses of some run being constant.
    """

    single: float
    low: float
    high: float
    corrected: float
    attainable: float
    repeats: int
    undefined: int = 0


def noise_ceiling(
    losses: npt.ArrayLike, *, draws: int = 1000, confidence: float = 0.95, seed: int = 0
) -> NoiseCeiling | None:
    """The reliability of losses (S, R, T); None if there is one repeat only.

    Spearman and Brown's formula and the correction for attenuation are theorems about Pearson's
    correlation with independent errors of one variance; for ranks they are close approximations.
    Both are applied to the mean over targets. As they are concave there, targets that differ in
    reliability make `attainable` a little too high.

    References:
        Spearman, C. (1904). The proof and measurement of association between two things. American
        Journal of Psychology 15, 72–101.
        Spearman, C. (1910). Correlation calculated from faulty data. British Journal of Psychology
        3, 271–295.
        Brown, W. (1910). Some experimental results in the correlation of mental abilities. British
        Journal of Psychology 3, 296–322.

    Raises:
        ArgumentError: As `lds_of_scores`.

    Example:
        >>> losses = np.array([[[1.0], [1.5]], [[2.0], [2.5]], [[3.0], [2.0]], [[4.0], [3.5]]])
        >>> found = noise_ceiling(losses, draws=0)  # 4 subsets, 2 repeats, 1 target
        >>> found.single, round(found.attainable, 3)
        (0.8, 0.943)
    """
    given = read_losses(losses)
    repeats = given.shape[1]
    if repeats == 1:
        return None
    pairs = list(combinations(range(repeats), 2))
    terms = [Term(i, j, 1 / len(pairs)) for i, j in pairs]
    variables = list(given.transpose(1, 0, 2))
    per_target, single = estimate(variables, terms, draws, confidence, seed)
    positive = max(single.mean, 0.0)
    corrected = repeats * positive / (1 + (repeats - 1) * positive)
    return NoiseCeiling(
        single.mean,
        single.low,
        single.high,
        corrected,
        math.sqrt(corrected),
        repeats,
        int(np.isnan(per_target).sum()),
    )


def read_losses(losses: npt.ArrayLike) -> Float64:
    """Losses (S, T) or (S, R, T) as (S, R, T) float64, checked.

    Raises:
        ArgumentError: Another shape, fewer than 3 subsets, or NaN or infinite somewhere.

    Example:
        >>> read_losses([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]).shape
        (3, 1, 2)
    """
    given = np.asarray(losses, dtype=np.float64)
    if given.ndim == 2:
        given = given[:, None, :]
    if given.ndim != 3 or not given.size:
        raise ArgumentError(
            "losses: expected (subsets, targets) or (subsets, repeats, targets), found shape "
            f"{np.shape(losses)}."
        )
    if len(given) < FEWEST_SUBSETS:
        raise ArgumentError(
            f"LDS ranks subsets; expected at least {FEWEST_SUBSETS}, found {len(given)}."
        )
    finite = np.isfinite(given)
    if not finite.all():
        subset, repeat, target = np.argwhere(~finite)[0]
        raise ArgumentError(
            f"the loss of subset {subset} on target {target} (repeat {repeat}, counting from 0) is "
            f"{given[subset, repeat, target]}; train it again, or leave the subset out."
        )
    return given
