"""The verb `convert`, and trainers' formats of a selection."""

from __future__ import annotations

import io
import json
import math

import pytest

import curate
from airrep.errors import ArgumentError, CurateError, OutputError, RecordError
from airrep.records import normalize
from curate.cli import main

ROWS = [{"instruction": f"ask {i}", "input": "", "output": f"answer {i}"} for i in range(6)]
TARGETS = ["a target"]
QUIET = {"leakage": "off", "duplicates": "off"}
FORMATS = ["openai", "sharegpt", "alpaca"]


class NeverAsked:
    """A scorer that must not be called."""

    name = "never"

    def score(self, targets, pool):
        raise AssertionError("scored before it was known that the rows can be written")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# --- convert --------------------------------------------------------------------------------


def test_the_result_is_one_line(file, tmp_path):
    file.write_text(file.read_text() + "no json\n" + '{"text": ""}\n')
    made = curate.convert(file, "openai", tmp_path / "out.jsonl", on_bad_row="skip")
    assert str(made) == f"wrote 6 rows to {tmp_path}/out.jsonl as openai; skipped 2"
    assert "\n" not in repr(made)
    assert [each.row for each in made.skipped] == [6, 7]
    assert [row["messages"][0]["content"] for row in _lines(made.output)] == [
        f"ask {i}" for i in range(6)
    ]


def test_columns_and_roles_say_what_is_what(tmp_path):
    rows = [{"chat": [{"role": "ann", "content": "q"}, {"role": "bob", "content": "a"}]}]
    made = curate.convert(
        rows,
        "sharegpt",
        tmp_path / "out.jsonl",
        columns={"messages": "chat"},
        roles={"ann": "user", "bob": "assistant"},
    )
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert _lines(made.output) == [{"conversations": turns}]


def test_trl_gets_what_a_selection_would_give_it(file, tmp_path):
    made = curate.convert(file, "trl", tmp_path / "out.jsonl")
    assert _lines(made.output) == [normalize(row).trl for row in ROWS]
    mixed = [{"text": "a"}, {"prompt": "q", "completion": "a"}]
    with pytest.raises(ArgumentError, match="mixes the layouts"):
        curate.convert(mixed, "trl", tmp_path / "mixed.jsonl")


def test_an_error_names_file_and_row_and_nothing_is_written(file, tmp_path):
    file.write_text(file.read_text() + json.dumps({"prompt": "no answer"}) + "\n")
    with pytest.raises(RecordError, match=r"in\.jsonl, row 6 \(counting from 0\): it cannot be wr"):
        curate.convert(file, "alpaca", tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("through", ["itself", "a link", "a pattern"])
def test_the_input_is_never_replaced(file, tmp_path, through, overwrite):
    before, output = file.read_bytes(), file
    if through == "a link":
        output = tmp_path / "link.jsonl"
        output.symlink_to(file)
    given = str(tmp_path / "i*.jsonl") if through == "a pattern" else file
    with pytest.raises(ArgumentError, match="is one of the files that the rows are read from"):
        curate.convert(given, "openai", output, overwrite=overwrite)
    assert file.read_bytes() == before


def test_a_file_that_is_there_is_replaced_only_when_told(file, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    with pytest.raises(OutputError, match=r"already there.*overwrite=True"):
        curate.convert(file, "openai", output)
    assert output.read_text() == "mine"
    curate.convert(file, "openai", output, overwrite=True)
    assert len(_lines(output)) == 6
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    with pytest.raises(OutputError, match="already there"):
        curate.convert(file, "openai", folder, overwrite=True)


@pytest.mark.parametrize(
    ("to", "output", "message"),
    [
        ("openai", "out.json", r"expected a file named \*.jsonl or \*.parquet"),
        ("openai", "", "expected a path"),
        ("openai", "a\0.jsonl", "null character"),
        ("openia", "out.jsonl", "choose trl, openai, sharegpt, alpaca"),
    ],
)
def test_wrong_arguments_are_refused(file, to, output, message):
    with pytest.raises(CurateError, match=message):
        curate.convert(file, to, output)


def test_the_command_line_converts(file, tmp_path, capsys):
    output = tmp_path / "out.parquet"
    command = ["convert", "--rows", str(file), "--to", "alpaca", "-o", str(output)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"wrote 6 rows to {output} as alpaca\n"
    assert main([*command, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "output": str(output),
        "format": "alpaca",
        "rows": 6,
        "skipped": [],
    }
    assert main(command) == 1


def test_rows_come_from_standard_input(file, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert main(["convert", "--rows", "-", "--to", "trl", "-o", str(tmp_path / "out.jsonl")]) == 0
    assert len(_lines(tmp_path / "out.jsonl")) == 6


# --- select ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_selection_is_saved_in_the_format_of_a_trainer(form, tmp_path, file):
    place = tmp_path / "out"
    chosen = curate.select(file, TARGETS, 3, scorer="random", **QUIET, output=place, format=form)
    rows = [ROWS[i] for i in chosen.dataset["curate_row"]]
    train = _lines(place / "train.jsonl")
    made = curate.convert(rows, form, tmp_path / "made.jsonl")
    assert train == _lines(made.output)
    plain = tmp_path / "plain"
    chosen.save(plain, format="jsonl")
    assert (place / "selection.jsonl").read_bytes() == (plain / "selection.jsonl").read_bytes()
    loaded = curate.TrainingSet.load(place)
    assert list(loaded.dataset) == list(chosen.dataset)
    assert curate.verify(place).fine
    loaded.save(tmp_path / "again", format=form)
    assert _lines(tmp_path / "again" / "train.jsonl") == train


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_format_cannot_express_is_said_before_anything_is_scored(form, tmp_path):
    rows = [*ROWS, {"instruction": "q", "input": "", "output": "a", "images": ["a.png"]}]
    with pytest.raises(RecordError, match=rf"row 6 .*cannot be written as {form}.*its pictures"):
        curate.select(rows, TARGETS, 3, scorer=NeverAsked(), output=tmp_path / "out", format=form)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        (math.nan, "jsonl", "'extra' holds NaN or Infinity"),
        (b"\xff", "jsonl", "'extra' holds values of type binary"),
        (math.inf, "openai", "'extra' holds NaN or Infinity"),
        ({}, "parquet", "cannot be written as Parquet"),
    ],
)
def test_what_a_file_cannot_hold_is_said_before_anything_is_scored(value, form, message, tmp_path):
    import pyarrow as pa

    extra = pa.array([value] * 6, pa.struct([]) if value == {} else None)
    table = pa.Table.from_pylist(ROWS).append_column("extra", extra)
    with pytest.raises(ArgumentError, match=message):
        curate.select(table, TARGETS, 3, scorer=NeverAsked(), output=tmp_path / "out", format=form)
    with pytest.raises(AssertionError, match="scored"):  # where nothing is written
        curate.select(table, TARGETS, 3, scorer=NeverAsked(), format=form)
