"""`curate verify`: what was cut, altered, lost or left behind, and what mends it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import curate
from airrep.disk.sealed import write_sealed
from airrep.errors import FileFormatError, MissingInputError, StoreError
from airrep.records import Example
from airrep.store import EmbeddingStore
from airrep.supervision import SubsetLosses, SubsetPlan, example_digests, run_file, write_run
from airrep.template import TextTemplate
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.verbs.report import report
from eval_harness.benchmark.trial_file import read_trial
from eval_harness.files.array_file import write_array

POOL, HELD_OUT = ([Example(str(i), f"{part} {i}", "yes") for i in range(9)] for part in "pe")
PLAN = SubsetPlan(
    [np.array([0, 1, 2]), np.array([3, 4, 5])], ["uniform"] * 2, 2, 0,
    {"test": np.arange(9)}, example_digests(POOL), example_digests(HELD_OUT),
)  # fmt: skip


class Encoder:
    name, fingerprint, precision, dim, template = "ones", "one", "float32", 3, TextTemplate()

    def encode(self, texts, *, tokens_per_batch=0):
        return np.ones((len(texts), 3), np.float32)


@pytest.fixture
def store(tmp_path):
    EmbeddingStore(tmp_path / "store").embed(POOL, Encoder())
    return tmp_path / "store"


@pytest.fixture
def runs(tmp_path):
    """All runs of a plan, and the model."""
    directory = tmp_path / "runs"
    PLAN.save(directory)
    facts = {"provenance": {"model": "m"}, "seconds": 1.0}
    for number, run in enumerate(PLAN.runs):
        write_run(run_file(directory, *run), PLAN, np.arange(9.0) + number, facts)
    known = {"model": "m", "fingerprint": "m", "separator": "\n", "max_tokens": 9, "losses": []}
    write_sealed(directory / "model.json", known)
    return directory


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    chosen = curate.select(demo_pool(80), demo_targets("email_reply", 3), 7, scorer="tfidf")
    return chosen.save(tmp_path_factory.mktemp("saved") / "chosen")


@pytest.fixture
def selection(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "chosen")


@pytest.fixture
def benchmark(tmp_path):
    """As far as it has files of its own."""
    directory = tmp_path / "benchmark"
    for name in ("config.json", "inputs.json"):
        write_sealed(directory / name, {"of": name})
    rows = [{"arm": "random", "loss": 1.25}]
    write_sealed(directory / "trials" / "a.json", {"format": 2, "rows": rows})
    write_array(directory / "scores" / f"{'0' * 24}.npy", np.eye(3), {"seconds": 1.0})
    return directory


def files(directory):
    return {
        str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()
    }


def spoil(file):
    """Flip a bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def found(directory, **options):
    return {
        str(f.file.relative_to(directory)) for f in curate.verify(directory, **options).findings
    }


# --- what is whole -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["store", "runs", "selection", "benchmark"])
def test_nothing_is_wrong_with_what_was_just_written_and_nothing_is_touched(kind, request, capsys):
    directory = request.getfixturevalue(kind)
    before = files(directory)
    for options in ([], ["--repair"]):
        assert cli.main(["verify", str(directory), *options]) == 0
        assert capsys.readouterr().out.endswith("nothing is wrong\n")
    assert files(directory) == before


def test_all_that_lies_in_a_directory_is_looked_at(store, runs, selection, benchmark, tmp_path):
    said = str(curate.verify(tmp_path))
    for line in (
        f"{store}: embedding store, 9 rows in 1 shard", f"{runs}: subset runs, 4 of 4 runs",
        f"{selection}: saved selection, 6 files", f"{benchmark}: benchmark, unfinished",
        f"{benchmark}/trials: trials of a benchmark, 1 done",
        f"{benchmark}/scores: scores, 1 method",
    ):  # fmt: skip
        assert line in said


def test_a_recording_that_is_not_done_is_not_wrong(runs):
    run_file(runs, 1, 1).unlink()
    result = curate.verify(runs)
    assert result.fine
    assert "3 of 4 runs, unfinished" in str(result)


@pytest.mark.parametrize("there", [False, True])
def test_a_directory_of_something_else_is_an_error(tmp_path, there, capsys):
    if there:
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "manifest.json").write_text("{}")
    with pytest.raises(MissingInputError, match="nothing here can be" if there else "no such"):
        curate.verify(tmp_path / "x")
    assert cli.main(["verify", str(tmp_path / "x")]) == 1
    assert "curate verify: " in capsys.readouterr().err


# --- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("store", "shard-00000.npy"), ("store", "shard-00000.parquet"), ("runs", "model.json"),
        ("runs", "runs/00001-0.safetensors"), ("benchmark", "trials/a.json"),
        ("benchmark", f"scores/{'0' * 24}.npy"),
    ],
)  # fmt: skip
def test_what_can_be_computed_again_is_dropped_when_asked_and_only_then(
    kind, name, request, capsys
):
    directory = request.getfixturevalue(kind)
    whole = files(directory)
    spoil(directory / name)
    damaged = files(directory)
    assert cli.main(["verify", str(directory)]) == 1
    out = capsys.readouterr().out
    assert f"wrong   {directory / name}: " in out
    assert "--repair mends 1 of 1" in out
    assert files(directory) == damaged, "looking changes nothing"
    assert cli.main(["verify", str(directory), "--repair"]) == 0
    assert f"mended  {directory / name}: " in capsys.readouterr().out
    assert curate.verify(directory).fine
    kept = {n: c for n, c in files(directory).items() if n.split(".")[0] != name.split(".")[0]}
    assert {n: c for n, c in whole.items() if n in kept and n != "manifest.json"}.items() <= (
        files(directory).items()
    ), "nothing else is touched"


def test_a_plan_that_is_lost_is_drawn_again_and_the_runs_stay(runs):
    losses = SubsetLosses.load(runs).values
    spoil(runs / "plan.safetensors")
    run = run_file(runs, 0, 1)
    spoil(run)
    assert found(runs) == {"plan.json", "runs/00000-1.safetensors"}
    assert found(runs, repair=True) == set()
    PLAN.save(runs)
    write_run(run, PLAN, np.arange(9.0) + 1, {"provenance": {"model": "m"}, "seconds": 1.0})
    assert np.array_equal(SubsetLosses.load(runs).values, losses)


def test_a_run_of_another_plan_is_the_users_to_decide_on(runs):
    (runs / "runs" / "00007-0.safetensors").write_bytes(run_file(runs, 0, 0).read_bytes())
    assert found(runs) == found(runs, repair=True) == {"runs/00007-0.safetensors"}


@pytest.mark.parametrize(
    "name", ["train.parquet", "selection.parquet", "removed.jsonl", "insight/rows.parquet"]
)
def test_of_a_selection_nothing_is_ever_removed(selection, name):
    whole = (selection / name).read_bytes()
    (selection / name).write_bytes(whole[: len(whole) // 2] + b"\n")
    before = files(selection)
    assert found(selection) == found(selection, repair=True) == {name}
    assert files(selection) == before
    assert f"curate select --config {selection}/manifest.json" in str(curate.verify(selection))
    (selection / name).unlink()
    assert found(selection) == {name}


def test_a_manifest_that_was_edited_says_so_and_still_repeats_the_run(selection, tmp_path):
    file = selection / "manifest.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "arguments": {**content["arguments"], "k": 3}}))
    assert found(selection) == {"manifest.json"}
    report(selection, tmp_path / "report.html")


def test_a_selection_of_before_there_were_digests(selection):
    file = selection / "manifest.json"
    old = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("files", "digest")}
    file.write_text(json.dumps(old))
    assert "without digests" in str(curate.verify(selection))
    (selection / "insight" / "rows.parquet").write_bytes(b"PAR1")
    assert found(selection) == {"insight"}


def test_a_selection_of_a_later_version_is_refused_in_words(selection):
    file = selection / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "manifest_version": 99}))
    with pytest.raises(
        FileFormatError, match="manifest_version 99 is newer than what this version"
    ):
        report(selection)


def test_trials_of_before_there_were_digests_are_read(benchmark):
    file = benchmark / "trials" / "a.json"
    rows = read_trial(file)
    file.write_text(json.dumps(rows))
    assert read_trial(file) == rows
    assert curate.verify(benchmark).fine
    file.write_text(json.dumps({"format": 3, "rows": rows}))
    with pytest.raises(FileFormatError, match="format 3 is of a later version"):
        read_trial(file)


@pytest.mark.parametrize("name", ["config.json", "inputs.json"])
def test_what_a_directory_is_bound_to_is_the_users_to_decide_on(benchmark, name):
    spoil(benchmark / name)
    assert found(benchmark) == found(benchmark, repair=True) == {name}
    (benchmark / name).unlink()
    assert found(benchmark.parent) == set()


def test_what_killed_runs_left_is_found_and_goes_when_asked(store, tmp_path):
    for place in (store, tmp_path / "elsewhere"):
        (place / ".x.npy.0.tmp").mkdir(parents=True)
    (store / ".manifest.json.0123456789abcdef0123456789abcdef.tmp").write_text("half")
    (store / "shard-00001.npy").write_bytes((store / "shard-00000.npy").read_bytes())
    assert len(found(tmp_path)) == 3
    assert found(tmp_path, repair=True) == set()
    assert sorted(f.name for f in store.iterdir()) == [
        ".lock", "manifest.json", "shard-00000.npy", "shard-00000.parquet",
    ]  # fmt: skip
    assert (tmp_path / "elsewhere" / ".x.npy.0.tmp").exists(), "not in a directory of ours"


def test_a_store_without_its_manifest_gets_one_and_loses_what_is_damaged(store):
    (store / "manifest.json").write_text("{")
    (store / "shard-00000.npy").write_bytes(b"")
    assert found(store) == {"manifest.json"}
    result = curate.verify(store, repair=True)
    assert result.fine
    assert [f.file.name for f in result.mended] == ["manifest.json", "shard-00000.npy"]
    assert EmbeddingStore(store).embed(POOL, Encoder()).encoded == 9


def test_a_store_that_a_run_is_adding_to_is_not_mended(store):
    from filelock import FileLock

    spoil(store / "shard-00000.npy")
    with FileLock(store / ".lock"), pytest.raises(StoreError, match="another run is adding"):
        curate.verify(store, repair=True)
