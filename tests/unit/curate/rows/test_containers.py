"""Containers and files of many kinds, and what is said of those that cannot be read."""

import bz2
import gzip
import json
import lzma
import sys
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, IterableDatasetDict

from airrep.errors import ArgumentError, CurateError, FileFormatError, MissingInputError
from curate.rows.io import places_of, read_rows

ROWS = [{"prompt": f"q {i}", "completion": f"a {i}"} for i in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return sink.getvalue().to_pybytes()


class Frame:
    """A table of another library, which speaks Arrow."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


TABLE = pa.Table.from_pylist(ROWS)
CONTAINERS = {
    "an Arrow table": lambda: TABLE,
    "a reader of batches": lambda: pa.RecordBatchReader.from_batches(
        TABLE.schema, TABLE.to_batches()
    ),
    "a table that speaks Arrow": lambda: Frame(TABLE),
    # Not by a cast, of which pyarrow 24 makes a stream that ends the process.
    "texts as views": lambda: Frame(
        pa.table({n: pa.array(TABLE[n].to_pylist(), pa.string_view()) for n in TABLE.column_names})
    ),
    "categories": lambda: pd.DataFrame(ROWS).astype("category"),
    "one split": lambda: DatasetDict(train=Dataset.from_list(ROWS)),
    "one streamed split": lambda: IterableDatasetDict(
        train=Dataset.from_list(ROWS).to_iterable_dataset()
    ),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_give_their_rows(kind):
    assert list(read_rows(CONTAINERS[kind](), "pool").dataset) == ROWS


def test_a_lazy_frame_of_polars_is_collected(monkeypatch):
    class LazyFrame:
        def collect(self):
            return Frame(TABLE)

    monkeypatch.setitem(sys.modules, "polars", SimpleNamespace(LazyFrame=LazyFrame))
    assert list(read_rows(LazyFrame(), "pool").dataset) == ROWS


def test_types_that_other_libraries_prefer_become_those_of_datasets():
    categories = pa.array(["p"]).dictionary_encode()
    table = pa.table({"x": pa.array(["a"], pa.string_view()), "c": categories})
    nested = pa.array([[{"a": "b"}]], pa.list_(pa.struct([("a", pa.string_view())])))
    read = read_rows(Frame(table.append_column("n", nested)), "pool").dataset
    assert list(read) == [{"x": "a", "c": "p", "n": [{"a": "b"}]}]
    assert "view" not in str(read.features)


FILES = {
    "a.jsonl.gz": gzip.compress(LINES.encode()),
    "a.jsonl.zst": _zstd(LINES.encode()),
    "a.jsonl.bz2": bz2.compress(LINES.encode()),
    "a.JSON.xz": lzma.compress(json.dumps(ROWS).encode()),
    "a.csv.zst": _zstd(b"prompt,completion\nq 0,a 0\nq 1,a 1\nq 2,a 2\n"),
    "a.tsv": b"prompt\tcompletion\nq 0\ta 0\nq 1\ta 1\n\nq 2\ta 2",
    "old-mac.csv": b"prompt,completion\rq 0,a 0\rq 1,a 1\rq 2,a 2\r",
    "object.json": json.dumps({"canary": "x", "examples": ROWS}, indent=2).encode(),
    "object-on-a-line.json": json.dumps({"version": 1, "data": ROWS}).encode(),
    "object.jsonl": json.dumps({"rows": ROWS}, indent=2).encode(),
    "array.jsonl": json.dumps(ROWS, indent=1).encode(),
    "array-on-a-line.jsonl": json.dumps(ROWS).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_files_give_their_rows(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    assert list(read_rows(tmp_path / name, "pool").dataset) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("lines.jsonl", [TALK, TALK], 2),
        ("line.jsonl", [TALK], 1),
        ("lines.json", [TALK, TALK], 2),
        ("row.json", [{"messages": TALK, "tools": [{"name": "f"}]}], 1),
    ],
)
def test_a_list_of_messages_is_a_row(tmp_path, name, content, rows):
    (tmp_path / name).write_text("\n".join(map(json.dumps, content)))
    assert read_rows(tmp_path / name, "pool").dataset["messages"][:] == [TALK] * rows


def test_an_array_of_conversations_is_rows(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps([TALK, TALK], indent=1))
    assert read_rows(tmp_path / "x.json", "pool").dataset["messages"][:] == [TALK] * 2


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 886\n"
REFUSED = {
    "a pointer": ("x.jsonl", LFS, "a Git LFS pointer.*git lfs pull"),
    "a pointer for Parquet": ("x.parquet", LFS, "a Git LFS pointer"),
    "a pointer for a packed file": ("x.csv.gz", LFS, "a Git LFS pointer"),
    "a web page": ("x.json", b"\n<!DOCTYPE html>\n<html>", "a web page.*Download the file itself"),
    "gzip": ("x.jsonl", gzip.compress(LINES.encode()), r"packed by gzip.*end with \.gz"),
    "zstd": ("x.csv", _zstd(LINES.encode()), r"packed by Zstandard.*end with \.zst"),
    "gzip twice": ("x.jsonl.gz", gzip.compress(gzip.compress(b"{}")), "packed by gzip"),
    "UTF-16": ("x.jsonl", LINES.encode("utf-16"), "text in UTF-16.*Save it as UTF-8"),
    "UTF-16 without a mark": ("x.csv", "prompt".encode("utf-16-le"), "text in UTF-16"),
    "UTF-32": ("x.json", LINES.encode("utf-32"), "text in UTF-32"),
    "Parquet": ("x.jsonl", b"PAR1" + b"\0" * 99, r"a Parquet file.*end with \.parquet"),
    "cp1252": ("x.jsonl", '{"text": "café"}'.encode("cp1252"), "line 1: not UTF-8.*Save the file"),
    "cp1252 in CSV": (
        "x.csv",
        "text\na\ncafé".encode("cp1252"),
        "line 3: not UTF-8.*Save the file",
    ),
    "cp1252 in an array": ("x.json", '[{"text":\n"é"}]'.encode("cp1252"), "line 2: not UTF-8"),
    "deep in an array": ("x.json", b'[{"a": 1},\n{"a": 2},\n{"a" 3}]', "item 2 .*line 3"),
    "an array that ends early": ("x.json", b'[{"a": 1},\n{"a": 2}', "item 2 .*line 2"),
    "more after an array": ("x.json", b'[{"a": 1}]\n[]', "line 2: .*more after the array"),
    "two lists": ("x.json", b'{"a": [{"x": 1}], "b": [{"y": 1}]}', r"several lists.*\['a', 'b'\]"),
    "text": ("x.txt", b"hello", r"what one row is.*\.jsonl"),
    "damaged bzip2": ("x.csv.bz2", b"BZh9" + b"\0" * 99, "damaged bzip2 file"),
    "damaged xz": ("x.csv.xz", b"\xfd7zXZ\0" + b"\0" * 99, "damaged xz file"),
    "damaged zstd": ("x.csv.zst", _zstd(LINES.encode() * 9)[:20], "damaged Zstandard file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_not_what_they_promise_are_named(tmp_path, case):
    name, content, message = REFUSED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"(?s){name}.*{message}"):
        read_rows(tmp_path / name, "pool")


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(LINES)
    return tmp_path


def test_a_list_of_names_is_a_list_of_files(folder):
    files = [str(folder / "a.jsonl"), str(folder / "b.jsonl")]
    for given in (files, tuple(files), [str(folder / "*.jsonl")], [folder / "*.jsonl"]):
        rows = read_rows(given, "pool")
        assert list(rows.dataset) == ROWS * 2
        assert rows.place(4) == (files[1], 1)
        assert list(map(str, places_of(given))) == files


@pytest.mark.parametrize(
    "texts",
    [
        ["What is in notes.csv?", "Nothing"],
        ["Open a.json", "Read ~nobody-here/b.csv"],
        ["package.json", "yes"],
        ["a", ""],
    ],
)
def test_texts_stay_texts(texts):
    assert read_rows(texts, "pool").dataset["text"][:] == texts


def test_files_among_texts_are_refused(folder):
    with pytest.raises(ArgumentError, match=r"names of files \(.*\) and other texts"):
        read_rows([str(folder / "a.jsonl"), "a text"], "pool")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["no/such/a.jsonl", "b.csv"], "no file matches 'no/such/a.jsonl', which looks like"),
        ("https://example.com/train.jsonl", "is a URL.*Download the file.*owner/name"),
        (["s3://bucket/train.jsonl"], "is a URL"),
        (DatasetDict(a=Dataset.from_list(ROWS), b=Dataset.from_list(ROWS)), r"\['a', 'b'\]"),
        (IterableDatasetDict(), "IterableDatasetDict with the splits"),
        ({}, "has no parts"),
        ({1: ROWS}, "part of a mixture is named 1"),
        ({"prompt": "no-such.jsonl"}, "part 'prompt': no file matches"),
    ],
)
def test_what_names_no_rows_is_refused(given, message):
    with pytest.raises(CurateError, match=message):
        read_rows(given, "pool")


def test_an_open_file_is_refused_with_its_name(folder):
    message = r"open file; pass its name, '.*a\.jsonl'"
    with (folder / "a.jsonl").open() as stream, pytest.raises(ArgumentError, match=message):
        read_rows(stream, "pool")


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl.gz", "below/x.csv"])
def test_a_directory_of_files_names_the_glob_that_reads_them(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    glob = "**/*.csv" if "below" in name else f"*{name[1:]}"
    with pytest.raises(MissingInputError) as raised:
        read_rows(tmp_path, "pool")
    assert f"'{tmp_path / glob}'" in str(raised.value)


def test_a_mixture_says_where_its_rows_come_from(folder):
    own = [{**row, "task": "own", "n": i} for i, row in enumerate(ROWS)]
    parts = {"files": [folder / "a.jsonl"], "memory": ROWS, "own": Dataset.from_list(own)}
    rows = read_rows(parts, "pool")
    found = rows.examples(None)
    used = list(found.examples)
    assert [e.source for e in used] == ["files"] * 3 + ["memory"] * 3 + ["own"] * 3
    assert rows.dataset["source"][:] == ["files"] * 3 + ["memory"] * 3 + [None] * 3
    assert rows.dataset["n"][6:] == [0, 1, 2]
    assert rows.place(1) == (str(folder / "a.jsonl"), 1)
    assert rows.place(4) == ("pool, part 'memory'", 1)


def test_a_column_of_a_frame_needs_a_name_that_can_be_encoded():
    frame = pd.DataFrame([["a", 1]], columns=pd.Index(["text", "\ud800"], dtype=object))
    with pytest.raises(FileFormatError, match="UTF-8"):
        read_rows(frame, "pool")
