"""Methods by name, and scores that are computed once."""

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from airrep.disk.locks import try_lock
from airrep.errors import ArgumentError, CheckpointError
from airrep.records import ids_of
from eval_harness.benchmark import methods
from eval_harness.benchmark.methods import Method, ScoreFiles, make_method
from selection.scorers import Bm25Scorer, GradientScorer, RdsScorer, ScoreAverage, TfidfScorer
from selection.scores import DenseScores

NAMES = ["random", "tfidf", "bm25", "airrep", "rds", "rds_completion", "gradient",
         "gradient_cosine", "same_source", "tfidf+bm25+rds"]  # fmt: skip


@dataclass
class Counting:
    """Scores that say how often they were computed."""

    before: Callable[[], object] = lambda: None
    calls: list[int] = field(default_factory=list)
    name, dim = "counting", 2

    def score(self, targets, pool):
        self.calls.append(len(pool))
        self.before()
        values = np.arange(len(targets) * len(pool), dtype=np.float32).reshape(len(targets), -1)
        return DenseScores(
            values, target_ids=ids_of(targets), pool_ids=ids_of(pool), method=self.name, scale=3.0
        )


def _method(scorer, identity="counting"):
    return Method("mine", scorer, identity)


# --- by name ---


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gives_scores_of_targets_and_pool(name, questions, random_lm):
    made = make_method(name, {}, random_lm)
    scores = made.scorer.score(questions[:3], questions[3:20])
    assert scores.values().shape == (3, 17)
    assert made.name == name
    by_words = {"random", "tfidf", "bm25", "same_source"}
    assert (made.bytes_per_row is None) == (name in by_words)


def test_what_a_rows_features_take(random_lm, encoder):
    sizes = {name: make_method(name, {}, random_lm).bytes_per_row for name in NAMES}
    assert sizes["airrep"] == 4 * encoder.dim
    assert sizes["rds"] == sizes["rds_completion"] == sizes["tfidf+bm25+rds"] == 4 * 32
    assert sizes["gradient"] == 4 * GradientScorer(random_lm).dim


def test_a_name_of_your_own_with_a_kind_and_options(questions, random_lm):
    mine = make_method("mine", {"kind": "gradient", "rank": 4, "layers": 1}, random_lm)
    assert mine.name == "mine"
    expected = GradientScorer(random_lm, rank=4, layers=1).score(questions[:2], questions[2:9])
    found = mine.scorer.score(questions[:2], questions[2:9])
    np.testing.assert_array_equal(found.values(), expected.values())
    assert mine.bytes_per_row == 4 * GradientScorer(random_lm, rank=4, layers=1).dim


def test_kinds_differ_as_their_names_say(random_lm):
    spans = {name: make_method(name, {}, random_lm).scorer for name in ("rds", "rds_completion")}
    assert [s.tokens for s in spans.values()] == ["all", "completion"]
    assert all(isinstance(s, RdsScorer) for s in spans.values())
    assert make_method("gradient", {}, random_lm).scorer.name == "gradient"
    assert make_method("gradient_cosine", {}, random_lm).scorer.name == "gradient_cosine"


def test_same_source_knows_sources(questions, random_lm):
    values = make_method("same_source", {}, random_lm).scorer.score(questions[:2], questions[2:])
    expected = [[float(e.source == t.source) for e in questions[2:]] for t in questions[:2]]
    np.testing.assert_array_equal(values.values(), expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("magic", {}, r"method 'magic' is unknown; choose from airrep, tfidf"),
        ("mine", {"kind": "magic"}, r"method 'magic' is unknown"),
        ("tfidf+magic", {}, r"method 'magic' is unknown"),
        ("tfidf+", {}, r"method '' is unknown"),
        ("tfidf", {"rank": 3}, r"methods\.tfidf: .*unexpected keyword argument 'rank'"),
        ("gradient", {"ranks": 3}, r"methods\.gradient: .*unexpected keyword argument 'ranks'"),
        ("gradient", {"preconditioner": "magic"}, r"preconditioner 'magic' is unknown"),
        ("mine", {"kind": "rds", "tokens": "all"}, r"methods\.mine: .*multiple values"),
        ("airrep", {"path": "x"}, r"methods\.airrep: unknown option 'path'; there is encoder"),
        ("tfidf+bm25", {"rank": 3}, r"methods\.tfidf\+bm25: unknown option 'rank'; there is none"),
    ],
)
def test_unknown_methods_and_options_are_named(name, options, message, random_lm):
    with pytest.raises(ArgumentError, match=message):
        make_method(name, options, random_lm)


def test_an_encoder_that_is_none_is_refused(tmp_path, random_lm):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError):
        make_method("airrep", {"encoder": str(tmp_path)}, random_lm)


# --- average ---


def test_names_with_a_plus_are_the_average_of_their_parts(questions, random_lm):
    made = make_method("tfidf+bm25", {}, random_lm)
    assert isinstance(made.scorer, ScoreAverage)
    targets, pool = questions[:2], questions[2:]
    expected = ScoreAverage([TfidfScorer(), Bm25Scorer()]).score(targets, pool)
    found = made.scorer.score(targets, pool)
    np.testing.assert_array_equal(found.values(), expected.values())
    assert made.identity != make_method("bm25+tfidf", {}, random_lm).identity
    assert "mean of standardized scores: TfidfScorer" in made.identity


def test_the_average_of_one_method_keeps_its_order(questions, random_lm):
    targets, pool = questions[:2], questions[2:]
    plain = TfidfScorer().score(targets, pool).values()
    average = make_method("tfidf+tfidf", {}, random_lm).scorer.score(targets, pool).values()
    for mine, theirs in zip(average, plain, strict=True):
        order = np.argsort(mine, kind="stable")
        assert order.tolist() == np.argsort(theirs, kind="stable").tolist()


# --- files ---


def test_scores_are_computed_once(tmp_path, questions):
    scorer, files = Counting(), ScoreFiles(tmp_path)
    method, targets, pool = _method(scorer), questions[:3], questions[3:10]
    first, cost = files.get(method, targets, pool)
    again, same_cost = ScoreFiles(tmp_path).get(method, targets, pool)
    assert scorer.calls == [7]
    np.testing.assert_array_equal(first.values(), again.values())
    np.testing.assert_array_equal(first.values(), np.arange(21).reshape(3, 7))
    assert first.scale == again.scale == 3.0
    assert first.target_ids == [e.id for e in targets]
    assert cost == same_cost
    assert (cost["rows"], cost["bytes_per_row"], cost["method"]) == (10, 8, "mine")
    assert cost["seconds"] >= 0


@pytest.mark.parametrize("what", ["identity", "pool", "order", "targets", "sources"])
def test_whatever_scores_depend_on_has_a_file_of_its_own(what, tmp_path, questions):
    scorer, files = Counting(), ScoreFiles(tmp_path)
    method, targets, pool = _method(scorer), questions[:3], questions[3:10]
    files.get(method, targets, pool)
    match what:
        case "identity":
            method = _method(scorer, "other")
        case "pool":
            pool = [replace(pool[0], completion="another"), *pool[1:]]
        case "order":
            pool = pool[::-1]
        case "targets":
            targets = targets[:2]
        case "sources":
            targets = [replace(targets[0], source="new"), *targets[1:]]
    files.get(method, targets, pool)
    assert len(scorer.calls) == 2
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_identities_differ_where_scores_do(random_lm, make_lm):
    other_model = make_lm(seed=4)
    identities = [
        make_method(name, options, model).identity
        for name, options, model in (
            ("gradient", {}, random_lm), ("gradient", {"rank": 4}, random_lm),
            ("gradient", {}, other_model), ("gradient_cosine", {}, random_lm),
            ("rds", {}, random_lm), ("rds_completion", {}, random_lm),
            ("airrep", {}, random_lm), ("random", {}, random_lm),
            ("random", {"seed": 1}, random_lm),
        )
    ]  # fmt: skip
    assert len(set(identities)) == len(identities)
    alias = make_method("mine", {"kind": "gradient"}, random_lm)
    assert alias.identity == identities[0], "the same scores by another name are not made anew"


def test_at_the_same_time_one_computes_and_the_others_wait(
    tmp_path, questions, monkeypatch, wait_until
):
    locked, asking, found = methods.locked, [], []

    def ask(file):
        asking.append(file)
        return locked(file)

    monkeypatch.setattr(methods, "locked", ask)
    scorer = Counting(lambda: wait_until(lambda: len(asking) == 4, "all four", 60))

    def get():
        found.append(ScoreFiles(tmp_path).get(_method(scorer), questions[:3], questions[3:10])[0])

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread still computes, or waits, after two minutes"
    assert scorer.calls == [7]
    assert len({scores.values().tobytes() for scores in found}) == 1


def test_both_files_are_read_before_another_may_write_them(tmp_path, questions, monkeypatch):
    read, seen = methods.read_array, []

    def read_under_lock(file):
        seen.append(try_lock(file.with_suffix(".lock")))
        return read(file)

    monkeypatch.setattr(methods, "read_array", read_under_lock)
    ScoreFiles(tmp_path).get(_method(Counting()), questions[:3], questions[3:10])
    assert seen == [None]


def test_what_breaks_off_while_writing_leaves_nothing_to_trust(tmp_path, questions, monkeypatch):
    scorer = Counting()
    method = _method(scorer)

    def half(stream, values, **_):
        stream.write(b"\x93NUMPY half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", half)
        with pytest.raises(KeyboardInterrupt):
            ScoreFiles(tmp_path).get(method, questions[:3], questions[3:10])
    assert list(tmp_path.glob("*.npy")) == list(tmp_path.glob(".*.tmp")) == []
    scores, _ = ScoreFiles(tmp_path).get(method, questions[:3], questions[3:10])
    assert scores.shape == (3, 7)
    assert len(scorer.calls) == 2


KILLED = """
import sys, time
from pathlib import Path
from airrep.records import Example
from eval_harness.benchmark.methods import Method, ScoreFiles

class Slow:
    name = "slow"
    def score(self, targets, pool):
        print("computing", flush=True)
        time.sleep(600)

rows = [Example(str(i), f"p{i}", "c") for i in range(5)]
ScoreFiles(Path(sys.argv[1])).get(Method("mine", Slow(), "counting"), rows[:2], rows[2:])
"""


def test_a_process_that_is_killed_while_computing_blocks_nobody(program, tmp_path, wait_until):
    from airrep.records import Example

    process = program(KILLED, tmp_path)
    wait_until(lambda: process.stdout == "computing\n", "the scorer", of=process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    rows = [Example(str(i), f"p{i}", "c") for i in range(5)]
    scorer = Counting()
    scores, _ = ScoreFiles(tmp_path).get(_method(scorer), rows[:2], rows[2:])
    assert scorer.calls == [3]
    assert scores.shape == (2, 3)
    facts = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert [f["method"] for f in facts] == ["mine"]
