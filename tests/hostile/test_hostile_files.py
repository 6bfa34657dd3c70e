"""Files that were made to crash, hang, exhaust memory, or slip rows past the count."""

import gzip
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from airrep.errors import (
    ArgumentError,
    CurateError,
    FileFormatError,
    MissingInputError,
    RecordError,
)
from curate.rows import streams
from curate.rows.io import read_rows
from curate.stages.own_scores import own_scores

LINE = b'{"text": "fine"}\n'


def _deep(levels, opening=b"[", closing=b"]"):
    return b'{"text": "a", "x": ' + opening * levels + b"1" + closing * levels + b"}\n"


REFUSED = {
    "a number of 5,000 digits": ("x.jsonl", LINE + b'{"n": ' + b"9" * 5000 + b"}", "line 2: not v"),
    "the same in an array": ("x.json", b'[{"n": ' + b"9" * 5000 + b"}]", "not valid JSON"),
    "a number of 50 digits": ("x.jsonl", LINE + b'{"n": ' + b"9" * 50 + b"}", "'n'.* 64 bits"),
    "half a surrogate pair": ("x.jsonl", LINE + b'{"text": "\\ud800"}', "row 1.*of a surrogate"),
    "a field named by one": ("x.jsonl", b'{"\\ud800": 1}', "names of fields have to be text"),
    "a field twice": ("x.jsonl", LINE + b'{"text": 1, "text": 2}', "line 2.*'text' stands twice"),
    "a field twice below": ("x.json", b'[{"m": {"a": 1, "a": 2}}]', "'a' stands twice"),
    "arrays in arrays": ("x.jsonl", LINE + _deep(300), "row 1 .* nested deeper than 200 levels"),
    "objects in objects": ("x.jsonl", _deep(400, b'{"a": ', b"}"), "nested deeper than 200"),
    "no end of arrays": ("x.json", b"[" * 100_000, "nested too deeply"),
    "objects without fields": ("x.jsonl", b"{}\n{}\n", "none of the 2 rows has a field"),
    "UTF-16": ("x.jsonl", '{"text": "a"}'.encode("utf-16"), "text in UTF-16.*Save it as UTF-8"),
    "a raw NUL": ("x.jsonl", b'{"text": "a\0"}', "line 1: not valid JSON"),
    "line breaks of old Macs": ("x.jsonl", b'{"text": "a"}\r{"text": "b"}', "line 1: not valid"),
    "a damaged block": ("x.jsonl.gz", gzip.compress(LINE * 99)[:12] + b"\xff" * 9, "damaged gzip"),
    "the same in CSV": ("x.csv.gz", gzip.compress(b"a\nb\n" * 99)[:12] + b"\xff" * 9, "damaged gz"),
    "no gzip": ("x.jsonl.gz", LINE, "damaged gzip"),
    "a first row of more cells": ("x.csv", b"text,b\n1,2,3\n4,5,6\n", "names 2 columns"),
    "a later row of more cells": ("x.csv", b"text,b\n1,2\n4,5,6\n", "line 3: .* has 3 cells"),
    "a column twice": ("x.csv", b"text,text\n1,2\n", "names the column 'text' twice"),
    "CSV of other bytes": ("x.csv", b"text\n\xff\n", "line 2: not UTF-8.*Save the file as UTF-8"),
    "a pickle": ("x.parquet", pickle.dumps([1]), "not a readable Parquet"),
    "nothing, as CSV": ("x.csv", b"", "not a readable CSV"),
    "nothing, as Parquet": ("x.parquet", b"", "not a readable Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_such_a_file_is_refused_with_the_place(tmp_path, limited, case):
    name, content, message = REFUSED[case]
    (tmp_path / name).write_bytes(content)
    with limited(), pytest.raises(FileFormatError, match=rf"{name}.*{message}"):
        read_rows(tmp_path / name, "pool")


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.jsonl.gz"])
def test_an_empty_file_holds_no_rows(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ArgumentError, match="holds no rows"):
        read_rows(tmp_path / name, "pool")


@pytest.mark.parametrize("place", [0, 10_000, 20_000])
def test_rows_without_fields_are_counted_wherever_they_stand(tmp_path, place):
    lines = [b"{}\n"] * 20_001
    lines[place] = LINE
    (tmp_path / "x.jsonl").write_bytes(b"".join(lines))
    rows = read_rows(tmp_path / "x.jsonl", "pool")
    found = rows.examples(None, "skip")
    used, skipped = list(found.examples), found.skipped
    assert [e.row for e in used] == [place]
    assert len(skipped) == 20_000


def test_a_line_longer_than_any_row_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LONGEST_LINE", 1 << 20)
    (tmp_path / "x.jsonl").write_bytes(LINE + b'{"text": "' + b"a" * (1 << 20) + b'"}\n')
    with pytest.raises(FileFormatError, match=r"line 2: longer than 1 MiB"):
        read_rows(tmp_path / "x.jsonl", "pool")


@pytest.mark.torture
def test_a_line_of_a_hundred_megabytes_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "' + b"a" * 100_000_000 + b'"}\n')
    with pytest.raises(FileFormatError, match=r"line 1: longer than 64 MiB"):
        read_rows(tmp_path / "x.jsonl", "pool")


READ_IN_LITTLE_MEMORY = """
import resource, sys
from curate.rows.io import read_rows
from airrep.errors import FileFormatError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_rows(sys.argv[1], "pool")
except FileFormatError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.torture
@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz"])
def test_a_gzip_bomb_does_not_fill_the_memory(tmp_path, name):
    part = gzip.compress((b" " * ((1 << 20) - 1) + b"\n") * 64)
    (tmp_path / name).write_bytes(part * 20)  # 1.25 GiB in 1.3 MB
    command = [sys.executable, "-c", READ_IN_LITTLE_MEMORY, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    message, used = done.stdout.strip().splitlines()
    assert "unpacks to more than 1,024 MiB and 100 times its own size" in message
    assert int(used) < 3000, "MiB"


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.json.gz", "x.csv.gz", "x.parquet"])
def test_what_unpacks_to_far_more_than_itself_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(streams, "LARGEST_UNPACKED", 1 << 20)
    text = LINE[:-1].replace(b"fine", b"a" * 1000)
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": ["a" * 1000] * 20_000}), tmp_path / name)
    else:
        whole = {"x.json.gz": b"[" + (text + b",") * 20_000 + text + b"]"}.get(
            name,
            b"text\n" + (b"a" * 1000 + b"\n") * 20_000
            if "csv" in name
            else (text + b"\n") * 20_000,
        )
        (tmp_path / name).write_bytes(gzip.compress(whole))
    with pytest.raises(FileFormatError, match="unpacks to more than 1 MiB and 100 times"):
        read_rows(tmp_path / name, "pool")


@pytest.mark.slow
def test_a_long_pool_that_packs_well_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LARGEST_UNPACKED", 1 << 20)
    rows = [
        {"text": f"{i} " + str(np.random.default_rng(i).integers(0, 9, 300))} for i in range(2000)
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    assert len(content) > 1 << 20
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(content))
    assert read_rows(tmp_path / "x.jsonl.gz", "pool").dataset.to_list() == rows


def test_what_is_no_file_is_not_waited_for(tmp_path, limited):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("pipe.jsonl", "loop.jsonl", "folder.jsonl"):
        for given in (tmp_path / name, str(tmp_path / name), [tmp_path / name]):
            with limited(), pytest.raises(MissingInputError):
                read_rows(given, "pool")


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300 + ".jsonl", "a\0.jsonl"])
def test_names_that_no_file_can_have_are_refused(name):
    with pytest.raises(MissingInputError):
        read_rows(name, "pool")


def test_the_home_directory_of_nobody_is_refused():
    with pytest.raises(ArgumentError, match="a home directory that is not there"):
        read_rows("~nobody-here/x", "pool")


def test_a_file_whose_name_cannot_be_written_down_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_bytes(LINE)
    with pytest.raises(MissingInputError, match="is not UTF-8; rename the file"):
        read_rows(str(tmp_path / "*.jsonl"), "pool")


def _saved(place):
    Dataset.from_list([{"text": "a"}, {"text": "b"}]).save_to_disk(place)
    return json.loads((place / "state.json").read_text())


@pytest.mark.parametrize("where", ["../outside.arrow", "/outside.arrow", "", ".", "pipe.arrow"])
def test_a_saved_dataset_that_names_files_elsewhere_is_refused(tmp_path, limited, where):
    state = _saved(tmp_path / "saved")
    (tmp_path / "saved" / state["_data_files"][0]["filename"]).rename(tmp_path / "outside.arrow")
    os.mkfifo(tmp_path / "saved" / "pipe.arrow")
    state["_data_files"] = [{"filename": where}]
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    with limited(), pytest.raises(FileFormatError, match="not a file of this directory"):
        read_rows(tmp_path / "saved", "pool")


def test_saved_splits_are_named(tmp_path):
    DatasetDict({"train": Dataset.from_list([{"text": "a"}])}).save_to_disk(tmp_path / "saved")
    with pytest.raises(ArgumentError, match=r"holds the splits \['train'\]"):
        read_rows(tmp_path / "saved", "pool")
    assert len(read_rows(tmp_path / "saved" / "train", "pool").dataset) == 1


TEXTS = ["a", "b"]
COLUMNS = {
    "dictionary": pa.array([1, 2]).dictionary_encode(),
    "decimals": pa.array([1, 2]).cast(pa.decimal128(22, 2)),
    "lists": pa.array([[[1]], []], pa.list_(pa.large_list(pa.int64()))),
    "structs": pa.array([{"a": {"b": 1}}, None]),
    "binary": pa.array([b"\xff", None], pa.binary()),
    "views": pa.array(TEXTS, pa.string_view()),
    "half": pa.array(np.array([1, 2], np.float16)),
    "nulls": pa.nulls(2),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_parquet_columns_of_many_types_are_kept(tmp_path, kind):
    pq.write_table(pa.table({"text": TEXTS, "x": COLUMNS[kind]}), tmp_path / "x.parquet")
    rows = read_rows(tmp_path / "x.parquet", "pool")
    assert len(rows.examples(None).examples) == 2
    assert rows.dataset["x"][:] == COLUMNS[kind].to_pylist()


def test_text_as_a_dictionary_is_text(tmp_path):
    pq.write_table(pa.table({"text": pa.array(TEXTS).dictionary_encode()}), tmp_path / "x.parquet")
    found = read_rows(tmp_path / "x.parquet", "pool").examples(None)
    used = list(found.examples)
    assert [e.completion for e in used] == TEXTS


def test_a_type_that_datasets_cannot_hold_is_named(tmp_path):
    odd = pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"text": TEXTS, "x": odd}), tmp_path / "x.parquet")
    with pytest.raises(FileFormatError, match="field 'x' is of type map"):
        read_rows(tmp_path / "x.parquet", "pool")


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"text": pa.array([], pa.string())}),
        pa.table({"text": TEXTS}).select([]),
        pa.Table.from_arrays([pa.array(TEXTS)] * 2, names=["text", "text"]),
        *(
            pa.table({"text": TEXTS}).replace_schema_metadata({b"huggingface": content})
            for content in (b"junk", b"[1]", b'{"info": {"features": {"text": {"_type": "Z"}}}}')
        ),
    ],
    ids=["no rows", "no columns", "a column twice", "junk", "a list", "an unknown feature"],
)
def test_parquet_without_rows_or_sense_is_refused(tmp_path, table):
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(CurateError):
        read_rows(tmp_path / "x.parquet", "pool")


def test_a_row_with_a_value_that_python_cannot_hold_is_skipped_and_counted(tmp_path):
    dates = pa.array([1, 2**30], pa.date32())
    pq.write_table(pa.table({"text": TEXTS, "x": dates}), tmp_path / "x.parquet")
    rows = read_rows(tmp_path / "x.parquet", "pool")
    assert [e.completion for e in rows.examples().examples] == TEXTS  # nobody reads the dates
    columns = {"text": "text", "source": "x"}
    found = rows.examples(columns, "skip")
    assert [e.completion for e in found.examples] == ["a"]
    (skipped,) = found.skipped
    assert "row 1 (counting from 0): a value of it cannot be read (OverflowError" in str(skipped)
    with pytest.raises(RecordError, match="row 1"):
        rows.examples(columns)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "each name once"),
        (pd.DataFrame({"text": ["a"], "z": [1j]}), "'z' of the data frame cannot be kept"),
        (pd.DataFrame({"text": ["a"], "z": [pd.Period("2020")]}), "'z' is of type"),
    ],
)
def test_data_frames_that_are_no_rows_are_refused(frame, message):
    with pytest.raises(FileFormatError, match=message):
        read_rows(frame, "pool")


def test_rows_that_hold_themselves_are_refused():
    row = {"text": "a"}
    row["x"] = row
    with pytest.raises(FileFormatError, match="field 'x' cannot be kept: it holds itself"):
        read_rows([row], "pool")
    with pytest.raises(FileFormatError, match="a field is named 1"):
        read_rows([{1: "a"}], "pool")


def test_scores_that_are_a_pickle_are_refused(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([object()]), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1]))
    (tmp_path / "header.npy").write_bytes(
        b"\x93NUMPY\x01\x00\x20\x00{'descr': __import__('os')  \n"
    )
    for name in ("scores.npy", "pickle.npy", "header.npy"):
        with pytest.raises(FileFormatError, match=f"{name}: not a .npy file of numbers"):
            own_scores(tmp_path / name, (1, 1))
