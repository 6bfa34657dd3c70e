"""Feasibility of constraints, and if they cannot be met, which of them to loosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from selection.constraints.bound import BoundConstraints, Integers, Limits
from selection.constraints.remaining import Remaining

_MOST_PARTS = 6


def check(bound: BoundConstraints, limits: Limits) -> None:
    """Refuse constraints that no selection meets; what passes can be met.

    Raises:
        ArgumentError: With the numbers that do not fit together.
    """
    _check_included(bound, limits)
    _check_sources(bound, limits)
    _check_rows(bound, limits)
    _check_targets(bound, limits)
    if limits.tokens is not None:
        _check_tokens(bound, limits, limits.tokens)


def _check_included(bound: BoundConstraints, limits: Limits) -> None:
    kept = bound.included
    if len(kept) > limits.rows:
        raise ArgumentError(
            f"constraints: include names {counted(len(kept), 'row')} and k = {limits.rows}; "
            "raise k or include"
            " fewer."
        )
    count = bound.count(kept)
    over = np.flatnonzero(count > limits.most)
    if over.size:
        s = over[0]
        raise ArgumentError(
            f"constraints: include names {counted(int(count[s]), 'row')} of source "
            f"{bound.names[s]!r}, of which max_per_source allows {limits.most[s]}; raise it or "
            "include fewer."
        )
    if limits.tokens is None:
        return
    tokens = bound.lengths(kept)
    if tokens.sum() > limits.tokens:
        raise ArgumentError(
            f"constraints: the rows in include ({len(kept):,}) have "
            f"{counted(int(tokens.sum()), 'token')} and max_tokens is {limits.tokens:,}; raise it "
            "or include fewer."
        )
    over = np.flatnonzero(tokens > limits.most_tokens)
    if over.size:
        s = over[0]
        raise ArgumentError(
            f"constraints: the rows of source {bound.names[s]!r} in include have {tokens[s]:,} "
            f"tokens, of which max_per_source allows {limits.most_tokens[s]:,}; raise it or "
            "include fewer."
        )


def _check_sources(bound: BoundConstraints, limits: Limits) -> None:
    """One source alone."""
    there, usable = bound.count(np.ones_like(bound.excluded)), bound.count(~bound.excluded)
    for s in np.flatnonzero(limits.least).tolist():
        name, least = bound.names[s], limits.least[s]
        if least > limits.most[s]:
            raise ArgumentError(
                f"constraints: source {name!r} has to give at least {least} rows "
                f"(min_per_source) and at most {limits.most[s]} (max_per_source or k); lower the "
                "one or raise the other."
            )
        if least > usable[s]:
            hidden = there[s] - usable[s]
            raise ArgumentError(
                f"constraints: source {name!r} has {counted(there[s], 'row')}"
                f"{f', {hidden} of them excluded' if hidden else ''}, and min_per_source wants "
                f"{least}; lower it{' or exclude fewer' if hidden else ''}."
            )


def _check_rows(bound: BoundConstraints, limits: Limits) -> None:
    """All sources together."""
    count = bound.count(bound.included)
    demanded = np.maximum(limits.least, count)
    if demanded.sum() > limits.rows:
        raise ArgumentError(
            f"constraints: k = {limits.rows}, and the sources have to give "
            f"{counted(int(demanded.sum()), 'row')} (min_per_source, include): "
            f"{_parts(bound, demanded, 'rows')}. Raise k or ask for less."
        )
    usable = bound.count(~bound.excluded)
    possible = np.minimum(limits.most, usable)
    if limits.tokens is None and possible.sum() < limits.rows:
        raise ArgumentError(
            f"constraints: k = {limits.rows}, and only {counted(int(possible.sum()), 'row')} can "
            f"be chosen (max_per_source, exclude): {_parts(bound, possible, 'rows')}. Lower k, or "
            "loosen these."
        )


def _check_targets(bound: BoundConstraints, limits: Limits) -> None:
    wanted = int(limits.per_target.sum())
    usable = bound.count(~bound.excluded)
    possible = min(limits.rows, int(np.minimum(limits.most, usable).sum()))
    if wanted > possible:
        targets = np.count_nonzero(limits.per_target)
        raise ArgumentError(
            f"constraints: {counted(int(targets), 'target')} have to earn "
            f"{counted(int(wanted), 'row')} (min_per_target), and at most {possible} can be chosen "
            "(k, max_per_source, exclude); each row counts for one target. Ask for less, or allow "
            "more rows."
        )


def _check_tokens(bound: BoundConstraints, limits: Limits, budget: int) -> None:
    """The shortest rows that meet every minimum."""
    start = Remaining(bound, limits)
    rows = max(0, int(limits.per_target.sum()) - len(bound.included))
    kept, demanded = bound.lengths(bound.included), start.reserved()
    capped = limits.most_tokens < budget
    tight = np.flatnonzero(capped & (demanded > start.left))
    if tight.size:
        s = tight[0]
        raise ArgumentError(
            f"constraints: source {bound.names[s]!r} has to give at least "
            f"{counted(limits.least[s], 'row')} (min_per_source); with those in include the "
            f"shortest have {demanded[s] + kept[s]:,} tokens, of which max_per_source allows "
            f"{limits.most_tokens[s]:,}; lower the one or raise the other."
        )
    if start.shortest(rows) is None:
        start.budget = int(bound.tokens.sum())  # as if there were none
        start.left[~capped] = start.budget
        needed = start.shortest(rows)
        if needed is None:
            raise ArgumentError(
                "constraints: the targets have to earn "
                f"{counted(int(limits.per_target.sum()), 'row')} "
                "(min_per_target), and the sources' shares of max_tokens (max_per_source) and k do "
                "not leave room for so many; loosen one of them."
            )
        raise ArgumentError(
            f"constraints: max_tokens is {budget:,}, and the shortest rows that meet every minimum "
            f"have {needed + kept.sum():,} tokens: "
            + "; ".join(_reasons(bound, limits, demanded, kept, needed))
            + ". Raise max_tokens or ask for less."
        )
    if not len(bound.included) and (start.limits(0) < _shortest(bound)).all():
        usable = bound.tokens[~bound.excluded]
        found = (
            f"the shortest has {counted(int(usable.min()), 'token')}"
            if usable.size
            else "all are excluded"
        )
        raise ArgumentError(
            f"constraints: not one row can be chosen: max_tokens is {budget:,} and {found} "
            "(max_per_source, exclude). Raise max_tokens or loosen these."
        )


def _reasons(
    bound: BoundConstraints, limits: Limits, demanded: Integers, kept: Integers, needed: int
) -> Iterator[str]:
    if kept.sum():
        yield f"include {kept.sum():,}"
    if demanded.sum():
        yield f"min_per_source {demanded.sum():,} ({_parts(bound, demanded, 'tokens')})"
    if needed > demanded.sum():
        yield (
            f"more rows for min_per_target ({limits.per_target.sum()} in all) "
            f"{needed - demanded.sum():,}"
        )


def _shortest(bound: BoundConstraints) -> Integers:
    """(S,) tokens of each source's shortest row that is not excluded."""
    shortest = np.full(len(bound.names), np.iinfo(np.int64).max)
    usable = ~bound.excluded
    np.minimum.at(shortest, bound.source[usable], bound.tokens[usable])
    return shortest


def _parts(bound: BoundConstraints, amounts: Sequence[int] | Integers, unit: str) -> str:
    """What each source has a part in a sum, the largest first."""
    order = [s for s in np.argsort(-np.asarray(amounts), kind="stable") if amounts[s]]
    shown = ", ".join(f"{bound.names[s]!r} {amounts[s]:,} {unit}" for s in order[:_MOST_PARTS])
    rest = len(order) - _MOST_PARTS
    return (shown or "none") + (f" and {rest} more sources" if rest > 0 else "")
