"""A run of `select` or `harmful`: the stages from a request to a training set, in their order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airrep.disk.parts import discard, kept_in
from airrep.engines import Engine, started
from airrep.errors import ArgumentError
from airrep.machine.processes import rank, wait_for_everyone
from airrep.records import taken
from curate.manifest.arguments import replayable
from curate.manifest.provenance import Manifest, fingerprint, run_of
from curate.selected_rows import check_columns, without_reasons
from curate.stages.choosing import AtMost, Candidates, at_hand, memory_of
from curate.stages.constraint_binding import bind
from curate.stages.destination import check_run
from curate.stages.inputs import Input, Inputs, compares_answers, what_is_scored
from curate.stages.pool_guard import Kept, PoolGuard
from curate.stages.requests import ScoringRequest, SelectionRequest
from curate.stages.scorer_choice import announce_scoring
from curate.training_set import TrainingSet
from curate.writing.file_format import ending_of, is_of_trainer
from curate.writing.formats import check_format_fits
from curate.writing.row_files import check_can_be_written
from selection.capabilities import ScorerCapabilities
from selection.constraints import standings
from selection.overview import overview
from selection.proposals import late_picks, proposed
from selection.scorers.pairs import PairScorer
from selection.selectors import make_selector

if TYPE_CHECKING:
    from airrep.records import Example
    from selection.constraints import BoundConstraints
    from selection.result import Selection
    from selection.scorers import Scorer
    from selection.scores import Provenance, Scores
    from selection.selectors import Selector

PARTS = "scoring"  # what files of parts are called, in the output directory


@dataclass(frozen=True, eq=False)
class _Chosen:
    """A selection, of which rows, and the constraints that it keeps to."""

    selection: Selection
    scores: Scores
    kept: Kept
    size: int | None
    constraints: BoundConstraints | None


@dataclass(frozen=True, eq=False)
class _Proposal:
    """What a first scorer left to a second one.

    Attributes:
        scorer: Name of the first.
        provenance: Of its scores.
        rows: (n,) positions among those that it scored, in the order in which it proposed them.
        of: How many it scored.
    """

    scorer: str
    provenance: Provenance
    rows: npt.NDArray[np.int64]
    of: int

    def stated(self, picks: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The same in a manifest, with how many of the picks were proposed late.

        Args:
            picks: Positions of the chosen rows among the proposed ones, in the pool's order.
        """
        late = late_picks(np.sort(self.rows)[picks], self.rows)
        return {"scorer": self.scorer, "rows": len(self.rows), "of": self.of, "late": late}


class SelectionRun:
    """One run; its manifest says how long each stage took.

    Attributes:
        request: What was asked for.
        arguments: The same as a manifest keeps it; a selector that was left open is filled in.
        seconds: Time of each stage that is done.
        scored: See `what_is_scored`; None before.
        proposal: The rows that a first scorer proposed to a second; None without one.
    """

    def __init__(self, request: SelectionRequest) -> None:
        self.request = request
        self.arguments = replayable(request.given)
        self.seconds: dict[str, float] = {}
        self.scored: str | None = None
        self.proposal: _Proposal | None = None

    def result(self) -> TrainingSet:
        """Run all stages, and write the result if there is an output directory.

        Raises:
            CurateError: One of its kinds; nothing was lost that was there before.
        """
        inputs, share = self._read()
        self._check_run(inputs)
        wait_for_everyone()  # before one of several processes has written its result
        guard = self._guard(inputs)
        with started(self.request.engine) as workers:
            scores, selector = self._score(inputs, guard, workers, share)
            chosen = self._choose(inputs, guard, scores, selector, share)
            with self._timed("overview"):
                seen = overview(chosen.scores, chosen.selection.indices)
            manifest = self._manifest(inputs, chosen, share)
            result = TrainingSet.of(chosen.selection, inputs, chosen.kept, manifest, seen)
        self._write(result)
        return result

    def _read(self) -> tuple[Inputs, npt.NDArray[np.float64]]:
        """The inputs, and how much each target counts."""
        with self._timed("read"):
            inputs = self.request.inputs.read()
            check_columns(inputs.pool.rows.dataset.column_names, "pool")
            inputs.pool.check_layout("pool")
            self._check_written(inputs.pool)
            return inputs, self.request.choice.share(inputs)

    def _check_written(self, pool: Input) -> None:
        """Refuse rows that the files of the result could not hold."""
        output = self.request.output
        if output.directory is None:
            return
        check_can_be_written(without_reasons(pool.rows.dataset), ending_of(output.format))
        if is_of_trainer(output.format):
            check_format_fits(pool.rows, pool.examples, output.format)

    def _check_run(self, inputs: Inputs) -> None:
        """Refuse an output directory that holds another run's selection."""
        output = self.request.output
        if output.directory is None:
            return
        run = run_of(self.request.verb, self.arguments, inputs.records)
        given = self.request.given
        named = ("scorer", "rescore", "selector", "encoder", "model")
        objects = {
            name: given[name]
            for name in named
            if given.get(name) is not None and name not in self.arguments
        }
        check_run(output.directory, run, objects, overwrite=output.overwrite)

    def _guard(self, inputs: Inputs) -> PoolGuard:
        with self._timed("guard"):
            guard = self.request.guard.examine(inputs)
            self._check_left(guard)
            return guard

    def _score(
        self, inputs: Inputs, guard: PoolGuard, workers: Engine, share: npt.NDArray[np.float64]
    ) -> tuple[Scores, Selector]:
        """Scores of the rows that the guard lets through, and what will choose by them.

        Of two scorers the second sees the rows that the first proposes, and its scores count.
        """
        with self._timed("score"), kept_in(self.request.output.directory, PARTS):
            *first, last = self.request.scoring.stages
            for stage in first:
                scorer = self._scorer(stage, inputs, workers)
                self._narrow(guard, self._scores(stage, scorer, inputs, guard), inputs, share)
            scorer = self._scorer(last, inputs, workers)
            selector = self.request.choice.chooser(scorer, len(guard.to_score))
            if "selector" in self.arguments and self.arguments["selector"] is None:
                self.arguments["selector"] = selector.name
                self._check_run(inputs)
            return self._scores(last, scorer, inputs, guard), selector

    def _scorer(self, stage: ScoringRequest, inputs: Inputs, workers: Engine) -> Scorer:
        scorer = stage.made((inputs.targets, inputs.pool.examples), self.request.store, workers)
        signed = ScorerCapabilities.of(scorer).signed
        self.scored = what_is_scored(inputs, signed=signed)
        return PairScorer(scorer) if signed and compares_answers(inputs) else scorer

    def _scores(
        self, stage: ScoringRequest, scorer: Scorer, inputs: Inputs, guard: PoolGuard
    ) -> Scores:
        counts = len(guard.to_score), len(inputs.targets)
        announce_scoring(stage.scorer, scorer.name, *counts, shown=stage.progress)
        return scorer.score(inputs.targets, guard.to_score)

    def _narrow(
        self, guard: PoolGuard, scores: Scores, inputs: Inputs, share: npt.NDArray[np.float64]
    ) -> None:
        """Leave the rows that these scores propose, and a selection that meets the constraints."""
        kept, scores = guard.settled(scores)
        self._check_left(guard)
        asked = self.request.choice
        rows = proposed(scores, asked.proposals(self.request.scoring.rescore_rows))
        if asked.asked is not None:
            bound = bind(asked.asked, inputs.pool.examples, kept, self.request.scoring.model)
            size = asked.size
            if isinstance(size, AtMost):
                size = _there(size, kept.rows, bound, share, inputs.targets)
            assert not isinstance(size, str), "constraints and k = 'auto' were refused"
            meeting = make_selector("round_robin").select(
                scores, size, weights=asked.weights, constraints=bound
            )
            rows = np.concatenate([rows, np.setdiff1d(meeting.indices, rows)])
        self.proposal = _Proposal(scores.method, scores.provenance, rows, len(kept.rows))
        guard.narrow(np.sort(rows))

    def _choose(
        self,
        inputs: Inputs,
        guard: PoolGuard,
        scores: Scores,
        selector: Selector,
        share: npt.NDArray[np.float64],
    ) -> _Chosen:
        with self._timed("select"):
            kept, scores = guard.settled(scores)
            self._check_left(guard)
            asked = self.request.choice
            bound = None
            if asked.asked is not None:
                bound = bind(asked.asked, inputs.pool.examples, kept, self.request.scoring.model)
            size = asked.size
            if isinstance(size, AtMost):
                size = _there(size, kept.rows, bound, share, inputs.targets)
            memory = memory_of(asked.memory_limit)
            scores = at_hand(selector, scores, memory)
            candidates = Candidates.of(scores, size, selector, asked.weights, bound, memory)
            chosen = candidates.choose(selector, size, asked.weights)
            number = None if isinstance(size, str) else size
            return _Chosen(chosen, scores, kept, number, bound)

    def _manifest(self, inputs: Inputs, made: _Chosen, share: npt.NDArray[np.float64]) -> Manifest:
        chosen, bound, asked = made.selection, made.constraints, self.request.choice
        default = asked.size if isinstance(asked.size, AtMost) else None
        proposal = self.proposal
        provenance = [*(() if proposal is None else proposal.provenance), *made.scores.provenance]
        return Manifest(
            verb=self.request.verb,
            arguments=self.arguments,
            inputs=inputs.records,
            encoders=[dict(each) for each in provenance],
            guard=made.kept.report.counts,
            chosen={
                "scorer": made.scores.method,
                "selector": chosen.method,
                "scale": made.scores.scale if asked.scale is None else asked.scale,
                "rows": len(chosen),
                "layers": int(chosen.layers[-1]) + 1,
                "objective": None if chosen.objective is None else chosen.objective.stated,
                "best_size": chosen.best_size,
                "scored": self.scored,
                "fewer_than": None if default is None or made.size == default else int(default),
                "shortlist": chosen.shortlist,
                "certificate": None if chosen.certificate is None else chosen.certificate.to_dict(),
                "constraints": [] if bound is None else standings(bound, chosen, made.size, share),
                "fingerprint": fingerprint(taken(made.kept.rows, chosen.indices)),
                "proposed": None if proposal is None else proposal.stated(chosen.indices),
            },
            seconds=self.seconds,
        )

    def _write(self, result: TrainingSet) -> None:
        output = self.request.output
        if output.directory is not None and rank() == 0:
            # Whether it may be replaced was found before the work.
            result.save(output.directory, format=output.format, overwrite=True)
            discard(output.directory, PARTS)
        wait_for_everyone()

    def _check_left(self, guard: PoolGuard) -> None:
        """Refuse a k that the guard has left too few rows for."""
        left, taken, k = len(guard.to_score), guard.taken, self.request.choice.number
        if not left:
            raise ArgumentError(
                f"the guard removed every row of the pool ({taken}); add other rows, or keep these."
            )
        if taken and k is not None and k > left:
            raise ArgumentError(
                f"k = {k} is larger than the pool of {left:,} that the guard left ({taken}); lower "
                "k, add rows, or keep them."
            )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def _there(
    k: int,
    rows: Sequence[Example],
    bound: BoundConstraints | None,
    share: npt.NDArray[np.float64],
    targets: Sequence[Example],
) -> int:
    """As many rows as there are to choose, up to k; if none, one, for a message."""
    there = min(k, len(rows))
    if bound is not None:
        there = bound.room(there, share, [target.id for target in targets])
    return max(there, 1)
