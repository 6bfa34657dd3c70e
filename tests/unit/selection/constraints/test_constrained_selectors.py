"""Selection under constraints, against a search that tries every row and every completion."""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from selection import best_rows
from selection.constraints import BoundConstraints, ConstrainedPass, Constraints, standings
from selection.constraints.shortlist import constrained_shortlist
from selection.scores import DenseScores, EmbeddingScores
from selection.selectors import SELECTORS, make_selector
from selection.weights import target_weights

SHARES = ["0.1", "0.2", "0.3", "0.5", "0.7", "1.0"]
SCALE = 2.0

every_selector = pytest.mark.parametrize("name", SELECTORS)


def _matrix(values, **given):
    """The values as inner products, since herding asks for embeddings."""
    return EmbeddingScores(np.eye(len(values)), np.ascontiguousarray(values.T), **given)


@dataclass
class Problem:
    """One instance, with the plainest possible statement of what a selection has to keep to."""

    values: np.ndarray
    sources: list[str]
    k: int | None
    lengths: list[int]
    weights: list[float]
    asked: dict = field(default_factory=dict)

    @property
    def rows(self):
        return range(len(self.sources))

    @property
    def matrix(self):
        return _matrix(self.values, scale=SCALE)

    @property
    def share(self):
        return target_weights(self.weights, len(self.weights))

    @property
    def bound(self):
        ids = [str(i) for i in self.rows]
        return BoundConstraints.bind(Constraints(**self.asked), ids, self.sources, self.lengths)

    def select(self, name):
        return make_selector(name).select(
            self.matrix, self.k, weights=self.weights, constraints=self.bound
        )

    @property
    def whole(self):
        """What shares of rows are of."""
        return len(self.sources) if self.k is None else self.k

    def amount(self, value, whole, rounding):
        return value if isinstance(value, int) else rounding(Fraction(str(value)) * whole)

    def owed(self):
        """Rows that each target has to earn."""
        wanted = self.asked.get("min_per_target", 0)
        each = wanted if isinstance(wanted, dict) else {"*": wanted}
        return [
            self.amount(each.get(str(x), each.get("*", 0) if w else 0), self.whole, ceil)
            for x, w in enumerate(self.weights)
        ]

    def is_met_by(self, rows):
        """Whether a finished selection keeps to all that is said of rows and sources."""
        budget = self.asked.get("max_tokens")
        if not set(map(int, self.asked.get("include", ()))) <= set(rows):
            return False
        if set(map(int, self.asked.get("exclude", ()))) & set(rows) or not rows:
            return False
        if budget is None:
            if len(rows) != self.k:
                return False
        elif sum(self.lengths[i] for i in rows) > budget or len(rows) > self.whole:
            return False
        return all(self._source_is_met_by(source, rows) for source in set(self.sources))

    def _source_is_met_by(self, source, rows):
        its = [i for i in rows if self.sources[i] == source]
        budget = self.asked.get("max_tokens")
        least = self.asked.get("min_per_source", {})
        if len(its) < self.amount(least.get(source, least.get("*", 0)), self.whole, ceil):
            return False
        most = self.asked.get("max_per_source", {})
        most = most.get(source, most.get("*", len(self.sources)))
        if budget is not None and isinstance(most, float):
            return sum(self.lengths[i] for i in its) <= floor(Fraction(str(most)) * budget)
        return len(its) <= self.amount(most, self.whole, floor)

    def finished(self):
        return [
            set(rows)
            for size in range(len(self.rows) + 1)
            for rows in combinations(self.rows, size)
            if self.is_met_by(rows)
        ]

    def steps(self, choose):
        """Picks and earners of a pass; choose(open rows, needy targets or None) is one pick."""
        finished, owed = self.finished(), self.owed()
        pending = set(map(int, self.asked.get("include", ())))
        picks, earners = [], []

        def can_end(row, still_owed):
            taken = {*picks, row}
            return any(taken <= rows and len(rows - taken) >= still_owed for rows in finished)

        while True:
            candidates = sorted((pending or set(self.rows)) - set(picks))
            free = [row for row in candidates if can_end(row, sum(owed))]
            needy = None
            if not free and sum(owed):
                free = [row for row in candidates if can_end(row, sum(owed) - 1)]
                needy = [x for x, count in enumerate(owed) if count]
            if not free:
                return picks, earners
            row, target = choose(free, needy)
            owed[target] = max(0, owed[target] - 1)
            pending.discard(row)
            picks.append(row)
            earners.append(target)


@st.composite
def problems(draw, most_rows=7):
    rows = draw(st.integers(1, most_rows))
    targets = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sources = draw(st.lists(st.sampled_from("abc"), min_size=rows, max_size=rows))
    weights = draw(
        st.lists(st.sampled_from([1.0, 2.0, 0.5, 0.0]), min_size=targets, max_size=targets)
    )
    weights[draw(st.integers(0, targets - 1))] = 1.0
    lengths = draw(st.lists(st.integers(1, 6), min_size=rows, max_size=rows))
    budget = draw(st.none() | st.integers(1, 20))
    k = draw(st.integers(1, rows) if budget is None else st.none() | st.integers(1, rows))
    whole = st.integers(0, 4)
    share = st.sampled_from(SHARES).map(float)
    known = st.sampled_from([*sorted(set(sources)), "*"])
    least = whole | share if budget is None else whole
    asked = {
        "max_tokens": budget,
        "max_per_source": draw(st.none() | st.dictionaries(known, whole | share, max_size=3)),
        "min_per_source": draw(st.none() | st.dictionaries(known, least, max_size=2)),
        "min_per_target": draw(
            st.none() | st.integers(1, 2) | (least if budget is None else whole)
        ),
    }
    ids = draw(st.permutations([str(i) for i in range(rows)]))
    kept, left_out = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    asked["include"], asked["exclude"] = ids[:kept], ids[kept : kept + left_out]
    asked = {name: value for name, value in asked.items() if value is not None}
    values = rng.standard_normal((targets, rows), dtype=np.float32)
    return Problem(values, sources, k, lengths, weights, asked)


def _earner(merit, share, needy):
    among = needy if needy is not None else np.flatnonzero(share).tolist()
    return max(among, key=lambda x: merit[x])


def _greedy(problem, influence, layered):
    share, group, layers = problem.share, [], [0]

    def change(row):
        after = influence(problem.values, [*group, row], SCALE)
        return share * (after - influence(problem.values, group, SCALE))

    def choose(rows, needy):
        def gain(row):
            return change(row).sum() if needy is None else change(row)[needy].max()

        if layered and group and max(map(gain, rows)) <= 1e-12 * np.abs(problem.values).max():
            group.clear()
            layers[0] += 1
        row = max(rows, key=gain)
        target = _earner(change(row), share, needy)
        group.append(row)
        return row, target

    return choose


def _coverage(problem):
    share, covered = problem.share, [np.zeros(len(problem.values))]

    def choose(rows, needy):
        grown = {
            row: np.log(np.exp(covered[0]) + np.exp(SCALE * problem.values[:, row].astype(float)))
            for row in rows
        }

        def gain(row):
            added = share * (grown[row] - covered[0])
            return added.sum() if needy is None else added[needy].max()

        row = max(rows, key=gain)
        target = _earner(share * (grown[row] - covered[0]), share, needy)
        covered[0] = grown[row]
        return row, target

    return choose


def _round_robin(problem):
    due = [(1 / w, x, 1) for x, w in enumerate(problem.share) if w]

    def choose(rows, needy):
        while True:
            due.sort()
            _, x, turn = due[0]
            due[0] = ((turn + 1) / problem.share[x], x, turn + 1)
            if needy is None or x in needy:
                return max(rows, key=lambda row: problem.values[x, row]), x

    return choose


def _top_k(problem, over):
    counted = problem.share[:, None]
    weighted = problem.values * (counted if over == "mean" else counted / counted.max())
    chosen = [x for x, w in enumerate(problem.share) if w]

    def choose(rows, needy):
        among = chosen if needy is None else needy
        pooled = weighted[chosen].sum(axis=0) if over == "mean" else weighted[chosen].max(axis=0)
        if needy is not None:
            pooled = weighted[needy].max(axis=0)
        row = max(rows, key=lambda row: pooled[row])
        return row, max(among, key=lambda x: weighted[x, row])

    return choose


def _herding(problem):
    """Embeddings are the scores for each target, as in `_matrix`; targets the unit vectors."""
    rows = problem.values.T.astype(np.float64)
    total, count = np.zeros(rows.shape[1]), [0]

    def choose(open_rows, needy):
        count[0] += 1
        mean = total / count[0]
        direction = problem.share - mean

        def gain(row):
            return np.float32(rows[row] @ direction - rows[row] @ rows[row] / (2 * count[0]))

        def for_one(row):
            return max(problem.share[x] * problem.values[x, row] for x in needy)

        row = max(open_rows, key=gain if needy is None else for_one)
        merit = problem.share * (rows[row] - mean @ rows[row])
        total[:] += rows[row]
        return row, _earner(merit, problem.share, needy)

    return choose


def _random(problem):
    order = np.random.default_rng(0).permutation(len(problem.rows)).tolist()
    merit = problem.values * problem.share[:, None]

    def choose(rows, needy):
        row = min(rows, key=order.index)
        return row, _earner(merit[:, row], problem.share, needy)

    return choose


def _reference(name, problem, influence):
    match name:
        case "layered_greedy" | "plain_greedy":
            return _greedy(problem, influence, name == "layered_greedy")
        case "coverage":
            return _coverage(problem)
        case "herding":
            return _herding(problem)
        case "round_robin":
            return _round_robin(problem)
        case "random":
            return _random(problem)
    return _top_k(problem, name.removeprefix("top_k_"))


def _possible(problem):
    """Whether any selection at all meets the constraints."""
    return any(len(rows) >= sum(problem.owed()) for rows in problem.finished())


@every_selector
@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(problems())
def test_every_pick_is_the_best_row_after_which_all_can_still_be_met(influence, name, problem):
    if not _possible(problem):
        with pytest.raises(ArgumentError, match="constraints: "):
            problem.select(name)
        return
    chosen = problem.select(name)
    picks, earners = problem.steps(_reference(name, problem, influence))
    assert chosen.indices.tolist() == picks
    assert chosen.targets.tolist() == earners


@settings(deadline=None, max_examples=200)
@given(problems(most_rows=8))
def test_what_is_impossible_is_an_error_and_nothing_else_is(problem):
    def begin():
        return ConstrainedPass(problem.bound, problem.k, problem.share, problem.matrix.target_ids)

    if _possible(problem):
        assert not begin().done
    else:
        with pytest.raises(ArgumentError, match="constraints: "):
            begin()


@settings(deadline=None, max_examples=150)
@given(problems(most_rows=8), st.integers(0, 2**32 - 1))
def test_rows_are_open_exactly_while_they_leave_a_way_to_the_end(problem, seed):
    """Whatever is picked, by whatever selector."""
    if not _possible(problem):
        return
    rng = np.random.default_rng(seed)
    steps = ConstrainedPass(problem.bound, problem.k, problem.share, problem.matrix.target_ids)
    counted = np.flatnonzero(problem.share)

    def choose(rows, needy):
        assert np.flatnonzero(steps.open).tolist() == rows
        assert (steps.needy is None) == (needy is None)
        assert needy is None or steps.needy.tolist() == needy
        row, target = int(rng.choice(rows)), int(rng.choice(counted if needy is None else needy))
        steps.take(row, target)
        return row, target

    picks, _ = problem.steps(choose)
    assert steps.done
    assert len(picks) <= steps.most


@st.composite
def large_problems(draw):
    """Too large to try all completions; mostly possible."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, targets = draw(st.integers(30, 80)), draw(st.integers(1, 6))
    sources = rng.choice(list("abcde"), rows).tolist()
    budget = draw(st.none() | st.integers(60, 400))
    k = draw(st.integers(10, 25) if budget is None else st.none() | st.integers(10, 25))
    known = st.sampled_from([*sorted(set(sources)), "*"])
    share = st.sampled_from([0.3, 0.4, 0.5])
    least = st.integers(0, 3) | (share if budget is None else st.just(1))
    asked = {
        "max_tokens": budget,
        "max_per_source": draw(st.dictionaries(known, share | st.integers(3, 8), max_size=4)),
        "min_per_source": draw(st.dictionaries(known, least, max_size=2)),
        "min_per_target": draw(st.integers(0, 3)),
        "include": [str(i) for i in rng.choice(rows, draw(st.integers(0, 3)), replace=False)],
        "exclude": [],
    }
    left = [str(i) for i in range(rows) if str(i) not in asked["include"]]
    asked["exclude"] = left[: draw(st.integers(0, 5))]
    values = rng.standard_normal((targets, rows), dtype=np.float32)
    return Problem(values, sources, k, rng.integers(1, 30, rows).tolist(), [1.0] * targets, asked)


def _same(one, other):
    for field_ in ("indices", "gains", "scores", "targets", "layers"):
        np.testing.assert_array_equal(getattr(one, field_), getattr(other, field_))


def _chosen(problem, name):
    """The selection, or None if there cannot be one."""
    try:
        return problem.select(name)
    except ArgumentError:
        return None


@every_selector
@settings(deadline=None, max_examples=60)
@given(large_problems())
def test_constraints_hold_exactly(name, problem):
    chosen = _chosen(problem, name)
    if chosen is None:
        return
    rows = chosen.indices.tolist()
    assert len(set(rows)) == len(rows)
    assert problem.is_met_by(rows)
    earned = np.bincount(chosen.targets, minlength=len(problem.weights))
    assert (earned >= problem.owed()).all()
    assert all(each.met for each in standings(problem.bound, chosen, problem.k, problem.share))
    included = len(problem.asked["include"])
    assert {str(row) for row in rows[:included]} == set(problem.asked["include"]), "they come first"


@every_selector
@settings(deadline=None, max_examples=30)
@given(large_problems())
def test_a_budget_is_used_up_until_no_row_fits(name, problem):
    problem.asked = {"max_tokens": problem.asked["max_tokens"] or 100}
    chosen = problem.select(name)
    left = problem.asked["max_tokens"] - sum(problem.lengths[i] for i in chosen.indices)
    others = [n for i, n in enumerate(problem.lengths) if i not in chosen.indices]
    assert left >= 0
    assert len(chosen) == problem.k or min(others, default=left + 1) > left


@every_selector
@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(large_problems())
def test_how_many_rows_are_looked_up_at_once_changes_nothing(name, problem):
    usual = _chosen(problem, name)
    if usual is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(best_rows, "_AT_ONCE", 1)
        _same(problem.select(name), usual)


LOOSE = {
    "nothing": {},
    "wide": {
        "max_tokens": 10**9, "max_per_source": {"*": 1.0}, "min_per_source": {"a": 0},
        "min_per_target": 0,
    },
    "all of it": {"max_per_source": {"*": 40}, "min_per_source": {"a": 0}, "exclude": []},
}  # fmt: skip


@every_selector
@pytest.mark.parametrize("case", LOOSE)
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("weights", [None, [1, 2, 0, 0.25, 4]])
def test_constraints_that_do_not_bind_change_no_bit(normal_scores, name, case, rounded, weights):
    values = np.round(normal_scores(), 1) if rounded else normal_scores()  # with ties, or without
    matrix = _matrix(values, scale=5.0)
    bound = BoundConstraints.bind(
        Constraints(**LOOSE[case]), matrix.pool_ids, ["a", "b"] * 20, np.arange(1, 41)
    )
    selector = make_selector(name)
    for k in (1, 13, 40):
        free = selector.select(matrix, k, weights=weights)
        _same(selector.select(matrix, k, weights=weights, constraints=bound), free)
        _same(selector.select(matrix, k, weights=weights, constraints=None), free)


@every_selector
@settings(deadline=None, max_examples=30)
@given(large_problems())
def test_a_smaller_k_gives_a_prefix_while_only_maxima_bind(name, problem):
    """With minima it need not: what they need comes when it has to."""
    problem.asked = {
        "max_per_source": {s: 4 for s in problem.asked["max_per_source"] if s != "*"},
        "include": problem.asked["include"][:1],
    }
    problem.k = 10
    whole = _chosen(problem, name)
    if whole is None:
        return
    problem.k = 6
    part = problem.select(name)
    assert part.indices.tolist() == whole.indices[:6].tolist()


@pytest.mark.parametrize("name", ["layered_greedy", "plain_greedy", "coverage", "top_k_max"])
def test_excluding_rows_is_choosing_from_a_pool_without_them(normal_scores, name):
    values = normal_scores()
    left_out = [0, 3, 17, 39]
    rest = np.setdiff1d(np.arange(40), left_out)
    matrix = DenseScores(values)
    bound = BoundConstraints.bind(Constraints(exclude=left_out), matrix.pool_ids, [""] * 40)
    chosen = make_selector(name).select(matrix, 36, constraints=bound)
    without = make_selector(name).select(DenseScores(values[:, rest]), 36)
    np.testing.assert_array_equal(chosen.indices, rest[without.indices])
    # the sums of a narrower matrix round otherwise
    np.testing.assert_allclose(chosen.gains, without.gains, rtol=1e-9, atol=1e-15)


def test_rows_that_have_to_be_in_are_in_the_group_when_others_are_compared():
    """The included row serves the first target; so the next pick is for the second."""
    values = np.array([[9, 8, 0], [0, 0, 1]], dtype=np.float32)
    matrix = DenseScores(values, scale=5.0)
    bound = BoundConstraints.bind(Constraints(include=["1"]), matrix.pool_ids, [""] * 3)
    chosen = make_selector("coverage").select(matrix, 2, constraints=bound)
    assert chosen.indices.tolist()[0] == 1
    layered = make_selector("layered_greedy").select(matrix, 3, constraints=bound)
    assert (layered.indices.tolist()[0], layered.layers.tolist()[0]) == (1, 0)


def test_a_target_that_no_row_helps_most_earns_its_least():
    """Every row helps the first target more; the second has the last places, by its own."""
    values = np.array([[9, 8, 7, 6, 5], [0, 1, 3, 2, 4]], dtype=np.float32)
    matrix = DenseScores(values)
    bound = BoundConstraints.bind(Constraints(min_per_target=0.4), matrix.pool_ids, [""] * 5)
    chosen = make_selector("top_k_max").select(matrix, 5, constraints=bound)
    assert chosen.indices.tolist() == [0, 1, 2, 4, 3]
    assert chosen.targets.tolist() == [0, 0, 0, 1, 1]


@every_selector
@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(large_problems())
def test_a_shortlist_can_meet_what_the_pool_can(name, problem):
    bound, matrix = problem.bound, problem.matrix
    if _chosen(problem, name) is None:
        return
    rows = constrained_shortlist(matrix, problem.k, bound, problem.share)
    assert (np.diff(rows) > 0).all()
    chosen = make_selector(name).select(
        matrix.columns(rows), problem.k, weights=problem.weights, constraints=bound.columns(rows)
    ).relocated(rows)  # fmt: skip
    assert problem.is_met_by(chosen.indices.tolist())
    earned = np.bincount(chosen.targets, minlength=len(problem.weights))
    assert (earned >= problem.owed()).all()


@settings(deadline=None, max_examples=100)
@given(large_problems())
def test_top_rows_under_quotas_are_all_in_the_shortlist(problem):
    problem.asked |= {"max_tokens": None, "min_per_target": 0}
    problem.k = problem.k or 12
    whole = _chosen(problem, "top_k_max")
    if whole is None:
        return
    rows = constrained_shortlist(problem.matrix, problem.k, problem.bound, problem.share)
    assert set(whole.indices.tolist()) <= set(rows.tolist())


def test_a_shortlist_leaves_rows_out(normal_scores):
    matrix = DenseScores(normal_scores(targets=2, pool=400))
    sources = ["a", "b", "c", "d"] * 100
    asked = Constraints(max_per_source={"a": 2}, min_per_source={"b": 3}, include=["399"])
    bound = BoundConstraints.bind(asked, matrix.pool_ids, sources)
    rows = constrained_shortlist(matrix, 10, bound, np.array([0.5, 0.5]))
    assert len(rows) <= 2 * (10 + 3) + 1
    assert 399 in rows
    with pytest.raises(ArgumentError, match="pool row 399 has to be in, and is not among the 3"):
        bound.columns(np.array([0, 1, 2]))


@every_selector
def test_rows_that_are_exactly_alike_come_in_their_order(name):
    matrix = _matrix(np.full((3, 9), 0.3, dtype=np.float32))
    bound = BoundConstraints.bind(
        Constraints(max_per_source={"a": 1}), matrix.pool_ids, ["a", "a", *"bbbbbbb"]
    )
    chosen = make_selector(name).select(matrix, 5, constraints=bound)
    if name != "random":
        np.testing.assert_array_equal(chosen.indices, [0, 2, 3, 4, 5])


@every_selector
def test_constraints_of_another_pool_and_no_size_at_all(name, normal_scores):
    matrix = _matrix(normal_scores())
    other = BoundConstraints.bind(Constraints(), ["x"], [""])
    with pytest.raises(ArgumentError, match="bound to 1 row, and the scores have 40"):
        make_selector(name).select(matrix, 3, constraints=other)
    own = BoundConstraints.bind(Constraints(), matrix.pool_ids, [""] * 40)
    with pytest.raises(ArgumentError, match=r"k is None and constraints\.max_tokens is not given"):
        make_selector(name).select(matrix, None, constraints=own)
    with pytest.raises(ArgumentError, match="k = 41 is larger than the pool of 40"):
        make_selector(name).select(matrix, 41, constraints=own)
