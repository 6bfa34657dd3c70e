"""Long verbs say on standard error how much there is to do, then how long it takes."""

import json
import re
from dataclasses import replace
from itertools import count

import pytest
import yaml

from airrep.console import progress
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from selection.scorers.registry import SCORERS

RECIPE = {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4, "precision": "float32"}
BENCHMARK = {
    "model": "lm", "pool": "pool.jsonl", "targets": "held_out.jsonl", "test": "test.jsonl",
    "max_tokens": 64, "stack": 2, "columns": {"source": "task"}, "recipe": RECIPE,
    "methods": {"gradient": {"rank": 2}},
    "attribution": {"subsets": 3, "validation_subsets": 3, "size": 4, "repeats": 1, "targets": 4,
                    "validation": 4, "scales": [1]},
    "selection": {"budgets": {"present": [4]}, "targets": 3, "evaluation": 4, "seeds": 1,
                  "scorers": ["gradient"]},
}  # fmt: skip
TRAINING = {
    "model": "lm", "pool": "pool.jsonl", "targets": "held_out.jsonl", "max_tokens": 64, "stack": 2,
    "columns": {"source": "task"}, "recipe": RECIPE,
    "supervision": {"splits": 1, "size": 4, "uniform": 4, "few_sources": 0, "selected": 0},
    "encoder": {"max_tokens": 64},
    "training": {"dim": 8, "steps": 4, "evaluate_every": 2, "subsets": 4, "targets": 6,
                 "distil_rows": 8},
    "teacher": {"rank": 2, "damping": 30.0},
    "evaluation": {"attribution": {**BENCHMARK["attribution"], "targets": 3, "validation": 3},
                   "methods": {"tfidf": {}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_lm):
    folder = tmp_path_factory.mktemp("progress")
    tasks = ("email_reply", "sql_query")
    held_out = [row for task in tasks for row in demo_targets(task, 18)]
    for name, rows in (
        ("pool", [row for row in demo_pool(1200) if row["task"] in (*tasks, "dialogue_summary")]),
        ("targets", demo_targets("email_reply", 3)),
        ("held_out", held_out[:12] + held_out[18:30]),
        ("test", held_out[12:18] + held_out[30:]),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "lm").symlink_to(tiny_lm)
    for name, config in (("benchmark", BENCHMARK), ("train", TRAINING)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def said(place, tmp_path, capfd, monkeypatch):
    """Run a command; what it says on standard error, where every look at the clock takes 40 s."""
    monkeypatch.chdir(place)
    monkeypatch.setitem(SCORERS, "nudge", replace(SCORERS["nudge"], options={"draws": 2}))

    def run(command):
        seconds = count(0, 40)
        monkeypatch.setattr(progress, "clock", lambda: next(seconds))
        words = command.replace("OUT", str(tmp_path)).split()
        assert cli.main(words) == 0, capfd.readouterr().err
        return capfd.readouterr().err

    return run


POOL = "--pool pool.jsonl"
RUNS = "--evaluation held_out.jsonl --output OUT/runs --subsets 6 --size 4 --repeats 1 --stack 2"


@pytest.mark.parametrize("scorer", ["nudge", "gradient", "gradient_adam", "rds"])
def test_scoring_by_a_model_counts_rows_and_targets(said, place, scorer):
    rows = len((place / "pool.jsonl").read_text().splitlines())
    err = said(f"select {POOL} --targets targets.jsonl --k 4 --model lm --scorer {scorer}")
    memory, *lines = err.splitlines()
    assert re.fullmatch(r"memory: scoring takes about .* GiB, and may take .* GiB", memory)
    name = {"rds": "rds+"}.get(scorer, scorer)
    assert re.fullmatch(rf"score: \d+ rows, 3 targets, by {re.escape(name)}", lines[0])
    assert int(lines[0].split()[1]) <= rows
    title = {"nudge": "passes", "rds": "hidden states"}.get(scorer, "gradients")
    passes = 4 if scorer == "nudge" else 1  # one before, and one for each target
    total = passes * int(lines[0].split()[1])
    assert re.search(rf"^{title}: the first \d+ rows took \d.*; \d+ left: about ", err, re.M)
    assert re.search(
        rf"^{title}: \d+ of {total} rows \(\d+%\), .* a (row|second), .*left$", err, re.M
    )


def test_no_progress_is_no_line(said):
    command = f"select {POOL} --targets targets.jsonl --k 4 --model lm --scorer gradient --quiet"
    assert said(command) == ""


def test_runs_say_what_they_take_after_the_first(said):
    err = said(f"record {POOL} --model lm {RUNS}")
    lines = err.splitlines()
    assert re.fullmatch(r"memory: a run takes about \d.\d GiB, and may take \d+.\d GiB", lines[0])
    assert lines[1] == "runs: 6 of 6 to do, 6 steps of the optimizer"
    timed = [line for line in lines if " took " in line]
    assert len(timed) == 1
    assert re.fullmatch(r"runs: the first 2 runs took .* s; 4 left: about .*", timed[0])
    again = said(f"record {POOL} --model lm {RUNS}")
    assert "runs: 0 of 6 to do, 0 steps of the optimizer" in again
    found = said(f"lds {POOL} --evaluation held_out.jsonl --runs OUT/runs --scorer gradient")
    assert re.search(r"^score: \d+ rows, 24 targets, by gradient$", found, re.M)


def test_embedding_and_fitting_say_how_many_rows(said):
    assert re.match(r"embed: (\d+) of \1 rows\n", said(f"embed {POOL} --store OUT/store"))
    err = said(f"fit {POOL} --model lm --output OUT/fitted --dim 4 --max_tokens 32")
    assert re.match(r"memory: scoring takes .*\nfit: gradients of \d+ rows\n", err)
    assert re.search(r"^moments: .* batch", err, re.M)


def test_a_benchmark_says_what_it_trains_and_scores(said):
    err = said("benchmark benchmark.yaml --output OUT/benchmark")
    assert "benchmark: 6 runs on subsets, " in err
    assert "rows scored by 1 method" in err
    runs, scores, trials = (
        err.index(begin) for begin in ("runs: 6 of 6", "gradients: ", "selections: 2 of 2")
    )
    assert runs < scores < trials, "what scoring takes is not taken for the trials'"


def test_a_training_says_how_many_runs_come_before_it(said):
    err = said("train train.yaml --output OUT/trained")
    assert re.search(r"^train: \d+ runs, then up to 4 steps of the encoder$", err, re.M)
    assert err.index("train: ") < err.index("runs: 4 of 4") < err.index("training: ")
