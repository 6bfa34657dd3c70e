"""`report` and `explain`: on a selection in memory, on one that was saved, on the command line."""

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import curate
from airrep.errors import ArgumentError
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.verbs.report import report
from selection.selectors import SELECTORS


@pytest.fixture(scope="module")
def rows():
    return demo_pool(150), demo_targets("email_reply", 3)


@pytest.fixture(scope="module")
def saved(rows, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    return curate.select(*rows, 20, scorer="tfidf", output=directory), directory


def test_a_saved_selection_needs_neither_pool_nor_scorer(saved, tmp_path, capsys):
    chosen, directory = saved
    moved = shutil.copytree(directory, tmp_path / "moved")
    assert cli.main(["report", str(moved)]) == 0
    assert capsys.readouterr().out == f"wrote   {moved / 'report.html'}\n"
    own = chosen.report(tmp_path / "own.html")
    assert own == tmp_path / "own.html"
    assert own.read_text("utf-8") == (moved / "report.html").read_text("utf-8")
    assert cli.main(["report", str(moved), "--output", str(tmp_path / "there" / "r.html")]) == 0
    assert (tmp_path / "there" / "r.html").exists()


def test_the_command_line_explains_what_the_library_explains(saved, capsys):
    chosen, directory = saved
    row = chosen.selection.ids[0]
    assert cli.main(["explain", str(directory), row]) == 0
    said = capsys.readouterr().out
    assert said == f"{chosen.explain(row)}\n"
    assert "is in: 1st of 20 rows (rank 0)" in said
    assert cli.main(["explain", str(directory), "1", "--target"]) == 0
    assert "target 1 (email_reply) is served" in capsys.readouterr().out


def test_ranks_and_layers_count_as_the_columns_do(rows, tmp_path):
    chosen = curate.select(*rows, 30, scorer="tfidf", selector="layered_greedy")
    columns = chosen.dataset
    assert max(columns["curate_layer"]) > 0
    for rank, row, layer in zip(
        columns["curate_rank"], columns["curate_row"], columns["curate_layer"], strict=True
    ):
        found = chosen.explain(row)
        assert (found.rank, found.layer) == (rank, layer)
        assert f" (rank {rank})" in str(found)
        assert f" (layer {layer})" in str(found)
    page = chosen.report(tmp_path / "r.html").read_text("utf-8")
    shown = re.findall(r'class="rank number" data-v="(\d+)">(\d+)<', page)
    assert shown == [(str(rank), str(rank)) for rank in columns["curate_rank"]]
    layers = re.findall(r'class="facts">row <b>\d+</b>, layer (\d+)', page)
    assert list(map(int, layers)) == list(columns["curate_layer"])
    target = chosen.explain(columns["curate_target"][0], target=True)
    for row in target.most_chosen:
        assert columns["curate_row"][row.rank] == int(row.id)


def test_constraints_are_in_the_report_of_what_was_saved(rows, tmp_path):
    asked = {"max_per_source": {"*": 2}, "min_per_target": 2, "include": ["7"], "exclude": ["1"]}
    chosen = curate.select(*rows, 12, scorer="tfidf", constraints=asked, output=tmp_path)
    standings = chosen.manifest.chosen["constraints"]
    assert len(standings) > 5
    page = report(tmp_path).read_text("utf-8")
    listed = re.search(r'<table class="constraints".*?</table>', page, re.DOTALL)[0]
    assert listed.count("<tr") == 1 + len(standings)
    for each in standings:
        assert html.escape(each.what, quote=False).replace("'", "&#39;") in listed
    assert chosen.summary().count("kept to ") + len(standings[12:]) == len(standings)
    assert "kept to include: 1 row, at least 1 asked for" in chosen.summary()


def test_what_people_read_does_not_say_where_files_are(rows, encoder, tmp_path):
    """Only the arguments in manifest.json do, because repeating the run needs them."""
    lines = [json.dumps(row) for row in rows[0][:40]]
    (tmp_path / "pool.jsonl").write_text("\n".join([*lines, '{"prompt": "?", "completion": ""}']))
    (tmp_path / "targets.jsonl").write_text("\n".join(json.dumps(row) for row in rows[1]))
    encoder.save_pretrained(tmp_path / "my-encoder")
    chosen = curate.select(
        tmp_path / "pool.jsonl", str(tmp_path / "targets.jsonl"), 5,
        test=tmp_path / "targets.jsonl", encoder=tmp_path / "my-encoder",
        store=tmp_path / "store", on_bad_row="skip", output=tmp_path / "out",
    )  # fmt: skip
    page = report(tmp_path / "out").read_text("utf-8")
    own = chosen.report(tmp_path / "own.html").read_text("utf-8")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    arguments = manifest.pop("arguments")
    assert Path(arguments["pool"]) == tmp_path / "pool.jsonl"
    told = [chosen.explain(0), chosen.explain(0, target=True), chosen.guard]
    for text in (page, own, chosen.summary(), json.dumps(manifest), *map(str, told)):
        assert str(tmp_path) not in text
    assert "from pool.jsonl, for targets.jsonl" in page
    assert "41 rows from pool.jsonl, 1 unreadable row skipped" in chosen.summary()
    assert "rows with my-encoder (" in chosen.summary()
    assert manifest["inputs"]["pool"]["skipped"][0].startswith("pool.jsonl, row 40 ")


def test_an_older_manifest_is_shown_without_places(saved, tmp_path):
    shutil.copytree(saved[1], tmp_path / "old")
    file = tmp_path / "old" / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    manifest["arguments"] |= {"pool": "/home/zqx/pool.jsonl", "encoder": "/home/zqx/encoder"}
    manifest["inputs"]["pool"]["name"] = "/home/zqx/pool.jsonl"
    manifest["inputs"]["pool"]["skipped"] = ["/home/zqx/pool.jsonl, row 3 (counting from 0): no"]
    manifest["encoders"] = [
        {"scorer": "airrep", "name": "/home/zqx/encoder", "fingerprint": "f", "dtype": "float32",
         "encoded": 1, "reused": 0},
    ]  # fmt: skip
    file.write_text(json.dumps(manifest), "utf-8")
    page = report(tmp_path / "old").read_text("utf-8")
    assert "zqx" not in page
    assert "pool.jsonl, row 3 (counting from 0): no" in html.unescape(page)


def test_mistakes_get_one_line(saved, tmp_path, capsys):
    _, directory = saved
    assert cli.main(["explain", str(directory), "100", "--target"]) == 1
    assert "no target has the id '100', but a pool row has" in capsys.readouterr().err
    assert cli.main(["explain", str(directory), "1000"]) == 1
    assert "no pool row has the id '1000'" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path)]) == 1
    assert "holds no selection: manifest.json is missing" in capsys.readouterr().err


def test_ids_that_columns_name_are_the_ones_to_ask_for(rows):
    pool = [{**row, "key": f"row-{i}"} for i, row in enumerate(rows[0])]
    targets = [{**row, "key": f"target-{i}"} for i, row in enumerate(rows[1])]
    chosen = curate.select(pool, targets, 5, scorer="tfidf", columns={"id": "key"})
    assert chosen.explain(chosen.selection.ids[2]).rank == 2
    earned = int((chosen.selection.targets == 2).sum())
    assert chosen.explain("target-2", target=True).earned == earned
    with pytest.raises(ArgumentError, match=r"'row-0' to 'row-149'.*Did you mean"):
        chosen.explain("row-151")


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_can_be_reported_on(rows, selector, tmp_path):
    scorer = "airrep" if selector == "herding" else "tfidf"
    chosen = curate.select(*rows, 9, scorer=scorer, selector=selector)
    assert chosen.report(tmp_path / "report.html").stat().st_size > 10_000


def test_scores_are_what_the_scorer_gave_whatever_fits_into_memory(rows, monkeypatch):
    whole = curate.select(*rows, 12, scorer="tfidf")
    monkeypatch.setattr("curate.stages.choosing.fits", lambda *_: False)
    parts = curate.select(*rows, 12, scorer="tfidf")
    assert parts.selection.certificate.certified
    for chosen in (whole, parts):
        seen = chosen.insight.overview
        earned = seen.chosen[np.arange(12), chosen.selection.targets]
        np.testing.assert_array_equal(earned, chosen.selection.scores)
    np.testing.assert_array_equal(
        whole.insight.overview.top_scores, parts.insight.overview.top_scores
    )
    np.testing.assert_array_equal(
        whole.insight.overview.distribution.counts, parts.insight.overview.distribution.counts
    )


def test_rows_that_could_not_be_read_do_not_move_the_others(rows, tmp_path):
    pool = [{"prompt": "?", "completion": ""}, *rows[0]]
    chosen = curate.select(pool, rows[1], 5, scorer="tfidf", on_bad_row="skip", output=tmp_path)
    place = int(chosen.selection.indices[0])
    assert chosen.explain(str(place + 1)).rank == 0
    assert "1 pool row could not be read" in chosen.report(tmp_path / "r.html").read_text("utf-8")


def test_reports_and_explanations_load_no_torch(saved):
    _, directory = saved
    code = (
        "import json, sys, curate.cli\n"
        f"for verb in (['report', {str(directory)!r}], ['explain', {str(directory)!r}, '120']):\n"
        "    assert curate.cli.main(verb) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_manifest_counts_the_overviews_time(saved):
    _, directory = saved
    assert "overview" in json.loads((directory / "manifest.json").read_text())["seconds"]


def test_the_report_pages_commands_and_python_run(rows, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[4] / "docs" / "report.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    for name, part in zip(("pool", "targets"), rows, strict=True):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    curate.select("pool.jsonl", "targets.jsonl", 20, scorer="tfidf", output="chosen")
    commands = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for line in "".join(commands).splitlines():
        assert cli.main(shlex.split(line)[1:]) == 0, line
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(compile(code, "report.md", "exec"), {})
    assert Path("report.html").exists()
    assert "row 12" in capsys.readouterr().out
