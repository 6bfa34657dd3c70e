"""Everything that rows can come from, and what is said when they cannot be read."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict, IterableDataset

from airrep.errors import ArgumentError, FileFormatError, MissingInputError, RecordError
from curate.rows.io import read_rows

ROWS = [
    {"prompt": "How many legs has a spider?", "completion": "Eight.", "task": "animals"},
    {"prompt": "Say 007 as text", "completion": "007", "task": "numbers"},
    {"prompt": "Ünïcode — 漢字?", "completion": "はい", "task": "words"},
]


def _jsonl(path: Path, rows=ROWS) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def _json(path: Path) -> Path:
    path.write_text(json.dumps(ROWS), "utf-8")
    return path


def _csv(path: Path) -> Path:
    pd.DataFrame(ROWS).to_csv(path, index=False)
    return path


def _parquet(path: Path) -> Path:
    pd.DataFrame(ROWS).to_parquet(path, index=False)
    return path


def _gz(path: Path) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in ROWS)
    return path


def _saved(path: Path) -> Path:
    Dataset.from_list(ROWS).save_to_disk(path)
    return path


WRITERS = {
    "pool.jsonl": _jsonl,
    "pool.ndjson": _jsonl,
    "lines.json": _jsonl,
    "pool.json": _json,
    "pool.csv": _csv,
    "pool.parquet": _parquet,
    "pool.jsonl.gz": _gz,
    "POOL.JSONL": _jsonl,
    "saved": _saved,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", [str, Path])
def test_every_file_type_gives_the_same_rows(tmp_path, name, kind):
    rows = read_rows(kind(WRITERS[name](tmp_path / name)), "pool")
    assert rows.dataset.to_list() == ROWS


def _stream():
    yield from ROWS


IN_MEMORY = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "generator": _stream,
    "dataset": lambda: Dataset.from_list(ROWS),
    "filtered": lambda: Dataset.from_list([ROWS[0], *ROWS]).select([1, 2, 3]),
    "formatted": lambda: Dataset.from_list(ROWS).with_format("numpy"),
    "transformed": lambda: Dataset.from_list(ROWS).with_transform(lambda batch: {"x": [1]}),
    "stream": lambda: IterableDataset.from_generator(_stream),
    "frame": lambda: pd.DataFrame(ROWS, index=[7, 8, 9]),
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_everything_in_memory_gives_the_same_rows(kind):
    assert read_rows(IN_MEMORY[kind](), "pool").dataset.to_list() == ROWS


def test_strings_are_plain_text():
    found = read_rows(["one text", "another"], "pool").examples(None)
    examples = list(found.examples)
    assert [(e.prompt, e.completion) for e in examples] == [("", "one text"), ("", "another")]


def test_a_glob_reads_its_files_in_order_and_says_which_one_is_bad(tmp_path):
    _jsonl(tmp_path / "b.jsonl", ROWS[1:])
    _jsonl(tmp_path / "a.jsonl", ROWS[:1])
    rows = read_rows(str(tmp_path / "*.jsonl"), "pool")
    assert rows.dataset.to_list() == ROWS
    assert rows.place(0) == (str(tmp_path / "a.jsonl"), 0)
    assert rows.place(2) == (str(tmp_path / "b.jsonl"), 1)
    _jsonl(tmp_path / "c.jsonl", [{"prompt": "x", "completion": ""}])
    with pytest.raises(RecordError, match=r"c\.jsonl, row 0 .*'completion' is empty"):
        read_rows(str(tmp_path / "*.jsonl"), "pool").examples(None)


def test_a_list_of_paths_is_a_list_of_files(tmp_path):
    files = [_jsonl(tmp_path / "a.jsonl", ROWS[:1]), _csv(tmp_path / "b.csv")]
    assert len(read_rows(files, "pool").dataset) == 4


def test_fields_that_only_some_rows_have_are_kept():
    rows = [{"text": "a"}, {"text": "b", "label": "x"}] * 10_000
    assert read_rows(rows, "pool").dataset.column_names == ["text", "label"]


def test_sources_come_from_the_row_or_else_from_the_file(tmp_path):
    file = _jsonl(tmp_path / "mine.jsonl", [ROWS[0], {"prompt": "a", "completion": "b"}])
    found = read_rows(file, "pool").examples(None)
    examples = list(found.examples)
    assert [e.source for e in examples] == ["animals", "mine"]


def test_named_ids_have_to_be_unique():
    rows = [{"text": "a", "key": "x"}, {"text": "b", "key": "x"}]
    with pytest.raises(RecordError, match=r"row 1 .*id 'x' is taken by row 0"):
        read_rows(rows, "pool").examples({"id": "key"})


def test_bad_rows_are_counted_when_skipped():
    rows = read_rows([{"text": "a"}, {"text": " "}, {"text": "c"}], "pool")
    found = rows.examples(None, "skip")
    examples, skipped = list(found.examples), found.skipped
    assert [(e.completion, e.row) for e in examples] == [("a", 0), ("c", 2)]
    assert len(skipped) == 1
    assert (skipped[0].row, skipped[0].content) == (1, "{'text': ' '}")
    assert "row 1 (counting from 0): 'text' is empty" in str(skipped[0])


def test_skipping_every_row_is_an_error():
    with pytest.raises(RecordError, match="all 2 were skipped"):
        read_rows([{"text": " "}, {"text": ""}], "pool").examples(None, "skip")


def _bytes(name: str, content: bytes):
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


GOOD_LINE = b'{"prompt": "a", "completion": "b"}\n'
DAMAGED = {
    "malformed line": (_bytes("x.jsonl", GOOD_LINE + b'{"prompt": \n'), r"x\.jsonl, line 2: not"),
    "a list in a line": (_bytes("x.jsonl", GOOD_LINE + b"[1]\n"), "line 2: expected a JSON object"),
    "bad utf-8": (_bytes("x.jsonl", GOOD_LINE + b'{"a": "\xff"}\n'), "line 2: not UTF-8"),
    "deep nesting": (_bytes("x.jsonl", b'{"a":' * 100_000), "line 1"),
    "bad json": (_bytes("x.json", b"[{]"), "not valid JSON"),
    "json of numbers": (_bytes("x.json", b"[1]"), "row 0"),
    "unclosed csv quote": (_bytes("x.csv", b'a,b\n"1,2\n'), "not a readable CSV"),
    "truncated parquet": (_bytes("x.parquet", b"PAR1xxxx"), "not a readable Parquet"),
    "truncated gzip": (_bytes("x.jsonl.gz", gzip.compress(GOOD_LINE * 99)[:40]), "gzip"),
    "unknown suffix": (_bytes("x.docx", b"hello"), "unknown file type"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_named(tmp_path, case):
    write, message = DAMAGED[case]
    with pytest.raises(FileFormatError, match=message):
        read_rows(write(tmp_path), "pool")


def test_a_field_that_changes_its_type_far_down_is_kept():
    rows = [{"text": "a", "n": 1}] * 10_000 + [{"text": "a", "n": "one"}]
    assert read_rows(rows, "pool").dataset["n"][9_999:] == [1, "one"]


@pytest.mark.parametrize("name", ["nope.jsonl", "no/such/*.jsonl", "./nope", "a/b/c/d"])
def test_missing_files_are_said_to_be_missing(name):
    with pytest.raises(MissingInputError, match="no file matches"):
        read_rows(name, "pool")


def test_a_directory_that_is_no_dataset_suggests_a_glob(tmp_path):
    with pytest.raises(MissingInputError, match=r"\*\.jsonl"):
        read_rows(tmp_path, "pool")


def test_a_hub_name_is_loaded_with_its_config_and_split(monkeypatch):
    asked = []

    def load(name, config, split):
        asked.append((name, config, split))
        return Dataset.from_list(ROWS)

    monkeypatch.setattr("curate.rows.names.load_dataset", load)
    for name in ("owner/name", "owner/name:test", "owner/name/config:train[:10%]"):
        assert read_rows(name, "pool").dataset.to_list() == ROWS
    assert asked == [
        ("owner/name", None, "train"),
        ("owner/name", None, "test"),
        ("owner/name", "config", "train[:10%]"),
    ]


def test_a_hub_failure_is_one_clear_error(monkeypatch):
    def load(name, config, split):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("curate.rows.names.load_dataset", load)
    with pytest.raises(MissingInputError, match=r"'owner/name' is no local file.*no route"):
        read_rows("owner/name", "pool")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "holds no rows"),
        (
            DatasetDict({"a": Dataset.from_list(ROWS), "b": Dataset.from_list(ROWS)}),
            r"\['a', 'b'\]",
        ),
        (3, "found int"),
        ({"prompt": None}, "found a dict whose 'prompt' is None"),
        ({"prompt": ["x", "y"]}, r"datasets\.Dataset\.from_dict"),
    ],
)
def test_what_holds_no_rows_is_refused(given, message):
    with pytest.raises(ArgumentError, match=message):
        read_rows(given, "pool")


def test_a_row_that_is_no_row_is_refused():
    with pytest.raises(RecordError, match=r"row 1 .*found int"):
        read_rows([{"text": "a"}, 3], "pool")
