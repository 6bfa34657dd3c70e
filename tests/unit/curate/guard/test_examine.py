"""The guard as a whole: what goes and what is only reported, by setting."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from airrep.records import Example
from curate.guard import check_settings, examine
from curate.guard import overlap as overlap_module

LEAK, DOUBLE = "leak", "duplicate"


@pytest.fixture(scope="module")
def against(as_examples, prose):
    return {"targets": as_examples([prose(50, 20)]), "test": as_examples([prose(51, 20)])}


@pytest.fixture(scope="module")
def pool(as_examples, prose):
    """Row 1 leaks a target; 2 and 4 the test row, and are the same; 3, 5 and 6 are the same."""
    test, double = prose(51, 20), prose(52, 20)
    return as_examples(
        [prose(53, 20), f"{prose(54, 20)} {prose(50, 20)}", test, double, test.upper(),
         double.upper(), f"{double}!", prose(55, 20)]
    )  # fmt: skip


def _reasons(removals):
    return [(removal.row, removal.reason, removal.of) for removal in removals]


def test_leaks_go_first_and_duplicates_among_the_rest(pool, against):
    findings = examine(pool, against)
    assert findings.unleaked.tolist() == [0, 3, 5, 6, 7]
    report, stays = findings.settle()
    assert _reasons(report.removed) == [
        (1, LEAK, "targets 0"), (2, LEAK, "test 0"), (4, LEAK, "test 0"),
        (5, DOUBLE, "3"), (6, DOUBLE, "3"),
    ]  # fmt: skip
    assert report.warned == ()
    assert findings.unleaked[stays].tolist() == [0, 3, 7]
    assert [cluster.rows for cluster in report.clusters] == [(3, 5, 6)]
    assert report.counts == {
        "rows": 8, "leaks": 3, "duplicates": 2, "clusters": 1, "removed": 5, "left": 3
    }  # fmt: skip


def test_with_warn_all_rows_stay_and_all_is_reported(pool, against):
    findings = examine(pool, against, leakage="warn", duplicates="warn")
    report, stays = findings.settle()
    assert findings.unleaked[stays].tolist() == list(range(8))
    assert report.removed == ()
    assert _reasons(report.warned) == [
        (1, LEAK, "targets 0"), (2, LEAK, "test 0"), (4, LEAK, "test 0"),
        (4, DOUBLE, "2"), (5, DOUBLE, "3"), (6, DOUBLE, "3"),
    ]  # fmt: skip
    assert [cluster.rows for cluster in report.clusters] == [(2, 4), (3, 5, 6)]


def test_leaks_alone_can_be_kept(pool, against):
    report, stays = examine(pool, against, leakage="warn").settle()
    assert [removal.reason for removal in report.warned] == [LEAK] * 3
    assert [removal.row for removal in report.removed] == [4, 5, 6]
    assert stays.tolist() == [0, 1, 2, 3, 7]


def test_what_is_off_is_not_looked_for(pool, against):
    report, stays = examine(pool, against, leakage="off").settle()
    assert {removal.reason for removal in report.removed} == {DOUBLE}
    assert stays.tolist() == [0, 1, 2, 3, 7]
    report, _ = examine(pool, against, duplicates="off").settle()
    assert {removal.reason for removal in report.removed} == {LEAK}
    assert report.clusters == ()
    report, stays = examine(pool, against, leakage="off", duplicates="off").settle()
    assert (report.removed, report.warned, report.clusters) == ((), (), ())
    assert stays.tolist() == list(range(8))
    assert "not looked at" in str(report)


@pytest.mark.parametrize(
    ("strength", "kept"),
    [([0, 1, 2, 3, 9], 6), ([0, 1, 3, 2, 0], 5), ([0, 2, 1, 2, 0], 3), ([5, 1, 1, 1, 9], 3),
     ([0, float("-inf"), 0, -1, 0], 5)],
)  # fmt: skip
def test_the_best_of_a_cluster_stays_and_of_equals_the_first(pool, against, strength, kept):
    findings = examine(pool, against, duplicates="best")
    report, stays = findings.settle(np.array(strength, dtype=np.float32))
    assert findings.unleaked[stays].tolist() == sorted([0, kept, 7])
    assert report.clusters[0].kept == (kept,)
    found = [removal for removal in report.removed if removal.reason == DOUBLE]
    assert [removal.row for removal in found] == [row for row in (3, 5, 6) if row != kept]
    assert {removal.of for removal in found} == {str(kept)}


def test_one_examination_can_be_settled_several_times(pool, against):
    findings = examine(pool, against, duplicates="best")
    best = findings.settle(np.array([0, 0, 0, 1, 0]))[1]
    again = findings.settle(np.array([0, 1, 0, 0, 0]))[1]
    assert best.tolist() != again.tolist()
    assert findings.settle(np.array([0, 0, 0, 1, 0]))[1].tolist() == best.tolist()


def test_leaks_and_duplicates_are_found_alone_as_they_are_together(pool, against):
    together, _ = examine(pool, against, leakage="warn", duplicates="warn").settle()
    leaks, _ = examine(pool, against, duplicates="off").settle()
    assert leaks.removed == tuple(r for r in together.warned if r.reason == "leak") != ()
    duplicates, _ = examine(pool, {}, leakage="off").settle()
    assert duplicates.clusters == together.clusters != ()


def test_it_finds_the_same_each_time_and_however_much_is_done_at_once(pool, against, monkeypatch):
    first, stays = examine(pool, against).settle()
    monkeypatch.setattr(overlap_module, "_AT_ONCE", 16)
    second, again = examine(pool, against).settle()
    assert (first.removed, first.clusters) == (second.removed, second.clusters)
    assert stays.tolist() == again.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("keep", "first"), "leakage 'keep' is unknown; choose from remove, warn, off."),
        (("remove", "last"), "duplicates 'last' is unknown; choose from first, best, warn, off."),
    ],
)
def test_unknown_settings_are_refused(as_examples, settings, message):
    leakage, duplicates = settings
    with pytest.raises(ArgumentError, match=message):
        check_settings(leakage, duplicates)
    with pytest.raises(ArgumentError, match=message):
        examine(as_examples(["a"]), {}, leakage=leakage, duplicates=duplicates)


@pytest.mark.parametrize("rows", [[], ["one"], [""]])
@pytest.mark.parametrize("names", [(), ("targets",)])
def test_pools_of_one_row_or_none_go_through(as_examples, rows, names):
    pool = as_examples(rows)
    report, stays = examine(pool, {name: [] for name in names}).settle()
    assert report.rows == len(pool)
    assert report.removed == ()
    assert stays.tolist() == list(range(len(pool)))


def test_all_rows_may_leak(as_examples, prose):
    pool = as_examples([prose(i, 9) for i in range(3)])
    findings = examine(pool, {"targets": pool})
    report, stays = findings.settle(np.array([]))
    assert len(report.removed) == 3
    assert len(findings.unleaked) == len(stays) == 0
    assert report.counts["left"] == 0


def test_rows_are_named_by_the_users_positions_and_ids(prose):
    pool = [Example(f"id {row}", "", prose(1, 9), "", row) for row in (4, 8, 15)]
    report, stays = examine(pool, {}).settle()
    assert [(r.row, r.id, r.of) for r in report.removed] == [
        (8, "id 8", "id 4"), (15, "id 15", "id 4")
    ]  # fmt: skip
    assert report.clusters[0].rows == (4, 8, 15)
    assert report.clusters[0].kept == (4,)
    assert stays.tolist() == [0]


def test_a_report_can_be_read_by_people_and_by_programs(pool, against):
    report, _ = examine(pool, against).settle()
    text = str(report)
    assert "5 of 8 rows" in text
    assert '3 leaks, removed (leakage="warn" keeps them)' in text
    assert '2 near-duplicates in 1 cluster, removed (duplicates="warn" keeps them)' in text
    assert "row 2 holds 100% of test 0: " in text
    assert report.describe_removed() == (
        '3 leaks, kept with leakage="warn"; 2 duplicates, kept with duplicates="warn"'
    )
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["counts"] == report.counts
    assert plain["removed"][0]["row"] == 1
    assert plain["clusters"] == [{"rows": [3, 5, 6], "ids": ["3", "5", "6"], "kept": [3]}]
    assert plain["seconds"] >= 0


def test_a_report_of_nothing_says_so(as_examples, prose):
    report, _ = examine(as_examples([prose(1, 9), prose(2, 9)]), {}, leakage="warn").settle()
    assert report.describe_removed() == ""
    assert "0 leaks" in str(report)
    assert "0 near-duplicates" in str(report)


TEXT = st.text(max_size=40)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=6)


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS, st.sampled_from(["remove", "warn"]), st.sampled_from(["first", "best"]))
def test_whatever_the_texts_nothing_that_stays_equals_a_test_row_or_another_row(
    rows, tests, leakage, duplicates
):
    pool, test = (
        [Example(str(i), p, c, "", i) for i, (p, c) in enumerate(part)]
        for part in ([*rows, *tests[:2], *rows[:2]], tests)
    )
    findings = examine(pool, {"test": test}, leakage=leakage, duplicates=duplicates)
    strength = np.arange(len(findings.unleaked), dtype=float) if duplicates == "best" else None
    report, stays = findings.settle(strength)
    left = [(pool[i].prompt, pool[i].completion) for i in findings.unleaked[stays]]
    assert len(left) == len(set(left)) == report.counts["left"]
    if leakage == "remove":
        assert not set(left) & set(tests)
    str(report)
    json.dumps(report.to_dict())
