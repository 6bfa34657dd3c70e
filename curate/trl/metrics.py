"""A round in a few numbers, for whatever a trainer reports to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from airrep.records import Example
from curate.trl.rounds import NO_SOURCE, Round

MOST_TARGETS = 20
MOST_SOURCES = 12


def round_metrics(rounds: Sequence[Round], targets: Sequence[Example]) -> dict[str, float]:
    """The last round's numbers, by the names that charts call them.

    `selection/round`; `selection/churn`, from the second round on; `selection/target_loss`, the
    mean, and `selection/target_loss/NAME` for each target (by id) or, if they are more than 20, for
    each of their sources; `selection/source_share/SOURCE` for the 12 largest sources of this and
    every earlier round, so that a chart has no gaps, and `selection/source_share/other`.
    """
    now = rounds[-1]
    found = {"selection/round": float(now.number)}
    if now.churn is not None:
        found["selection/churn"] = now.churn
    if now.losses is not None:
        found["selection/target_loss"] = float(np.mean(now.losses))
        for name, values in _by_name(now.losses, targets).items():
            found[f"selection/target_loss/{name}"] = float(np.mean(values))
    shown = {source: 0 for each in rounds for source in list(each.shares)[:MOST_SOURCES]}
    for source in shown:
        found[f"selection/source_share/{source}"] = now.shares.get(source, 0.0)
    rest = sum(share for source, share in now.shares.items() if source not in shown)
    if any(len(each.shares) > MOST_SOURCES for each in rounds):
        found["selection/source_share/other"] = rest
    return found


def _by_name(losses: Sequence[float], targets: Sequence[Example]) -> dict[str, list[float]]:
    """Losses by target or by source; nothing where there are too many of both."""
    few = len(targets) <= MOST_TARGETS
    names = [target.id if few else target.source or NO_SOURCE for target in targets]
    if len(set(names)) > MOST_TARGETS or set(names) == {NO_SOURCE}:
        return {}
    groups: dict[str, list[float]] = {}
    for name, loss in zip(names, losses, strict=True):
        groups.setdefault(name, []).append(loss)
    return groups
