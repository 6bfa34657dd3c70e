"""Rows come back as they were given: no field is added, and no value becomes another one."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Image, List, load_dataset
from datasets.features import Json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airrep.errors import FileFormatError
from curate.rows import columns
from curate.rows.collection import iterate
from curate.rows.io import read_rows

_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["123", "null", "true", '{"a": 1}', "[1]", '"x"', "1e5", "NaN", ""]),
)
_NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(-1e300, 1e300).filter(lambda x: x == 0 or abs(x) > 1e-300),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from("ab1"), below, max_size=3)
    ),
    max_leaves=8,
)
_ROWS = st.lists(
    st.dictionaries(st.sampled_from("xyz"), _VALUES, min_size=1), min_size=1, max_size=8
)


def _written(value):
    """What tells values apart that Python calls equal, but for numbers of a whole column."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{type(value).__name__ if abs(value) > 2**53 else 'number'} {float(value)!r}"
    return json.dumps(value, sort_keys=True)


def _same(found, rows):
    fields = {field for row in rows for field in row}
    assert len(found) == len(rows)
    for got, row in zip(found, rows, strict=True):
        assert {f: _written(got[f]) for f in fields} == {f: _written(row.get(f)) for f in fields}


@given(rows=_ROWS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_rows_of_json_come_back(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("rows") / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(columns, "_CHUNK", 3)
        read = read_rows(file, "pool").dataset
        _same(list(read), rows)
        _same(read.to_list(), rows)
        _same(list(read_rows(rows, "pool").dataset), rows)
    pq.write_table(read.with_format("arrow")[:], file.with_suffix(".parquet"))
    _same(list(read_rows(file.with_suffix(".parquet"), "pool").dataset), rows)


_TOOLS = [
    {"tools": [{"name": "f", "parameters": {"city": {"type": "string"}}}]},
    {"tools": [{"name": "g", "parameters": {"a": {"type": "number", "default": 5}}}]},
    {"tools": None},
    {"tools": []},
]
FEATURES = {
    "objects of one kind": ([{"x": {"a": 1, "b": "c"}}, {"x": {"b": "d", "a": None}}], None),
    "lists of objects of other fields": (_TOOLS, List(Json())),
    "objects of other fields": ([{"x": {"a": 1}}, {"x": {"b": 1}}], Json()),
    "an empty object": ([{"x": {}}, {"x": {}}], Json()),
    "text and numbers": ([{"x": 1}, {"x": "1"}], Json()),
    "text that looks like JSON": ([{"x": "123"}, {"x": 123}, {"x": '{"a": 1}'}], Json()),
    "truth and numbers": ([{"x": True}, {"x": 1}], Json()),
    "text and parts": ([{"x": [{"c": "S"}]}, {"x": [{"c": [{"text": "q"}]}]}], List(Json())),
    "numbers below": ([{"x": [1]}, {"x": [0.5]}], List(Json())),
    "numbers beyond 63 bits": ([{"x": 2**63 + 5}, {"x": -1}], Json()),
    "numbers no float can hold": ([{"x": 2**53 + 1}, {"x": 0.5}], Json()),
    "deep nesting": ([{"x": json.loads("[" * 60 + "]" * 60)}], List(Json())),
    "fractions that ujson misreads": (
        [{"x": {"a": 0.8444218515250481}}, {"x": {"b": 0.7579544029403025}}],
        Json(),
    ),
}


@pytest.mark.parametrize("case", FEATURES)
def test_json_is_used_where_no_column_type_keeps_the_values(tmp_path, case):
    rows, feature = FEATURES[case]
    read = read_rows(rows, "pool").dataset
    (field,) = read.column_names
    assert isinstance(read.features[field], dict) if feature is None else True
    assert feature is None or read.features[field] == feature
    _same(list(read), rows)
    assert [row[field] for row in read] == [row[field] for row in rows]
    pq.write_table(read.with_format("arrow")[:], tmp_path / "x.parquet")
    cache = str(tmp_path / "cache")
    loaded = load_dataset("parquet", data_files=str(tmp_path / "x.parquet"), cache_dir=cache)
    assert list(loaded["train"]) == rows


def test_whole_numbers_and_fractions_are_one_column():
    assert read_rows([{"x": 1}, {"x": 0.5}], "pool").dataset["x"][:] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": float("nan")}, "NaN or Infinity"),
        ({"a": {1, 2}}, "set is no JSON"),
        ({1: "a"}, "named 1, which is no text"),
        ({"a": 10**30}, "beyond 64 bits"),
        ({"a": 5e-324}, "cannot read as it is"),
        ({"a": "\ud83d"}, "half of a surrogate pair"),
    ],
)
def test_what_json_cannot_keep_is_refused_or_skipped(value, reason):
    rows = [{"text": "a", "x": {"b": 1}}, {"text": "b", "x": value}]
    with pytest.raises(FileFormatError, match=f"row 1 .*'x' cannot be kept: .*{reason}"):
        read_rows(rows, "pool")
    found = read_rows(rows, "pool", "skip").examples(None, "skip")
    used, skipped = list(found.examples), found.skipped
    assert ([e.row for e in used], [s.row for s in skipped]) == ([0], [1])


def _parquet(folder, **tables):
    for name, table in tables.items():
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return str(folder / "*.parquet")


FILES = {
    "categories and text": (
        {"x": pa.array(["p", "q"]).dictionary_encode()},
        {"x": ["r"]},
        ["p", "q", "r"],
    ),
    "numbers and text": ({"x": [1, 2]}, {"x": ["r"]}, [1, 2, "r"]),
    "a missing column": ({"x": [1]}, {"y": [2]}, [1, None]),
    "large and small text": ({"x": pa.array(["p"], pa.large_string())}, {"x": ["r"]}, ["p", "r"]),
    "objects of other fields": ({"x": [{"a": 1}]}, {"x": [{"b": 1}]}, [{"a": 1}, {"b": 1}]),
    "nothing and objects": ({"x": [{"a": None}]}, {"x": [{"a": 1}]}, [{"a": None}, {"a": 1}]),
    "small and large numbers": ({"x": pa.array([1], pa.int8())}, {"x": [2**40]}, [1, 2**40]),
    "numbers that no float holds": ({"x": [2**60 + 1]}, {"x": [0.5]}, [2**60 + 1, 0.5]),
}


@pytest.mark.parametrize("case", FILES)
def test_columns_of_several_files_are_one(tmp_path, case):
    one, other, values = FILES[case]
    read = read_rows(_parquet(tmp_path, a=one, b=other), "pool").dataset
    assert read["x"][:] == values


def test_files_whose_columns_cannot_be_one_are_refused(tmp_path):
    dates = pa.array([1], pa.date32())
    with pytest.raises(FileFormatError, match=r"'x' is of types that do not go together: date32"):
        read_rows(_parquet(tmp_path, a={"x": dates}, b={"x": ["r"]}), "pool")


def test_pictures_are_neither_opened_nor_changed():
    pictures = [{"bytes": b"no picture", "path": None}] * 3
    given = Dataset.from_dict({"text": list("abc"), "image": pictures, "all": [pictures] * 3})
    given = given.cast_column("image", Image()).cast_column("all", List(Image()))
    rows = read_rows(given, "pool")
    assert list(iterate(rows.dataset)) == [{"text": text} for text in "abc"]
    assert list(iterate(rows.dataset, ["image"])) == [{}] * 3
    found = rows.examples(None)
    used, skipped = list(found.examples), found.skipped
    assert (len(used), skipped) == (3, [])
    assert rows.dataset.features == given.features
    stream = read_rows(given.to_iterable_dataset(), "pool")
    assert stream.dataset.features == given.features
    assert len(stream.examples(None).examples) == 3


def test_json_columns_of_a_dataset_are_read_exactly():
    texts = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['"123"', '{"content": "x"}']))
    given = Dataset(pa.table({"x": texts, "text": ["a", "b"]}))
    found = read_rows(given, "pool").examples({"text": "x"}, "skip")
    used = list(found.examples)
    assert [e.completion for e in used] == ["123"]
