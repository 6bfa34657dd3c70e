"""Outputs: what is never replaced, what belongs together, and what is refused before the work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import curate
from airrep.errors import ArgumentError, CurateError, OutputError, StoreError
from airrep.store import EmbeddingStore
from curate import cli
from curate.demo import demo
from curate.demo_data import demo_pool, demo_targets
from curate.rows.io import read_rows
from curate.stages.destination import check_directory
from curate.verbs import fit as fitting
from curate.verbs.report import report
from eval_harness.files.outputs import check_own, claim
from selection.scorers import TfidfScorer

POOL, TARGETS = demo_pool(40), demo_targets("email_reply", 3)


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _all(directory):
    """Every file and link below a directory, with its content."""
    return {
        str(file.relative_to(directory)): (file.read_bytes(), file.is_symlink())
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(autouse=True)
def nothing_scored(request, monkeypatch):
    """Where a test is about refusals, scoring fails it."""
    if "scores" not in request.fixturenames:
        monkeypatch.setattr(TfidfScorer, "score", lambda *_: pytest.fail("it was scored"))


@pytest.fixture
def scores():
    """Of a test that selects."""


@pytest.fixture
def selected(tmp_path, scores):
    """A saved selection."""
    curate.select(POOL, TARGETS, 5, scorer="tfidf", output=tmp_path / "out")
    return tmp_path / "out"


# --- an input is never overwritten, nor is any file that is not ours -----------------------------

WRITTEN = [
    "train.parquet", "selection.parquet", "removed.jsonl", "insight/rows.parquet", "manifest.json",
]  # fmt: skip


@pytest.mark.parametrize("name", ["train.parquet", "pool.jsonl"])
@pytest.mark.parametrize("through", ["itself", "link", "linked directory"])
def test_an_input_inside_the_output_is_refused_and_stays(tmp_path, name, through):
    place = tmp_path / "d"
    place.mkdir()
    rows = read_rows(POOL, "pool").dataset
    rows.to_parquet(place / name) if name.endswith("parquet") else rows.to_json(place / name)
    pool, output = place / name, place
    if through == "link":
        pool = tmp_path / f"pool{pool.suffix}"
        pool.symlink_to(place / name)
    elif through == "linked directory":
        output = tmp_path / "linked"
        output.symlink_to(place)
    before = _all(tmp_path)
    for source in (str(pool), [pool], str(pool.with_name(f"*{pool.suffix}"))):
        with pytest.raises(ArgumentError, match=f"pool: .*{pool.name} lies inside the output"):
            curate.select(source, TARGETS, 5, scorer="tfidf", output=output)
    with pytest.raises(ArgumentError, match=r"targets: .* lies inside the output"):
        curate.select(POOL, pool, 5, scorer="tfidf", output=output)
    with pytest.raises(ArgumentError, match=r"pool: .* lies inside the output"):
        curate.embed(pool, output)
    for verb in (curate.record, curate.harmful):
        with pytest.raises(ArgumentError, match=r"pool: .* lies inside the output"):
            verb(pool, TARGETS, model="no model", output=output)
    with pytest.raises(ArgumentError, match=r"pool: .* lies inside the output"):
        curate.fit(pool, "no model", output)
    assert _all(tmp_path) == before


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("how", ["file", "symbolic link", "broken link", "hard link", "directory"])
def test_a_file_that_no_manifest_lists_is_never_replaced(tmp_path, name, how):
    mine, there = tmp_path / "mine.parquet", tmp_path / "out" / name
    there.parent.mkdir(parents=True)
    mine.write_text("mine")
    if how == "directory":
        there.mkdir()
    elif how == "hard link":
        os.link(mine, there)
    elif how == "file":
        there.write_text("{}")
    else:
        there.symlink_to(mine if how == "symbolic link" else tmp_path / "gone")
    before = _all(tmp_path)
    with pytest.raises(OutputError, match=rf"{name}: already there, and not known to be a result"):
        curate.select(POOL, TARGETS, 5, scorer="tfidf", output=tmp_path / "out")
    with pytest.raises(OutputError, match="already there"):
        curate.harmful(POOL, TARGETS, 5, model="no model", output=tmp_path / "out")
    assert _all(tmp_path) == before
    assert os.path.lexists(there)


def test_saving_replaces_only_what_a_save_wrote(scores, tmp_path):
    chosen = curate.select(POOL, TARGETS, 5, scorer="tfidf")
    chosen.save(tmp_path)
    chosen.save(tmp_path)  # its own files
    (tmp_path / "train.jsonl").write_text("mine")
    before = _all(tmp_path)
    with pytest.raises(OutputError, match=r"train\.jsonl: already there"):
        chosen.save(tmp_path, format="jsonl")
    assert _all(tmp_path) == before


@pytest.mark.parametrize("damaged", ["manifest.json", ".files.json", "nothing, it was killed"])
def test_a_selection_knows_its_files_when_one_of_its_lists_is_lost(selected, damaged):
    before = (selected / "selection.parquet").read_bytes()
    if (selected / damaged).is_file():
        (selected / damaged).write_text("{")
    else:
        (selected / "manifest.json").unlink()
    curate.select(POOL, TARGETS, 5, scorer="tfidf", output=selected)
    assert (selected / "selection.parquet").read_bytes() == before
    assert curate.verify(selected).fine


def test_a_store_is_no_place_for_a_selection(scores, tmp_path, encoder):
    curate.embed(POOL[:3], tmp_path / "s", encoder=encoder)
    before = _all(tmp_path)
    with pytest.raises(OutputError, match=r"manifest\.json: already there"):
        curate.select(POOL, TARGETS, 5, scorer="tfidf", output=tmp_path / "s")
    assert _all(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["shard-00000.parquet", "shard-00000.npy", "shard-00000-of-00002.parquet"]
)
def test_rows_that_are_named_like_a_stores_shards_stay(tmp_path, encoder, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(StoreError, match="something else than an embedding store"):
        curate.embed(POOL[:3], tmp_path, encoder=encoder)
    curate.embed(POOL[:3], tmp_path / "s", encoder=encoder)
    theirs = tmp_path / "s" / "shard-00000-of-00002.parquet"
    theirs.write_text("mine")
    curate.embed(POOL[:6], tmp_path / "s", encoder=encoder)
    assert _all(tmp_path)[name] == (b"mine", False)
    assert theirs.read_text() == "mine"


def test_a_store_that_is_killed_before_a_shard_counts_goes_on(tmp_path, encoder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(EmbeddingStore, "_add", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            curate.embed(POOL[:3], tmp_path, encoder=encoder)
    assert (tmp_path / "shard-00000.npy").exists()
    assert curate.embed(POOL[:3], tmp_path, encoder=encoder).encoded == 3
    assert curate.verify(tmp_path).fine


def test_a_report_replaces_reports_and_nothing_else(selected, tmp_path, capsys):
    file = tmp_path / "report.html"
    report(selected, file)
    report(selected, file)
    page = file.read_text()
    file.write_text(page.replace("<body", "<!-- my notes --><body"))
    mine = tmp_path / "mine.html"
    mine.write_text("<html>mine</html>")
    for there in (file, mine, selected / "manifest.json", selected / "train.parquet"):
        before = there.read_bytes()
        assert cli.main(["report", str(selected), "--output", str(there)]) == 1
        assert f"{there}: already there" in capsys.readouterr().err
        assert there.read_bytes() == before


def test_a_check_replaces_what_a_check_wrote_and_nothing_else(tmp_path, capsys):
    pool = tmp_path / "pool.json"
    pool.write_text(json.dumps(POOL))
    with pytest.raises(OutputError, match=r"pool\.json: already there"):
        curate.check(pool, TARGETS, output=pool)
    assert json.loads(pool.read_text()) == POOL
    found = tmp_path / "found.json"
    curate.check(pool, TARGETS, output=found)
    command = ["check", "--pool", str(pool), "--output", str(found)]
    assert cli.main(command) == 0
    content = json.loads(found.read_text())
    content["removed"] = "edited"
    found.write_text(json.dumps(content))
    assert cli.main(command) == 1
    assert json.loads(found.read_text()) == content


def test_a_null_character_in_a_path_is_refused():
    with pytest.raises(ArgumentError, match="a null character is in it"):
        curate.select(POOL, TARGETS, 5, scorer="tfidf", output="a\0b")


def test_the_demo_keeps_another_pool(tmp_path):
    (tmp_path / "targets.jsonl").write_text("{}\n")
    with pytest.raises(OutputError, match=r"targets\.jsonl: already there"):
        demo(tmp_path, rows=60, k=3, targets=2)
    assert _all(tmp_path) == {"targets.jsonl": (b"{}\n", False)}


def test_a_fit_leaves_the_model_alone(tmp_path, tiny_lm):
    for place, error in ((tiny_lm, ArgumentError), (tmp_path / "copy", OutputError)):
        shutil.copytree(tiny_lm, tmp_path / "copy", dirs_exist_ok=True)
        before = _all(place)
        with pytest.raises(error, match=r"lies inside the output|already there"):
            curate.fit(POOL, tiny_lm, place)
        assert _all(place) == before


def test_a_plan_is_not_written_over_another_file(tmp_path, tiny_lm):
    (tmp_path / "plan.safetensors").write_text("mine")
    with pytest.raises(OutputError, match=r"plan\.safetensors: already there"):
        curate.record(POOL, TARGETS, tiny_lm, tmp_path, subsets=3, size=4)
    assert (tmp_path / "plan.safetensors").read_text() == "mine"


@pytest.mark.parametrize(
    ("verb", "name"),
    [("benchmark", "scores/a.npy"), ("train", "encoder/README.md")]
    + [(verb, name) for verb in ("benchmark", "train") for name in ("config.json", "results.md")],
)
def test_benchmarks_and_trainings_begin_beside_files_of_ones_own_only(
    tmp_path, tiny_lm, verb, name
):
    there = tmp_path / "out" / name
    there.parent.mkdir(parents=True)
    there.write_text('{"model_type": "gpt2"}')
    for part, rows in (("pool", POOL), ("targets", TARGETS), ("test", TARGETS[:1])):
        (tmp_path / f"{part}.jsonl").write_text(_lines(rows))
    config = {
        "model": str(tiny_lm), "pool": str(tmp_path / "pool.jsonl"),
        "targets": str(tmp_path / "targets.jsonl"),
    }  # fmt: skip
    if verb == "benchmark":
        config |= {"test": str(tmp_path / "test.jsonl"), "methods": {"random": {}},
                   "attribution": {"subsets": 3, "size": 4}}  # fmt: skip
    before = _all(tmp_path)
    for output, error in ((tmp_path / "out", "already there"), (tmp_path, "lies inside")):
        with pytest.raises(CurateError, match=error):
            getattr(curate, verb)(config, output)
    assert _all(tmp_path) == before


# --- the results of one run belong together -------------------------------------------------------

OTHERS = {
    "k": ({"k": 6}, "k"),
    "scorer": ({"scorer": "bm25"}, "scorer"),
    "selector": ({"selector": "top_k_max"}, "selector"),
    "pool": ({"pool": POOL[1:]}, "pool"),
    "targets": ({"targets": TARGETS[1:]}, "targets"),
    "guard": ({"duplicates": "warn"}, "duplicates"),
    "an object": ({"scorer": TfidfScorer()}, "scorer"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_directory_of_another_run_is_refused_before_the_work(selected, monkeypatch, case):
    change, said = OTHERS[case]
    before = _all(selected)
    call = {"pool": POOL, "targets": TARGETS, "k": 5, "scorer": "tfidf", **change}
    with monkeypatch.context() as patched:
        patched.setattr(TfidfScorer, "score", lambda *_: pytest.fail("it was scored"))
        with pytest.raises(OutputError, match=rf"another run \(.*\b{said}\b.*overwrite=True"):
            curate.select(**call, output=selected)
    assert _all(selected) == before
    chosen = curate.select(**call, output=selected, overwrite=True)
    assert curate.verify(selected).fine
    found = json.loads((selected / "manifest.json").read_text())["chosen"]
    assert found == json.loads(json.dumps(chosen.manifest.to_dict()))["chosen"]


def test_the_same_run_may_be_repeated(selected, tmp_path):
    again = {"scorer": "tfidf", "output": selected, "selector": "layered_greedy"}
    (tmp_path / "pool.jsonl").write_text(_lines(POOL))
    for pool in (POOL, tmp_path / "pool.jsonl"):
        curate.select(pool, TARGETS, 5, **again, tokens_per_batch=64, format="jsonl")
    assert {"train.jsonl", "train.parquet"} <= {*_all(selected)}
    assert curate.verify(selected).fine
    assert "selection.parquet" in json.loads((selected / "manifest.json").read_text())["files"]


@pytest.mark.slow
def test_an_encoder_in_memory_is_known_again(scores, encoder, tmp_path):
    for _ in range(2):
        curate.select(POOL, TARGETS, 5, encoder=encoder, output=tmp_path)
    with pytest.raises(OutputError, match=r"another run \(.*encoder"):
        curate.select(POOL, TARGETS, 5, encoder=_Another(), output=tmp_path)


class _Another:
    """An encoder that no manifest names."""

    def encode(self, texts):
        raise AssertionError("it was asked")


def test_saving_another_selection_is_refused_and_replaces_all_where_it_may(selected):
    other = curate.select(POOL, TARGETS, 6, scorer="tfidf")
    report(selected)
    before = _all(selected)
    with pytest.raises(OutputError, match="holds another selection"):
        other.save(selected)
    assert _all(selected) == before
    other.save(selected, format="jsonl", overwrite=True)
    assert not (selected / "train.parquet").exists(), "of the other selection"
    page = (selected / "report.html").read_text()
    assert page != before["report.html"][0].decode()
    other.report(selected / "copy.html")
    assert (selected / "copy.html").read_text() == page
    assert curate.verify(selected).fine


def test_verify_knows_which_selection_a_report_shows(selected, tmp_path):
    file = selected / "report.html"
    curate.select(POOL, TARGETS, 6, scorer="tfidf").report(file)
    (selected / "mine.html").write_text("<html>not ours</html>")
    found = curate.verify(selected).findings
    assert [(each.file, each.problem) for each in found] == [
        (file, "a report of another selection than the one beside it")
    ]
    assert f"curate report {selected}" in found[0].mend
    file.unlink()
    report(selected)
    assert curate.verify(selected).fine
    file.write_text(file.read_text().replace("<body", "<!-- my notes --><body"))
    assert [each.problem for each in curate.verify(selected).findings] == [
        "not what was written (its digest differs)"
    ]


def test_the_command_line_overwrites_when_told(selected, tmp_path, capsys):
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        (tmp_path / f"{name}.jsonl").write_text(_lines(rows))
    command = [
        "select", "--pool", str(tmp_path / "pool.jsonl"), "--targets",
        str(tmp_path / "targets.jsonl"), "--scorer", "tfidf", "--output", str(selected),
    ]  # fmt: skip
    assert cli.main([*command, "--k", "5"]) == 0
    assert cli.main([*command, "--k", "7"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main([*command, "--k", "7", "--overwrite"]) == 0
    config = ["select", "--config", str(selected / "manifest.json"), "--output", str(selected)]
    assert cli.main(config) == 0
    assert "same rows as in the manifest" in capsys.readouterr().out


@pytest.mark.slow
def test_a_fit_belongs_to_its_pool_and_settings(tmp_path, tiny_lm, few_draws):
    curate.fit(POOL[:8], tiny_lm, tmp_path / "fit")
    before = _all(tmp_path)
    with pytest.raises(OutputError, match=r"another fitted encoder \(fit\.json: dim differ\)"):
        curate.fit(POOL[:8], tiny_lm, tmp_path / "fit", dim=3)
    assert _all(tmp_path) == before
    curate.fit(POOL[:8], tiny_lm, tmp_path / "fit")


def test_harmful_keeps_the_result_of_another_run(selected):
    with pytest.raises(OutputError, match="it is of curate select"):
        curate.harmful(POOL, TARGETS, 5, model="no model", output=selected)


# --- another process writes to the same directory at this moment ---------------------------------


def _just_before(monkeypatch, owner, name, act):
    """Let another process act right before something is looked at for the first time."""
    look, acted = getattr(owner, name), []

    def act_and_look(*given):
        if not acted:
            acted.append(given)
            act()
        return look(*given)

    monkeypatch.setattr(owner, name, act_and_look)


def test_a_selection_that_another_process_saves_now_is_ours(selected, tmp_path, monkeypatch):
    place = tmp_path / "new"
    _just_before(monkeypatch, os.path, "lexists", lambda: shutil.copytree(selected, place))
    check_directory(place, "parquet")


def test_results_that_another_process_writes_now_are_ours(tmp_path, monkeypatch):
    def write():
        claim(tmp_path / "config.json", {"seed": 1}, "benchmark")
        (tmp_path / "results.md").write_text("the other's")

    _just_before(monkeypatch, Path, "glob", write)
    check_own(tmp_path, ["results.md"])


def test_a_checkpoint_that_another_process_fits_now_is_ours(tmp_path, monkeypatch):
    def write():
        claim(tmp_path / fitting.BINDING, {"seed": 1}, "fitted encoder")
        (tmp_path / "model.safetensors").write_text("the other's")

    _just_before(monkeypatch, Path, "iterdir", write)
    fitting._check_own(tmp_path)


# --- outputs that cannot be written ---------------------------------------------------------------


def _calls(model, files):
    """Every verb that writes, as a function of its output."""
    pool, targets, test = (str(files / f"{n}.jsonl") for n in ("pool", "targets", "test"))
    config = {"model": str(model), "pool": pool, "targets": targets}
    attribution = {"subsets": 3, "size": 4}
    measured = {**config, "test": test, "methods": {"random": {}}, "attribution": attribution}
    return {
        "select": lambda place: curate.select(pool, targets, 3, scorer="tfidf", output=place),
        "harmful": lambda place: curate.harmful(pool, targets, 3, model=model, output=place),
        "check": lambda place: curate.check(pool, targets, output=place / "found.json"),
        "embed": lambda place: curate.embed(pool, place),
        "record": lambda place: curate.record(pool, targets, model, place, subsets=3, size=4),
        "fit": lambda place: curate.fit(pool, model, place),
        "demo": lambda place: demo(place, rows=60, k=3, targets=2),
        "benchmark": lambda place: curate.benchmark(measured, place),
        "train": lambda place: curate.train(config, place),
    }


@pytest.mark.parametrize(
    ("verb", "how"),
    [
        (verb, how)
        for verb in sorted(_calls("", Path()))
        for how in ("a file", "below a file", "read-only")
        if (verb, how) != ("demo", "read-only")  # which has nothing to lose
    ],
)
def test_an_output_that_cannot_be_written_is_one_clear_error(
    tmp_path, tiny_lm, monkeypatch, verb, how
):
    for name in ("airrep.encoder.AirRep.encode", "curate.verbs.check.examine"):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("the work began"))
    monkeypatch.setattr("airrep.language_model.model.LanguageModel.from_pretrained", _no_model)
    for name, rows in (("pool", POOL), ("targets", TARGETS), ("test", demo_pool(6, seed=9))):
        (tmp_path / f"{name}.jsonl").write_text(_lines(rows))
    place = tmp_path / "out"
    if how == "read-only":
        place.mkdir()
        monkeypatch.setattr("airrep.disk.atomic.TemporaryFile", _denied)
        monkeypatch.setattr("airrep.disk.atomic.temporary_directory", _denied)
    else:
        place.write_text("mine")
    before = _all(tmp_path)
    output = place / "out" if how == "below a file" else place
    with pytest.raises(CurateError) as raised:
        _calls(tiny_lm, tmp_path)[verb](output)
    said = str(raised.value)
    assert str(place) in said
    assert any(words in said for words in ("cannot write", "already there", "choose another"))
    assert _all(tmp_path) == before


def _no_model(*_, **__):
    pytest.fail("a model was loaded")


def _denied(*_, **__):
    raise PermissionError(13, "Permission denied")
