"""Two scorers: the first proposes rows, and the second decides among them."""

import json

import numpy as np
import pytest

import curate
from airrep import normalize
from airrep.errors import ArgumentError
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from selection.scorers import Bm25Scorer, TfidfScorer
from selection.scores import DenseScores

POOL, TARGETS = demo_pool(120), demo_targets("dialogue_summary", 4)


class Counting:
    """BM25 that says which rows it was asked about."""

    name = "counting"

    def __init__(self):
        self.asked = []

    def score(self, targets, pool):
        self.asked.append([example.row for example in pool])
        return Bm25Scorer().score(targets, pool)


def _rows(chosen):
    return chosen.dataset["curate_row"][:]


def _best_by_words(n):
    """The rows that targets propose in turn by TF-IDF; computed from the whole matrix."""
    examples = [normalize(row, index=i) for i, row in enumerate(POOL)]
    targets = [normalize(row, index=i) for i, row in enumerate(TARGETS)]
    order = np.argsort(-TfidfScorer().score(targets, examples).values(), axis=1, kind="stable")
    return list(dict.fromkeys(order.T.ravel().tolist()))[:n]


def test_the_second_scorer_sees_what_the_first_proposes_and_nothing_else():
    second = Counting()
    chosen = curate.select(
        POOL, TARGETS, 5, scorer="tfidf", rescore=second, rescore_rows=30, duplicates="off"
    )
    assert second.asked == [sorted(_best_by_words(30))]
    assert set(_rows(chosen)) <= set(second.asked[0])
    assert chosen.manifest.chosen["scorer"] == "bm25"


def test_with_all_rows_proposed_it_is_the_second_scorer_alone():
    both = curate.select(POOL, TARGETS, 9, scorer="tfidf", rescore="bm25", rescore_rows=len(POOL))
    alone = curate.select(POOL, TARGETS, 9, scorer="bm25")
    assert _rows(both) == _rows(alone)
    np.testing.assert_array_equal(both.selection.gains, alone.selection.gains)


def test_ten_rows_are_proposed_for_each_that_is_chosen():
    chosen = curate.select(POOL, TARGETS, 3, scorer="tfidf", rescore="bm25")
    proposed = chosen.manifest.chosen["proposed"]
    assert (proposed["scorer"], proposed["rows"]) == ("tfidf", 30)
    assert proposed["of"] == len(POOL) - len(chosen.guard.removed)
    said = (
        f"30 rows again, which tfidf proposed of {proposed['of']}\n        0 of 3 chosen rows are"
    )
    assert said in chosen.summary()


def test_the_best_of_near_duplicates_is_settled_by_the_first():
    twice = [*POOL, *POOL[:40]]
    chosen = curate.select(
        twice, TARGETS, 5, scorer="tfidf", rescore="bm25", rescore_rows=20, duplicates="best"
    )
    kept = [POOL[i % len(POOL)] for i in _rows(chosen)]
    assert len({json.dumps(row) for row in kept}) == 5


def test_constraints_are_met_with_rows_that_were_not_proposed():
    last = _best_by_words(len(POOL))[-1]
    rows = [{**row, "id": f"r{i}"} for i, row in enumerate(POOL)]
    chosen = curate.select(
        rows,
        TARGETS,
        4,
        scorer="tfidf",
        rescore="bm25",
        rescore_rows=6,
        duplicates="off",
        columns={"id": "id", "source": "task"},
        target_columns={},
        constraints={"include": [f"r{last}"], "min_per_source": {POOL[last]["task"]: 2}},
    )
    assert last in _rows(chosen)
    assert sum(POOL[i]["task"] == POOL[last]["task"] for i in _rows(chosen)) >= 2


def test_a_run_is_repeated_from_its_manifest(tmp_path, capsys, tiny_lm):
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--pool", str(tmp_path / "pool.jsonl"), "--targets", str(tmp_path / "targets.jsonl")]
    words = [*given, "--k", "4", "--scorer", "tfidf", "--rescore", "rds", "--rescore-rows", "12"]
    first = str(tmp_path / "first")
    assert cli.main(["select", *words, "--model", str(tiny_lm), "--output", first]) == 0
    again = ["select", "--config", f"{first}/manifest.json", "--output", str(tmp_path / "again")]
    assert cli.main(again) == 0
    assert "same rows" in capsys.readouterr().out
    assert curate.verify(first).fine
    loaded = json.loads((tmp_path / "first" / "manifest.json").read_text())
    assert [each["scorer"] for each in loaded["encoders"]] == ["rds+"]
    left = next(i for i in map(str, _best_by_words(len(POOL))[::-1]))
    assert cli.main(["explain", first, left]) == 1
    assert "it looked at the 12 rows that tfidf proposed of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rescore_rows": 5}, "rescore_rows says how many rows a second scorer looks at"),
        ({"rescore": "tfidf"}, "rescore is 'tfidf', which is the scorer that proposes"),
        ({"rescore": "bm25", "rescore_rows": 2}, "rescore_rows is 2, fewer than the 3 rows"),
        ({"rescore": "bm25", "rescore_rows": 0}, "rescore_rows"),
        ({"rescore": "rds"}, "scorer 'rds' needs the language model"),
        ({"rescore": "bm26"}, "scorer 'bm26' is unknown"),
        ({"rescore": "bm25", "model": "lm"}, "does not look at the language model"),
        ({"rescore": "bm25", "k": "auto"}, "say how many the second scorer looks at"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ArgumentError, match=said):
        curate.select(POOL, TARGETS, **{"k": 3, "scorer": "tfidf", **options})


def test_scores_of_ones_own_can_be_either(tmp_path):
    own = DenseScores(np.random.default_rng(0).normal(size=(len(TARGETS), len(POOL))))
    np.save(tmp_path / "own.npy", own.values())
    chosen = curate.select(
        POOL, TARGETS, 4, scorer="tfidf", rescore=own.values(), rescore_rows=20, duplicates="off"
    )
    best = _best_by_words(20)
    assert set(_rows(chosen)) <= set(best)
    first = curate.select(
        POOL, TARGETS, 4, scorer=tmp_path / "own.npy", rescore="tfidf", rescore_rows=20
    )
    assert first.manifest.chosen["scorer"] == "tfidf"
