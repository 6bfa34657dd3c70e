"""Candidates, greedy, audit, and again, until the audit finds nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from airrep.errors import ArgumentError
from selection.certified.audit import Findings, audit
from selection.certified.memory import candidates_that_fit
from selection.certified.survey import Survey, survey
from selection.certified.trajectory import Float64, Int64, Recorder, Trajectory
from selection.group import GroupInfluence
from selection.result import Certificate, Selection
from selection.scores import DenseScores, Float32, Scores
from selection.selectors.base import Weights, begin
from selection.selectors.group_greedy import GroupGreedy, grow
from selection.weights import target_weights

_LEAST = 64  # of each target's best rows are candidates; more where k is large
_GENEROUS = 4  # times as many rows of each target as it would earn if all earned the same


def certified_greedy(
    selector: GroupGreedy, scores: Scores, k: int, weights: Weights | None = None, *, memory: int
) -> Selection:
    """Layered greedy without the score matrix: what `selector.select` returns, and the proof.

    All scores are computed once to find candidates, once to read theirs, and once a round; rounds
    are few (docs/scale.md).

    Args:
        selector: A layered one; plain greedy picks rows that matter to nobody, and cannot be
            certified.
        scores: (targets, pool), in blocks.
        k: How many rows.
        weights: (targets,) how much each counts.
        memory: Bytes that this may take beside what is there already; see `memory.needed`.

    Raises:
        ArgumentError: `selector` is not layered, k does not fit the pool, or `memory` does not even
            hold the first candidates.
    """
    if not selector.layered:
        raise ArgumentError("only the layered greedy can be certified; plain_greedy cannot.")
    targets, pool = scores.shape
    share = target_weights(weights, targets)
    begin(scores, k, share, None)
    per_target, by_mean = max(_LEAST, _GENEROUS * k // targets), min(pool, 2 * k)
    room = candidates_that_fit(memory, targets, pool, k, per_target, by_mean)
    known = survey(scores, share, per_target, by_mean)
    run = _Run(selector, scores, k, share, known)
    while True:
        found = run.once()
        fits = len(run.rows) + len(found.rows) <= room
        if found.first is None or not fits:
            return run.selection(found)
        run.widen(found)


class _Run:
    """The greedy on the candidates, taken up again with more of them."""

    def __init__(
        self, selector: GroupGreedy, scores: Scores, k: int, share: Float64, known: Survey
    ) -> None:
        self._selector, self._scores, self._k = selector, scores, k
        self._share, self._known = share, known
        self._scale = selector.scale_of(scores)
        self.rows: Int64 = known.candidates
        self._columns: Float32 = scores.columns(self.rows).values()
        self._chosen: Selection | None = None
        self._settled = 0  # ranks that no row left out can change
        self.rounds = 0

    def once(self) -> Findings:
        """Run the greedy from the first rank that is not settled, and audit it from there."""
        self.rounds += 1
        trajectory = self._grow()
        return audit(self._scores, trajectory, self._known, self.rows, self._share, self._scale)

    def widen(self, found: Findings) -> None:
        """Add candidates; what came before the first that would have been picked stands."""
        rows = np.append(self.rows, found.rows)
        order = np.argsort(rows)
        self.rows = rows[order]
        self._columns = np.hstack([self._columns, found.columns])[:, order]
        self._settled = int(found.first or 0)

    def selection(self, found: Findings) -> Selection:
        """What was chosen last, as positions in the pool, with what the last audit found."""
        assert self._chosen is not None, "nothing was chosen yet"
        certified = found.first is None
        certificate = Certificate(
            certified,
            self._scores.shape[1],
            len(self.rows),
            self.rounds,
            found.doubtful,
            found.computed,
            found.first,
        )
        shortlist = None if certified else len(self.rows)
        return replace(self._chosen, shortlist=shortlist, certificate=certificate)

    def _grow(self) -> Trajectory:
        scores = DenseScores(
            self._columns,
            target_ids=self._scores.target_ids,
            pool_ids=[self._scores.pool_ids[i] for i in self.rows],
            method=self._scores.method,
            scale=self._scores.scale,
        )
        known: list[tuple[int, int, float]] = []
        if self._chosen is not None:
            before = self._chosen
            places = np.searchsorted(self.rows, before.indices[: self._settled])
            known = list(
                zip(places.tolist(), before.layers.tolist(), before.gains.tolist(), strict=False)
            )
        steps = begin(scores, self._k, self._share, None)
        with GroupInfluence(
            self._columns, self._share, self._scale, largest=self._known.peaks
        ) as group:
            recorder = Recorder(group, self._settled)
            picks = grow(group, steps, self._share, layered=True, known=known, observe=recorder)
            trajectory = recorder.trajectory(self.rows)
        self._chosen = picks.selection(
            self._selector.name, scores, self._selector.objective
        ).relocated(self.rows)
        return trajectory
