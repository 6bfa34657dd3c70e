"""Examples that are made from rows whenever they are asked for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airrep.errors import RecordError
from airrep.records import Example, ids_of, normalize, rows_of, sources_of, taken
from curate.rows import collection
from curate.rows.io import read_rows

ROWS = [
    {"prompt": f"q {i}", "completion": f"a {i}", "source": "xy"[i % 2], "n": i} for i in range(25)
]


@pytest.fixture
def read(monkeypatch):
    monkeypatch.setattr(collection, "READ_AT_ONCE", 4)  # several batches
    return read_rows(ROWS, "pool").examples()


def test_they_are_what_each_row_says(read):
    expected = [normalize(row, index=i) for i, row in enumerate(ROWS)]
    assert list(read.examples) == expected
    assert [read.examples[i] for i in range(len(ROWS))] == expected
    assert read.examples[-1] == expected[-1]
    assert list(read.examples[3:11:2]) == expected[3:11:2]
    with pytest.raises(IndexError):
        read.examples[len(ROWS)]


@pytest.mark.parametrize("positions", [[], [7], [3, 4, 5, 6, 7, 8], [20, 1, 13, 0], [24, 23]])
def test_some_of_them_in_any_order(read, positions):
    some = read.examples.take(np.array(positions, dtype=np.int64))
    expected = [normalize(ROWS[i], index=i) for i in positions]
    assert list(some) == expected == list(taken(list(read.examples), np.array(positions, int)))
    assert len(some) == len(positions)
    assert ids_of(some) == [str(i) for i in positions] == ids_of(expected)
    assert sources_of(some) == ["xy"[i % 2] for i in positions] == sources_of(expected)
    assert rows_of(some).tolist() == positions == rows_of(expected).tolist()


def test_ids_of_ones_own_go_with_them(read):
    rows = [{**row, "key": f"k{i}"} for i, row in enumerate(ROWS)]
    found = read_rows(rows, "pool").examples({"id": "key"})
    assert ids_of(found.examples.take(np.array([5, 2]))) == ["k5", "k2"]
    assert found.examples[4].id == "k4"


def test_rows_that_were_skipped_are_not_among_them():
    rows = [*ROWS[:3], {"prompt": "q", "completion": " "}, *ROWS[3:5]]
    found = read_rows(rows, "pool").examples(None, "skip")
    assert rows_of(found.examples).tolist() == [0, 1, 2, 4, 5]
    assert [each.row for each in found.examples] == [0, 1, 2, 4, 5]
    assert [each.row for each in found.skipped] == [3]


def test_columns_that_nobody_reads_are_not_looked_at(monkeypatch):
    table = pa.table({"text": ["a", "b"], "far": pa.array([1, 2**30], pa.date32())})
    rows = read_rows(table, "pool")
    seen = []
    whole = collection.python_values
    monkeypatch.setattr(collection, "python_values", lambda c: seen.append(c.type) or whole(c))
    assert [each.completion for each in rows.examples().examples] == ["a", "b"]
    assert {str(kind) for kind in seen} == {"string"}


def test_an_error_names_fields_that_are_not_read_too():
    with pytest.raises(RecordError, match=r"\['ask', 'reply'\]"):
        read_rows([{"ask": "q", "reply": "a"}], "pool").examples()


def test_layouts_and_where_each_begins():
    user, assistant = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    rows = [
        {"text": "a"},
        {"question": "q", "answer": "a"},
        {"prompt": [user], "completion": [assistant]},
        {"messages": [user, assistant]},
        {"text": "b"},
    ]
    assert read_rows(rows, "pool").examples().layouts == {
        "text": 0,
        "prompt+completion": 1,
        "prompt+completion as messages": 2,
        "messages": 3,
    }


def test_a_digest_of_all_is_that_of_a_list(read):
    from curate.manifest.provenance import fingerprint

    assert read.fingerprint == fingerprint(read.examples) == fingerprint(list(read.examples))
    assert fingerprint([Example("0", "q", "a")]) != fingerprint([Example("0", "q", "b")])
