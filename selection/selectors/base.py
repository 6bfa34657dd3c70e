"""The interface of a selector, and code that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from airrep.console.wording import counted, noun_for
from airrep.errors import ArgumentError
from selection.best_rows import InOrder
from selection.capabilities import ScorerCapabilities, SelectorCapabilities
from selection.constraints import BoundConstraints, ConstrainedPass, FreePass, Pass
from selection.objective import Objective, ObjectiveCurve
from selection.result import Selection
from selection.scores import Scores
from selection.weights import target_weights

NO_GAIN = float("nan")  # of a pick, where the selector has no objective

AUTO: Literal["auto"] = "auto"  # a size k: that of `SizesItself.select_best_size`
Size = int | Literal["auto"]
Weights = Sequence[float] | npt.NDArray[np.floating]


class Selector(Protocol):
    """Scores to a chosen set; it may declare `SelectorCapabilities` by attributes."""

    @property
    def name(self) -> str:
        """What reports and manifests call it."""
        ...

    @property
    def objective(self) -> Objective | None:
        """What the gains of its picks are changes of; None if it follows no such number."""
        ...

    def select(
        self,
        scores: Scores,
        k: int | None,
        *,
        weights: Weights | None = None,
        constraints: BoundConstraints | None = None,
    ) -> Selection:
        """Choose k pool rows, best first.

        Args:
            scores: (targets, pool); larger means that the row helps the target more.
            k: How many rows; 1 <= k <= pool. Of rows that are exactly alike the first wins. Under
                a token budget no more than k rows, and None for as many as it holds.
            weights: How much each target counts, (targets,); default all the same.
            constraints: What the selection has to keep to, bound to the same pool.

        Raises:
            ArgumentError: `k` or `weights` cannot be right, or the constraints cannot be met.
            EmbeddingError: The scores hold NaN or infinity.
        """
        ...


@runtime_checkable
class SizesItself(Protocol):
    """A selector whose objective says how many rows to choose."""

    def select_best_size(self, scores: Scores, *, weights: Weights | None = None) -> Selection:
        """The selection at the size where the objective is best, or stops getting better.

        At least one row. It is `select` with that size as k.

        Args:
            scores: See `Selector.select`.
            weights: See `Selector.select`.

        Raises:
            ArgumentError: `weights` cannot be right.
            EmbeddingError: The scores hold NaN or infinity.
        """
        ...


class RowByRow(ABC):
    """A selector that picks one row after another, under constraints or without."""

    needs_matrix = False
    keeps_constraints = True

    def select(
        self,
        scores: Scores,
        k: int | None,
        *,
        weights: Weights | None = None,
        constraints: BoundConstraints | None = None,
    ) -> Selection:
        """See `Selector.select`."""
        share = target_weights(weights, scores.shape[0])
        return self._pick(scores, share, begin(scores, k, share, constraints))

    @abstractmethod
    def _pick(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        """Pick until the pass is done; `share`: (targets,) weights that sum to 1."""


class SizedByObjective(RowByRow):
    """One whose objective says how many rows to choose; see `SizesItself`."""

    def select_best_size(self, scores: Scores, *, weights: Weights | None = None) -> Selection:
        """See `SizesItself.select_best_size`."""
        share = target_weights(weights, scores.shape[0])
        return self._pick_best(scores, share, begin(scores, scores.shape[1], share, None))

    @abstractmethod
    def _pick_best(self, scores: Scores, share: npt.NDArray[np.float64], steps: Pass) -> Selection:
        """Pick to the best size; the pass is free, and as long as the pool."""


def without_embeddings(selector: Selector, method: str) -> ArgumentError:
    """What is wrong with a selector that compares embeddings by a method's scores of none."""
    return ArgumentError(
        f"selector {selector.name!r} compares the rows' embeddings with each other, and scores by "
        f"{method!r} have none; choose layered_greedy."
    )


def check_selector(selector: Selector, scorer: object) -> None:
    """Refuse, before anything is scored, a selector that the scorer's scores cannot serve.

    Raises:
        ArgumentError: It compares embeddings, and the scorer declares that it has none.
    """
    needs = SelectorCapabilities.of(selector).needs_embeddings
    if needs and not ScorerCapabilities.of(scorer).embeds:
        raise without_embeddings(selector, getattr(scorer, "name", type(scorer).__name__))


def check_k(k: int | None, pool: int) -> None:
    """Refuse a k that no selection can have.

    Raises:
        ArgumentError: k is not an integer between 1 and the size of the pool.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ArgumentError(f"k should be an integer, found {k!r}.")
    if k < 1:
        raise ArgumentError(f"k should be at least 1, found {k}.")
    if k > pool:
        raise ArgumentError(
            f"k = {k} is larger than the pool of {pool} {noun_for(pool, 'row')}; choose k <= "
            f"{pool}, or add rows."
        )


def begin(
    scores: Scores,
    k: int | None,
    share: npt.NDArray[np.float64],
    constraints: BoundConstraints | None,
) -> Pass:
    """Start to pick: checks k and the constraints.

    Args:
        scores: (targets, pool).
        k: See `Selector.select`.
        share: (targets,) weights, of `target_weights`.
        constraints: See `Selector.select`.

    Raises:
        ArgumentError: No selection can have this k, or meet the constraints.
    """
    pool = scores.shape[1]
    if constraints is None:
        check_k(k, pool)
        return FreePass(int(k or 0))
    if len(constraints.source) != pool:
        raise ArgumentError(
            f"constraints: bound to {counted(len(constraints.source), 'row')}, and the scores have "
            f"{pool}."
        )
    if k is not None:  # beside a token budget it only caps, and may be more than there is
        check_k(k, pool if constraints.asked.max_tokens is None else max(pool, int(k)))
    return ConstrainedPass(constraints, k, share, scores.target_ids)


class Picks:
    """Rows as they are picked."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, float, int, int]] = []

    def add(self, row: int, gain: float, target: int, layer: int = 0) -> None:
        """Row, its gain or `NO_GAIN`, the target that earned it, and its group."""
        self._rows.append((row, gain, target, layer))

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._rows)

    def selection(
        self, name: str, scores: Scores, objective: Objective | ObjectiveCurve | None = None
    ) -> Selection:
        """The picks as the selector's result; see `build`."""
        rows, gains, targets, layers = (
            np.array(column) for column in zip(*self._rows, strict=True)
        )
        return build(name, scores, rows, gains, targets, layers, objective)


def in_order(
    selector: Selector,
    scores: Scores,
    share: npt.NDArray[np.float64],
    steps: Pass,
    ranking: npt.NDArray[np.int64],
    gains: npt.NDArray[np.floating],
    earners: npt.NDArray[np.int64],
    sign: int = 1,
) -> Selection:
    """Pick the rows that are open in one order.

    Args:
        selector: Whose picks they are.
        scores: (targets, pool).
        share: (targets,) weights.
        steps: Which rows may be picked.
        ranking: All rows of the pool in order; without constraints the first ones are enough.
        gains: (pool,) what a row changes the objective by.
        earners: (pool,) the target that a row counts for. For targets that have not earned their
            least, it is that of them with the largest weighted score.
        sign: -1 takes the smallest weighted score there.
    """
    if steps.open is None:
        rows = ranking[: steps.most]
        objective = selector.objective
        return build(selector.name, scores, rows, gains[rows], earners[rows], objective=objective)
    picks, down = Picks(), InOrder(ranking, steps)
    while not steps.done:
        row = down.next()
        target = int(earners[row])
        if steps.needy is not None:
            merit = sign * share * scores.columns(np.array([row])).values()[:, 0]
            target = earner(merit, share, steps.needy)
        picks.add(row, float(gains[row]), target)
        steps.take(row, target)
    return picks.selection(selector.name, scores, selector.objective)


def earner(
    merit: npt.NDArray[np.floating],
    share: npt.NDArray[np.float64],
    needy: npt.NDArray[np.int64] | None,
) -> int:
    """The target that a pick counts for: of those that may earn it, the one of the largest merit.

    Args:
        merit: (targets,) what the pick did for each, weighted.
        share: (targets,) weights; a target of weight 0 earns nothing.
        needy: See `Pass.needy`.
    """
    if needy is not None:
        return int(needy[np.argmax(merit[needy])])
    return int(np.argmax(np.where(share > 0, merit, -np.inf)))


def scores_of(
    scores: Scores, indices: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The score of each chosen row for the target that earned it, (k,)."""
    unique, place = np.unique(indices, return_inverse=True)
    chosen = scores.columns(unique).values()
    return chosen[targets, place]


def build(
    name: str,
    scores: Scores,
    indices: npt.NDArray[np.int64],
    gains: npt.NDArray[np.floating],
    targets: npt.NDArray[np.int64],
    layers: npt.NDArray[np.int64] | None = None,
    objective: Objective | ObjectiveCurve | None = None,
) -> Selection:
    """Assemble a `Selection` from picks in order.

    Args:
        name: Name of the selector.
        scores: That it chose by.
        indices: (k,) rows.
        gains: (k,) changes of the objective; without one they are not kept.
        targets: (k,) who earned the rows.
        layers: (k,) groups of the rows; default one.
        objective: The selector's, and its values where it is not 0 of no rows.
    """
    indices = np.asarray(indices, dtype=np.int64)
    changes = np.asarray(gains, dtype=np.float64)
    if objective is None:
        changes = np.full(len(indices), NO_GAIN)  # of what would they be changes?
    layers = np.zeros(len(indices), dtype=np.int64) if layers is None else layers
    if isinstance(objective, Objective):
        objective = ObjectiveCurve.adding_up(objective, changes, layers)
    return Selection(
        indices=indices,
        gains=changes,
        scores=scores_of(scores, indices, targets),
        targets=np.asarray(targets, dtype=np.int64),
        layers=layers,
        ids=[scores.pool_ids[i] for i in indices],
        target_ids=scores.target_ids,
        method=name,
        objective=objective,
    )
