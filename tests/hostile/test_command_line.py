"""Options, files, configs and manifests that are wrong end in one message and status 1 or 2."""

import json
import random
import shutil
import subprocess
import sys

import pytest
import yaml

from curate import cli
from curate.demo_data import demo_pool, demo_targets

OPTIONS = {
    "k": ["-1", "0", "nan", "1e3", "3.0", "9" * 25, "9" * 5000, "[1]", "", "null", "1:30", "2"],
    "seed": ["-1", "9" * 30, "nan", "0x10", "true", "1.5"],
    "scale": ["nan", "inf", ".nan", ".inf", "-1", "0", "1e400", "1e-320", "1e300", "x"],
    "weights": ["[1]", "[.nan, 1, 1]", "[1e400, 1, 1]", f"[{'9' * 400}, 1, 1]", "[-1, 1, 1]",
                "[0, 0, 0]", "[" * 3000, "[[1], 2, 3]", "[]", "{a: b", "[1, 1, 1]"],
    "memory_limit": ["-1", "0", "nan", "9" * 400 + "GB", "1", "1e3", "1 KB", "4GB"],
    "tokens_per_batch": ["0", "-5", "9" * 40, "x"],
    "columns": ["{prompt: 3}", "[1]", "{bad: x}", "{prompt: nope, completion: x}", "{: }",
                "{prompt: prompt, completion: completion}", "{id: task}", "{source: prompt}"],
    "target_columns": ["{text: prompt}", "{id: nope}"],
    "constraints": ["{max_tokens: -1}", "{max_per_source: {'*': 1" + "0" * 30 + "}}",
                    "{max_per_source: 3}", "{max_per_source: {'*': .nan}}", "{exclude: 5}",
                    "{min_per_target: 1" + "0" * 30 + "}", "{include: [1, 2, 99999]}",
                    "{min_per_source: {'*': 1e-9}}", "!!python/object:os.system x",
                    "{a: &a [*a]}", "{include: [!!binary aGk=]}", "{min_per_target: 1}"],
    "output": ["a\0b", "x" * 300, "pool.jsonl", "/proc/x", "", "out"],
    "store": ["a\0b", "x" * 5000, "pool.jsonl"],
    "encoder": ["a\0b", "x" * 5000, "../../etc", "."],
    "model": ["a\0b", "x" * 5000, "."],
    "pool": ["", "-", "a\0", "\udcff.jsonl", "x" * 5000, "a: [b", "[pool.jsonl]", "null", "**/*",
             "&a [*a]", "!!python/object:x y", "~nobody-of-this-name/x.jsonl", ".", "*.jsonl"],
    "targets": ["pool.jsonl", "nope.jsonl", ""],
    "test": ["targets.jsonl", "nope"],
    "selector": ["x", "round_robin", "coverage", "random", "top_k_mean", "plain_greedy"],
    "scorer": ["[]", "[tfidf, tfidf]", "[tfidf, [bm25]]", "null", "bm25", "random", "zork"],
    "leakage": ["x", "off", "warn"],
    "duplicates": ["x", "best", "off"],
    "on_bad_row": ["x", "skip"],
    "format": ["x", "jsonl"],
    "progress": ["maybe", "false"],
    "config": ["nope.yaml", ".", "targets.jsonl", "", "a\0b", "x" * 5000],
    "zork": ["1"],
}  # fmt: skip
CONFIG = {
    "pool": "pool.jsonl", "targets": "targets.jsonl", "scorer": "tfidf", "k": 3, "seed": 1,
    "weights": [1, 2, 3], "columns": {"prompt": "prompt", "completion": "completion"},
    "constraints": {"max_per_source": {"*": 2}, "exclude": ["3"]}, "leakage": "off",
}  # fmt: skip


def _jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A pool and targets in the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.jsonl").write_bytes(_jsonl(demo_pool(40)))
    (tmp_path / "targets.jsonl").write_bytes(_jsonl(demo_targets("email_reply", 3)))
    return tmp_path


@pytest.fixture
def run(capsys, limited):
    """Run the command line; its status, after its messages were checked."""

    def call(*argv):
        with limited():
            try:
                status = cli.main(list(argv))
            except SystemExit as stop:
                status = stop.code
        out, err = capsys.readouterr()
        assert status in (0, 1, 2), argv
        assert "Traceback" not in err
        assert "\x1b" not in out + err, "nothing steers the terminal"
        if status:
            assert err.strip(), f"status {status} without a message: {argv}"
        if status == 1:
            assert err.count("\n") <= 2, err
        return status

    return call


BASE = ("--pool", "pool.jsonl", "--targets", "targets.jsonl")


@pytest.mark.parametrize("cases", [60, pytest.param(900, marks=pytest.mark.torture)])
def test_wrong_options_are_refused_in_words(place, run, cases):
    rng = random.Random(6)
    pairs = [(name, value) for name, values in OPTIONS.items() for value in values]
    kept = {path.name for path in place.iterdir()}
    statuses = set()
    for number in range(cases):
        verb = "harmful" if number % 10 == 0 else "select"
        chosen = [pairs[number % len(pairs)], *rng.sample(pairs, rng.choice((0, 0, 1)))]
        options = [part for name, value in chosen for part in (f"--{name}", value)]
        start = ["--scorer", "tfidf", "--k", "3"] if verb == "select" else ["--model", "."]
        statuses.add(run(verb, *BASE, *start, *options))
        for path in place.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert statuses == {0, 1, 2}


@pytest.mark.parametrize("cases", [20, pytest.param(500, marks=pytest.mark.torture)])
def test_damaged_pools_give_their_own_rows_or_one_message(place, run, mutate, cases):
    rng = random.Random(7)
    pool = (place / "pool.jsonl").read_bytes()
    for number in range(cases):
        (place / "pool.jsonl").write_bytes(mutate(pool, rng))
        verb = ("select", "select", "check")[number % 3]
        if verb == "check":
            run("check", *BASE, "--on_bad_row", "skip", "--output", "found.json")
            continue
        status = run("select", *BASE, "--scorer", "tfidf", "--k", "3", "--on_bad_row", "skip",
                     "--format", "jsonl", "--output", "out")  # fmt: skip
        if status == 0:
            content = (place / "pool.jsonl").read_bytes().removeprefix(b"\xef\xbb\xbf")
            rows = [line for line in content.split(b"\n") if line.strip()]
            chosen = (place / "out" / "selection.jsonl").read_text("utf-8").splitlines()
            assert len(chosen) == 3
            for line in map(json.loads, chosen):
                theirs = json.loads(rows[line["curate_row"]])
                assert {key: line[key] for key in theirs} == theirs
            stated = json.loads((place / "out" / "manifest.json").read_text("utf-8"))
            counted = stated["inputs"]["pool"]
            assert counted["rows"] == len(rows)
            shutil.rmtree(place / "out")


@pytest.mark.parametrize("cases", [40, pytest.param(700, marks=pytest.mark.torture)])
def test_damaged_configs_and_manifests_are_refused(
    place, run, mutate, mutate_value, as_json, cases
):
    rng = random.Random(8)
    assert run("select", *BASE, "--scorer", "tfidf", "--k", "3", "--output", "first") == 0
    manifest = json.loads((place / "first" / "manifest.json").read_text("utf-8"))
    text = yaml.safe_dump(CONFIG).encode("utf-8")
    for number in range(cases):
        made = (
            lambda: mutate(text, rng),
            lambda: as_json(mutate_value(manifest, rng)),
            lambda: as_json(mutate_value(CONFIG, rng)),
            lambda: mutate(as_json(manifest), rng),
        )[number % 4]()
        (place / "run.yaml").write_bytes(made)
        verb = ("select", "select", "check", "embed")[rng.randrange(4)]
        run(verb, "--config", "run.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("cases", [1, pytest.param(12, marks=pytest.mark.torture)])
def test_a_process_of_its_own_ends_in_words_too(place, mutate, cases):
    rng = random.Random(9)
    pool = (place / "pool.jsonl").read_bytes()
    for _ in range(cases):
        (place / "pool.jsonl").write_bytes(mutate(mutate(pool, rng), rng) + b"{")
        command = [sys.executable, "-m", "curate", "select", *BASE, "--scorer", "tfidf", "--k", "3"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("curate select: ")
        assert done.stderr.count("\n") == 1


def test_reports_and_explanations_of_odd_things_end_in_words(place, run):
    assert run("select", *BASE, "--scorer", "tfidf", "--k", "3", "--output", "out") == 0
    for name in ("0", "-1", "1e3", "", "\0", "x" * 5000, "9" * 5000, "[", "!!int x", "\x1b[2J"):
        assert run("explain", "out", name) == (0 if name == "0" else 1)
    for directory in ("", ".", "pool.jsonl", "x" * 5000, "a\0b", "../..", "out/insight"):
        assert run("explain", directory, "0") in (1, 2)
        assert run("report", directory) in (1, 2)
    assert run("report", "out", "--output", "pool.jsonl/x.html") == 1
