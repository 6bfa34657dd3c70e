"""Greedy selection by group influence, plain and layered.

The objective is not monotone: once the group serves the targets well, every further row dilutes
it. Forced on to k rows, the plain greedy then fills up with rows that matter to nobody, because
they dilute least. The layered greedy closes the group when no row has a positive gain (beyond
rounding), and grows the next one from the rows that are left; each layer serves all targets again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.constraints import Pass
from selection.group import GroupInfluence
from selection.objective import Objective
from selection.result import Selection
from selection.scores import Scores, check_scale
from selection.selectors.base import Picks, SizedByObjective, earner


@dataclass(frozen=True)
class GroupGreedy(SizedByObjective):
    """Add the row with the largest gain in weighted group influence, k times.

    A row's gain is what it added to its group's influence. For targets that have not earned their
    least, the pick is the row that moves one of them most; a layer then closes when no open row
    moves one of them up. The best size is where no row adds to the group; of a layered one, that of
    its first layer.

    Attributes:
        layered: Start a new group when no gain is positive.
        scale: Inverse temperature of the attention; None takes the scores' own. A larger one
            makes layers longer and follows each target's best rows more strictly.
    """

    layered: bool = True
    scale: float | None = None
    needs_matrix = True
    objective = Objective(
        "group influence", "influence of the chosen rows, as one group, on the targets"
    )

    def __post_init__(self) -> None:
        check_scale(self.scale)

    @property
    def name(self) -> str:
        """layered_greedy or plain_greedy."""
        return "layered_greedy" if self.layered else "plain_greedy"

    @property
    def certifiable(self) -> bool:
        """See `SelectorCapabilities`; plain greedy picks rows that matter to nobody."""
        return self.layered

    def _pick(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        with GroupInfluence(scores.values(), share, self.scale_of(scores)) as group:
            picks = grow(group, steps, share, layered=self.layered)
        return picks.selection(self.name, scores, self.objective)

    def _pick_best(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        with GroupInfluence(scores.values(), share, self.scale_of(scores)) as group:
            picks = grow(group, steps, share, layered=True, layers=1)
        return picks.selection(self.name, scores, self.objective)

    def scale_of(self, scores: Scores) -> float:
        """The inverse temperature that these scores are pooled at."""
        return scores.scale if self.scale is None else self.scale


def grow(
    group: GroupInfluence,
    steps: Pass,
    share: npt.NDArray[np.float64],
    *,
    layered: bool,
    layers: int | None = None,
    known: Sequence[tuple[int, int, float]] = (),
    observe: Callable[[int | None, float], None] | None = None,
) -> Picks:
    """Pick until the pass is done.

    Args:
        group: An empty group; it is grown, and with layers started anew.
        steps: Which rows may be picked.
        share: (targets,) weights.
        layered: See `GroupGreedy`.
        layers: Stop when so many have closed; None for no limit.
        known: The first picks, where they are known: row, layer and gain. Nothing is compared
            there.
        observe: Called with each row that is picked, before it is added, and its gain; and with
            None and the gain that it would have taken, when a layer closes.
    """
    picks, layer = Picks(), 0
    for row, of_layer, gain in known:
        if of_layer != layer:
            layer = of_layer
            group.start_group()
        change = group.add(row)
        target = earner(change, share, steps.needy)
        picks.add(row, gain, target, layer)
        steps.take(row, target)
    while not steps.done:
        row, gain = group.best(steps.open, steps.needy)
        if layered and group.size and gain <= group.rounding:
            if observe is not None:
                observe(None, group.rounding)
            layer += 1
            if layer == layers:
                break
            group.start_group()
            row, gain = group.best(steps.open, steps.needy)
        if observe is not None:
            observe(row, gain)
        change = group.add(row)
        target = earner(change, share, steps.needy)
        picks.add(row, gain if steps.needy is None else float(change.sum()), target, layer)
        steps.take(row, target)
    return picks
