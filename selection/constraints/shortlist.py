"""The rows to choose from under constraints, for pools whose score matrix does not fit.

Each target's best rows that could be chosen together, as far as the sources' quotas go; the best
of the sources that have to give some; rows that have to be in; and the shortest rows that meet
every minimum. So whatever can be chosen from the pool can be matched from the shortlist.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selection.candidates import top_rows_of
from selection.constraints.bound import BoundConstraints, Integers
from selection.constraints.passes import ConstrainedPass
from selection.scores import Scores


def constrained_shortlist(
    scores: Scores, k: int | None, bound: BoundConstraints, share: npt.NDArray[np.float64]
) -> Integers:
    """Positions, ascending.

    Args:
        scores: (T, N).
        k: As the selector is given it.
        bound: To the same N rows.
        share: (T,) weights.

    Raises:
        ArgumentError: The constraints cannot be met.
    """
    most = ConstrainedPass(bound, k, share, scores.target_ids).most
    limits = bound.limits(k, share, scores.target_ids)
    usable = ~bound.excluded & (bound.tokens <= limits.most_tokens[bound.source])
    by_length = bound.by_length(usable)
    quota = np.array(
        [
            min(limits.most[s], np.count_nonzero(np.cumsum(bound.tokens[rows]) <= tokens))
            for s, (rows, tokens) in enumerate(zip(by_length, limits.most_tokens, strict=True))
        ]
    )
    bounded = quota < np.minimum(most, [len(rows) for rows in by_length])
    wanted = [(usable & ~bounded[bound.source], most)]
    wanted += [(usable & (bound.source == s), int(quota[s])) for s in np.flatnonzero(bounded)]
    together = len(wanted)
    wanted += [
        (usable & (bound.source == s), int(limits.least[s])) for s in np.flatnonzero(limits.least)
    ]
    ranked = top_rows_of(scores, wanted)
    rows = np.hstack([rows for rows, _ in ranked[:together]])
    values = np.hstack([values for _, values in ranked[:together]])
    best = np.argsort(-values, axis=1, kind="stable")[:, :most]
    parts = [np.take_along_axis(rows, best, axis=1).ravel(), bound.included]
    parts += [each.ravel() for each, _ in ranked[together:]]
    if limits.tokens is not None:
        parts += _shortest(bound, by_length, limits.least, quota, int(limits.per_target.sum()))
    return np.unique(np.concatenate(parts))


def _shortest(
    bound: BoundConstraints, by_length: list[Integers], least: Integers, quota: Integers, more: int
) -> list[Integers]:
    """The shortest rows that sources have to give, and the shortest of the others they may."""
    needed = [rows[:few] for rows, few in zip(by_length, least, strict=True)]
    others = np.concatenate(
        [
            rows[few : min(many, few + more)]
            for rows, few, many in zip(by_length, least, quota, strict=True)
        ]
    )
    order = np.argsort(bound.tokens[others], kind="stable")[:more]
    return [*needed, others[order]]
