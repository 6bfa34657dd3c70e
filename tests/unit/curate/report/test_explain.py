"""Why a row is in or not, and who helps a target: what is said is what the scores say."""

import re
from dataclasses import replace

import numpy as np
import pytest

from airrep.errors import ArgumentError
from curate.report import explain
from curate.report.kept.insight import Removed
from curate.report.wording import ordinal
from selection.selectors import SELECTORS


def _said(explanation):
    """On one line: where lines are broken does not matter."""
    return " ".join(str(explanation).split())


LEAK = Removed(99, "gone", "leak", "targets 3", 0.93, "the very same words", source="web")


def test_a_chosen_row_has_its_rank_gain_and_the_targets_that_it_helps_most(insight):
    for rank, row in enumerate(insight.selection.indices.tolist()):
        found = explain(insight, row)
        scores = insight.overview.chosen[rank]
        assert (found.status, found.rank, found.id) == ("chosen", rank, str(row))
        assert found.gain == insight.selection.gains[rank]
        assert found.earned_by.id == f"t{insight.selection.targets[rank]}"
        assert found.earned_by.score == pytest.approx(float(insight.selection.scores[rank]))
        assert [helped.id for helped in found.helps] == [
            f"t{x}" for x in sorted(range(4), key=lambda x: -scores[x])
        ]
        assert (
            f"row {row} (source {row % 2}) is in: {ordinal(rank + 1)} of 12 rows (rank {rank})"
            in str(found)
        )


def test_a_gain_is_the_change_of_the_objective_and_is_ranked_by_it(make_insight):
    """Under herding the row that moves the mean away most is the last, whatever its scores."""
    insight = make_insight(np.random.default_rng(0).normal(size=(4, 60)), 30, "herding")
    chosen = insight.selection
    values = np.append(chosen.objective.start, chosen.objective.values)
    gains = values[:-1] - values[1:]
    for rank, row in enumerate(chosen.indices.tolist()):
        found = explain(insight, row)
        assert found.gain == pytest.approx(gains[rank], abs=1e-12)
        assert found.gain_place == (gains >= gains[rank] - 1e-12).sum()
        assert (found.before, found.after) == (values[rank], values[rank + 1])
        assert ("for the worse" in _said(found)) == (gains[rank] < 0)
    last = explain(insight, int(chosen.indices[gains.argmin()]))
    assert "the 30th largest of 30: the distance went from" in _said(last)


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_is_said_of_a_row_is_true_of_every_selector(make_insight, selector):
    insight = make_insight(np.random.default_rng(1).normal(size=(6, 60)), 20, selector)
    follows = insight.selection.objective is not None
    chosen = _said(explain(insight, int(insight.selection.indices[3])))
    assert ("largest of 20: the" in chosen) == follows
    assert ("gain none: " + selector + " follows no objective" in chosen) != follows
    reasons = [_said(explain(insight, row)) for row in np.flatnonzero(insight.ranks() < 0)]
    own = [said for said in reasons if "for it. All" not in said and "for it. The row " not in said]
    assert own or selector in ("round_robin", "top_k_max")  # they go by one score
    assert all(f"{selector} " in said.split("why not")[1] for said in own)


def test_rivals_are_the_best_rows_that_are_not_in(make_insight):
    values = np.random.default_rng(3).normal(size=(2, 30))
    insight = make_insight(values, 6, selector="round_robin")
    chosen = set(insight.selection.indices.tolist())
    for row in chosen:
        found = explain(insight, row)
        x = int(found.earned_by.id[1:])
        left = [r for r in np.argsort(-values[x]) if r not in chosen]
        assert [rival.id for rival in found.rivals] == [str(r) for r in left[:5]]
        assert all(rival.rank is None for rival in found.rivals)
        assert found.higher == sum(values[x][r] > values[x][row] for r in chosen)


def test_no_row_is_said_to_score_more_than_rows_that_it_does_not(make_insight):
    values = np.random.default_rng(4).normal(size=(2, 397)) ** 2
    insight = make_insight(values, 30, selector="top_k_max")
    for row in insight.selection.indices.tolist():
        found = explain(insight, row)
        x = int(found.earned_by.id[1:])
        said = re.search(r"for that target, more than ([\d.]+)% of the pool", str(found))
        below = (values.astype(np.float32)[x] < np.float32(found.earned_by.score)).mean()
        assert float(said[1]) <= 100 * below
        assert float(said[1]) > 100 * below - 2


def test_a_row_that_was_left_out_is_compared_with_what_was_chosen(make_insight):
    values = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])
    insight = make_insight(values, 2, selector="top_k_max")
    found = explain(insight, 2)
    assert found.status == "left out"
    assert found.rank is None
    assert (found.earned, found.weakest, found.higher) == (2, 4.0, 2)
    said = _said(found)
    assert "row 2 (source 0) is not among the 2 chosen rows" in said
    assert "All 2 rows chosen for that target score higher, 4.00 or more." in said
    assert "row 3 not in" in said
    assert "row 2 not in" not in said, "it is no rival of its own"


def test_a_row_that_scores_high_and_is_not_in_is_not_said_to_score_too_low(make_insight):
    # Row 1 is second best for target 0; greedy serves target 1 first.
    values = np.array([[3.0, 2.9, 0.0, 0.0], [0.0, 0.0, 2.0, 1.9]])
    insight = make_insight(values, 2)
    assert sorted(insight.selection.indices.tolist()) == [0, 2]
    assert "The row chosen for that target scores higher, 3.00." in _said(explain(insight, 1))
    insight = make_insight(values, 1)
    assert "That target earned no row." in _said(explain(insight, 2))


def test_a_target_has_the_rows_that_help_it_most_and_least(insight, make_insight):
    values = np.random.default_rng(0).normal(size=(4, 60)).astype(np.float32)
    ranks = insight.ranks()
    for x in range(4):
        found = explain(insight, f"t{x}", target=True)
        order = np.argsort(-values[x], kind="stable")
        assert [row.id for row in found.most] == [str(r) for r in order[:5]]
        assert [row.id for row in found.least] == [str(r) for r in order[::-1][:5]]
        assert [row.rank for row in found.most] == [
            ranks[r] if ranks[r] >= 0 else None for r in order[:5]
        ]
        picked = [r for r in order if ranks[r] >= 0]
        assert [row.id for row in found.most_chosen] == [str(r) for r in picked[:5]]
        assert [row.id for row in found.least_chosen] == [str(r) for r in picked[::-1][:5]]
        assert found.earned == int((insight.selection.targets == x).sum())
        assert f"target t{x} is " in str(found)


def test_influence_is_the_group_formula(insight):
    for x in range(4):
        s = insight.overview.chosen[:, x].astype(np.float64)
        expected = (np.exp(np.abs(s)) * s).sum() / np.exp(np.abs(s)).sum()
        assert explain(insight, f"t{x}", target=True).influence == pytest.approx(expected)


def test_a_removed_row_says_what_it_repeats(make_insight):
    insight = make_insight(np.eye(3), 1, removed=[LEAK])
    found = explain(insight, "gone")
    assert (found.status, found.removed) == ("removed", LEAK)
    assert "the guard removed it: leak, 93% of targets 3 is found again in it" in str(found)
    assert "“the very same words”" in str(found)


def test_a_row_that_was_warned_of_is_explained_and_keeps_the_warning(make_insight):
    warned = replace(LEAK, id="1", row=1, warned=True)
    found = explain(make_insight(np.eye(3), 1, removed=[warned]), "1")
    assert found.status == "left out"
    assert "the guard warned of it: leak" in str(found)


def test_an_id_is_a_rows_unless_the_target_is_asked_for(make_insight):
    insight = make_insight(np.eye(2), 1, ids=["t0", "b"])
    assert explain(insight, "t0").text.prompt == "prompt 0"
    assert explain(insight, "t0", target=True).text.prompt == "target 0"


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("60", False, r"no pool row has the id '60'; the 60 pool rows are '0' to '59'.*--target"),
        ("60", True, r"no target has the id '60'; the 4 targets are 't0' to 't3'.*--target"),
        ("t11", True, r"Did you mean .*'t1'"),
        ("t1", False, r"no pool row has the id 't1', but a target has; .*--target .*target=True"),
        ("7", True, r"no target has the id '7', but a pool row has; .*--target .*target=True"),
    ],
)
def test_unknown_ids_get_a_helpful_error(insight, name, target, message):
    with pytest.raises(ArgumentError, match=message):
        explain(insight, name, target=target)


def test_long_texts_are_cut_and_lines_stay_readable(make_insight):
    insight = make_insight(np.eye(3), 2, prompts=["word " * 5000] * 3)
    for name, target in (("0", False), ("2", False), ("t0", True)):
        said = str(explain(insight, name, target=target))
        assert len(said) < 4000
        assert max(map(len, re.split("\n", said))) < 160


def test_a_single_row_and_a_single_target_can_be_explained(make_insight):
    insight = make_insight([[0.0]], 1)
    assert "1st of 1 row (rank 0)" in str(explain(insight, "0"))
    assert "target t0 is served" in str(explain(insight, "t0", target=True))
