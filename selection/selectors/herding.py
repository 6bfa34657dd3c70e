"""Herding: a set whose mean embedding is that of the targets.

    D(S) = |Σ_x w_x t_x - 1/|S| Σ_{i∈S} e_i|²

Adding the row with the largest gain

    g_i = <e_i, Σ_x w_x t_x - 1/(n+1) Σ_{j∈S} e_j> - |e_i|² / (2 (n+1)),    n = |S|

makes D the smallest that one more row can (Welling 2009; Chen, Welling and Smola 2010, arXiv
1203.3472). In words: rows like the targets, less what the set has already.

Ranking rows by what each does alone, as influence of the first order does, ends in a
hundred rows that all pull one way: for targets answered yes or no, rows of one answer. Where
embeddings are gradients, D is how far the mean step of the set is from the step that the targets
ask for.

These g_i order the rows that can be picked next; what a selection states as a row's gain is by how
much it lowered D, which is below 0 where even the best row moves the mean away.

The g_i change with every pick. But they change by no more than the direction they are taken along
moves, times a row's length: so a row far below the best need not be looked at until the direction
has moved that far. A pool that fits into memory is read once; a larger one again and again, a few
dozen times where few rows come near the best, and up to k times where most do. The picks are those
of the greedy that looks at every row.

Shapes: T targets, N pool rows, C candidates, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from selection.best_rows import BestRows
from selection.constraints import Pass
from selection.objective import Objective, ObjectiveCurve
from selection.result import Selection
from selection.scores import BLOCK, Scores, check_finite
from selection.selectors.base import Picks, SizedByObjective, earner, without_embeddings
from selection.top import largest

HERDING = "herding"
_MEMORY = 1 << 29  # bytes of candidates kept between two readings; at 384 dimensions 175,000 rows
_MOST_BESIDE = 1 << 14  # rows kept beside that, in the place of those that are picked
_CERTAIN = 1e-9  # relative; far above the rounding of D
_ROUNDING = 2.0**-20  # of gains in float32, relative to the largest product there can be

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Herding(SizedByObjective):
    """Add the row that brings the set's mean embedding closest to the targets', k times.

    A row's gain is by how much it lowered D; D of no rows is that of a mean of 0. For targets that
    have not earned their least, the pick is the row of the largest score for one of them.

    The best size is that of the smallest D, of all prefixes up to the whole pool: it picks on until
    it is certain that no further row, and no further rows together, bring D below the smallest so
    far; see `_Rest`. Scores that are not of embeddings are an ArgumentError.
    """

    name = HERDING
    needs_embeddings = True
    objective = Objective(
        "distance",
        "squared distance between the mean embedding of the chosen rows and that of the targets",
        "lower",
    )

    def _pick_best(self, scores: Scores, share: Float64, steps: Pass) -> Selection:
        chosen = self._pick(scores, share, steps, until_certain=True)
        assert chosen.best_size is not None, "herding has an objective"
        return chosen.first(chosen.best_size)

    def _pick(
        self, scores: Scores, share: Float64, steps: Pass, *, until_certain: bool = False
    ) -> Selection:
        """Pick to the end of the pass, or until no further row can make the smallest D smaller."""
        if scores.embeddings is None:
            raise without_embeddings(self, scores.method)
        targets = scores.embeddings.targets.astype(np.float64)
        counted = np.flatnonzero(share)
        wanted = share[counted] @ targets[counted]
        total = np.zeros_like(wanted)
        front, of_target, picks = _Front(scores, steps), BestRows(scores, steps), Picks()
        rest = _Rest(scores, wanted)
        start = float(wanted @ wanted)
        distances: list[float] = []
        smallest = np.inf
        count = 0
        while not steps.done:
            count += 1
            direction = wanted - total / count
            if steps.needy is None:
                row, embedding = front.best(direction, count)
            else:
                found = [(int(x), *of_target.of(int(x))) for x in steps.needy]
                row = max(found, key=lambda each: share[each[0]] * each[2])[1]
                embedding = np.asarray(scores.embeddings.pool[row : row + 1], dtype=np.float64)[0]
            target = earner(share * ((targets - total / count) @ embedding), share, steps.needy)
            before = wanted - total / max(1, count - 1)
            total += embedding
            after = wanted - total / count
            distances.append(float(after @ after))
            # D before less D after; their difference would lose digits as rows add up
            picks.add(row, float((before - after) @ (before + after)), target)
            steps.take(row, target)
            front.close(row)
            smallest = min(smallest, distances[-1])
            if until_certain and rest.cannot_beat(smallest, total, count, front.taken):
                break
        curve = ObjectiveCurve(self.objective, start, np.array(distances))
        return picks.selection(self.name, scores, curve)


class _Rest:
    """Whether rows that are not in yet could still bring the mean closer than it has been.

    Let u be the direction from the set's mean to the targets'. D of any larger set is at least what
    it lacks along u, squared. And along u no larger set can be further than the set with the rows
    added that go furthest along u: the best of the running means of these, in order.
    """

    _FIRST, _GROWTH = 8, 8  # how often to look: every pool row is read each time

    def __init__(self, scores: Scores, wanted: Float64) -> None:
        self._scores, self._wanted = scores, wanted
        self._due = self._FIRST

    def cannot_beat(
        self, smallest: float, total: Float64, count: int, taken: npt.NDArray[np.bool_]
    ) -> bool:
        """Whether it is certain; False if it is not, or was not looked at.

        Args:
            smallest: D that has to be beaten.
            total: (D,) sum of the rows that are in.
            count: How many.
            taken: (N,) which.
        """
        if count < self._due:
            return False
        self._due = count + max(self._FIRST, count // self._GROWTH)
        lacking = self._wanted - total / count
        length = float(np.linalg.norm(lacking))
        if length == 0:
            return smallest == 0
        along = lacking / length
        parts = self._scores.scan(partial(_along, direction=along, taken=taken))
        reach = np.sort(np.concatenate([values for part in parts for values in part]))[::-1]
        if not len(reach):
            return True
        furthest = (along @ total + np.cumsum(reach)) / (count + np.arange(1, len(reach) + 1))
        missing = float(along @ self._wanted - furthest.max())
        return missing > 0 and missing**2 >= smallest * (1 + _CERTAIN)


def _along(
    scores: Scores,
    starts: Sequence[int],
    threads: int | None,
    direction: Float64,
    taken: npt.NDArray[np.bool_],
) -> list[Float64]:
    """See `Scores.scan`; how far the rows that are not in go along a direction."""
    assert scores.embeddings is not None, "the selector has looked"
    found = []
    for start in starts:
        block = np.asarray(scores.embeddings.pool[start : start + BLOCK], dtype=np.float64)
        found.append((block @ direction)[~taken[start : start + len(block)]])
    return found


@dataclass(frozen=True, eq=False)
class _Found:
    """The rows of the largest gains, in one reading of the pool.

    Attributes:
        rows: (C,) positions, ascending.
        gains: (C,) float32.
        embeddings: (C, D) float64.
        left_out: No other open row has a larger gain.
        longest: The largest norm of any row.
    """

    rows: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float32]
    embeddings: Float64
    left_out: float = -np.inf
    longest: float = 0.0

    def joined(self, other: _Found, size: int) -> _Found:
        """The `size` best of both; of equal gains the first rows."""
        rows = np.concatenate([self.rows, other.rows])
        gains = np.concatenate([self.gains, other.gains])
        embeddings = np.concatenate([self.embeddings, other.embeddings])
        left_out, longest = max(self.left_out, other.left_out), max(self.longest, other.longest)
        if len(rows) > size:
            order = largest(gains, size + 1, rows)
            left_out = max(left_out, float(gains[order[size]]))
            kept = order[:size]
            rows, gains, embeddings = rows[kept], gains[kept], embeddings[kept]
        ascending = np.argsort(rows)
        return _Found(rows[ascending], gains[ascending], embeddings[ascending], left_out, longest)


class _Front:
    """The open rows whose gains are large, and a bound on the gains of all others."""

    def __init__(self, scores: Scores, steps: Pass) -> None:
        self._scores, self._steps = scores, steps
        assert scores.embeddings is not None, "the selector has looked"
        self._size = _MEMORY // (8 * scores.embeddings.pool.shape[1]) + min(
            steps.most, _MOST_BESIDE
        )
        self.taken = np.zeros(scores.shape[1], dtype=bool)
        self._phase: int | None = None

    def best(self, direction: Float64, count: int) -> tuple[int, Float64]:
        """Of the open rows the one of the largest g_i, the first of ties; and its embedding.

        Args:
            direction: (D,) that g_i are taken along.
            count: n + 1.
        """
        if self._phase != self._steps.phase:
            self._read(direction, count)
        place, gain = self._of_candidates(direction, count)
        if not gain > self._most_of_others(direction, count):
            self._read(direction, count)
            place, gain = self._of_candidates(direction, count)
        return int(self._found.rows[place]), self._found.embeddings[place]

    def close(self, row: int) -> None:
        """The row was picked."""
        self.taken[row] = True

    def _of_candidates(self, direction: Float64, count: int) -> tuple[int, float]:
        found = self._found
        gains = _gains(found.embeddings, direction, count, self._squares)
        shut = self.taken if self._steps.open is None else ~self._steps.open
        gains[shut[found.rows]] = -np.inf
        place = int(np.argmax(gains))
        return place, float(gains[place])

    def _most_of_others(self, direction: Float64, count: int) -> float:
        """No open row that is no candidate has a larger gain than this.

        Since the pool was read, it can have grown by as much as the direction has moved along the
        row, and as the last term has shrunk.
        """
        found = self._found
        if found.left_out == -np.inf:  # all open rows are candidates
            return -np.inf
        moved = found.longest * float(np.linalg.norm(direction - self._direction))
        shrunk = found.longest**2 * (1 / self._count - 1 / count) / 2
        rounding = _ROUNDING * found.longest * (found.longest + np.linalg.norm(direction))
        return found.left_out + moved + shrunk + float(rounding)

    def _read(self, direction: Float64, count: int) -> None:
        shut = self.taken if self._steps.open is None else ~self._steps.open
        look = partial(_look, direction=direction, count=count, shut=shut, size=self._size)
        found = _nothing(len(direction))
        for part in self._scores.scan(look):
            found = found.joined(part, self._size)
        self._found, self._squares = found, np.square(found.embeddings).sum(axis=1)
        self._direction, self._count, self._phase = direction, count, self._steps.phase


def _look(
    scores: Scores,
    starts: Sequence[int],
    threads: int | None,
    direction: Float64,
    count: int,
    shut: npt.NDArray[np.bool_],
    size: int,
) -> _Found:
    """See `Scores.scan`; the blocks that start there."""
    assert scores.embeddings is not None, "the selector has looked"
    found = _nothing(len(direction))
    for start in starts:
        block = np.asarray(scores.embeddings.pool[start : start + BLOCK], dtype=np.float64)
        check_finite(block.T, start)
        squares = np.square(block).sum(axis=1)
        gains = _gains(block, direction, count, squares)
        inside = np.flatnonzero(~shut[start : start + len(block)])
        if len(found.rows) == size:  # only what is better than the last one gets in
            worse = gains[inside] <= found.gains.min()
            left_out = float(gains[inside][worse].max(initial=-np.inf))
            inside = inside[~worse]
        else:
            left_out = -np.inf
        longest = float(np.sqrt(squares.max()))
        part = _Found(start + inside, gains[inside], block[inside], left_out, longest)
        found = found.joined(part, size)
    return found


def _gains(
    embeddings: Float64, direction: Float64, count: int, squares: Float64 | None = None
) -> npt.NDArray[np.float32]:
    """g_i of rows (n, D); in float32, so that rows that are alike tie wherever they stand."""
    if squares is None:
        squares = np.square(embeddings).sum(axis=1)
    return (embeddings @ direction - squares / (2 * count)).astype(np.float32)


def _nothing(dim: int) -> _Found:
    return _Found(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), np.empty((0, dim)))
