"""With on_bad_row="skip", what is wrong with one row costs that row, and no other its place."""

import json

import pandas as pd
import pytest

from airrep.errors import CurateError, RecordError
from curate.rows import columns
from curate.rows.io import read_rows, rows_from_standard_input
from curate.stages.inputs import read_input, read_inputs

GOOD = [json.dumps({"prompt": f"q {i}", "completion": f"a {i}", "n": i}).encode() for i in range(4)]
BAD = {
    "cut off": (b'{"prompt": "q", "completion": "trunc', "line 3: not valid JSON"),
    "no JSON": (b"hello", "line 3: not valid JSON"),
    "no object": (b"[1]", "line 3: expected a JSON object, found list"),
    "a field twice": (b'{"prompt": "a", "prompt": "b"}', "'prompt' stands twice"),
    "cp1252": ('{"prompt": "café"}'.encode("cp1252"), "line 3: not UTF-8"),
    "half a pair": (b'{"prompt": "q", "completion": "\\ud83d"}', "half of a surrogate pair"),
    "a huge number": (b'{"prompt": "q", "completion": "a", "n": %d}' % 10**30, "beyond 64 bits"),
    "NaN for an answer": (b'{"prompt": "q", "completion": NaN}', "NaN or Infinity"),
    "5,000 digits": (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "too deep": (b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("chunk", [2, 10_000])
def test_a_bad_line_is_skipped_and_keeps_its_place(tmp_path, monkeypatch, case, chunk):
    monkeypatch.setattr(columns, "_CHUNK", chunk)
    line, reason = BAD[case]
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"\n".join([*GOOD[:2], line, *GOOD[2:]]))
    read = read_input(file, "pool", None, "skip")
    assert [(e.completion, e.row) for e in read.examples] == [
        ("a 0", 0), ("a 1", 1), ("a 2", 3), ("a 3", 4)
    ]  # fmt: skip
    assert read.rows.dataset[2] == {"prompt": None, "completion": None, "n": None}
    (skipped,) = read.skipped
    assert (skipped.file, skipped.row) == (str(file), 2)
    assert reason in skipped.reason
    assert skipped.content
    assert len(skipped.content) <= 500
    assert read.record.skipped == [f"x.jsonl, row 2 (counting from 0): {skipped.reason}"]
    with pytest.raises(CurateError, match=reason):
        read_input(file, "pool", None, "error")


def test_rows_of_several_files_keep_their_numbers(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join([GOOD[0], b"{", GOOD[1]]))
    found = read_rows(str(tmp_path / "*.jsonl"), "pool", "skip").examples(None, "skip")
    skipped = found.skipped
    assert [(s.file[-7:], s.row) for s in skipped] == [("a.jsonl", 1), ("b.jsonl", 1)]


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("x.csv", b"text,b\n1,2\n1,2,3\n\xff,2\n4,5\n", [1, 2]),
        ("x.tsv", b"text\tb\n1\t2\n1\t2\t3\n4\n", [1]),
        ("x.json", b'[{"text": "a"}, 5, {"text": "b", "text": 1}, {"text": "c"}]', [1, 2]),
    ],
)
def test_rows_of_other_files_are_skipped(tmp_path, name, content, places):
    (tmp_path / name).write_bytes(content)
    found = read_rows(tmp_path / name, "pool", "skip").examples(None, "skip")
    used, skipped = list(found.examples), found.skipped
    assert [s.row for s in skipped] == places
    assert len(used) == 4 - len(places) - (name == "x.tsv")


def test_a_quote_that_is_never_closed_is_not_skipped(tmp_path):
    (tmp_path / "x.csv").write_bytes(b'text,b\n1,2\n"3,4\n5,6\n')
    with pytest.raises(CurateError, match=r"x\.csv, line 3: .*never closed"):
        read_rows(tmp_path / "x.csv", "pool", "skip")


def test_rows_in_memory_are_skipped():
    rows = [{"text": "a"}, 3, {"text": float("nan")}, {"text": "b"}]
    found = read_rows(rows, "pool", "skip").examples(None, "skip")
    used, skipped = list(found.examples), found.skipped
    assert [e.row for e in used] == [0, 3]
    assert [s.content for s in skipped] == ["3", "{'text': nan}"]
    frame = pd.DataFrame({"text": pd.Series(["a", {1}, "c"], dtype=object)})
    found = read_rows(frame, "pool", "skip").examples(None, "skip")
    used, skipped = list(found.examples), found.skipped
    assert [e.row for e in used] == [0, 2]


def test_lines_of_standard_input_are_skipped(monkeypatch, tmp_path):
    (tmp_path / "x").write_bytes(b"\n".join([GOOD[0], b"{", GOOD[1]]))
    with (tmp_path / "x").open() as piped:
        monkeypatch.setattr("sys.stdin", piped)
        found = rows_from_standard_input("skip").examples(None, "skip")
        used, skipped = list(found.examples), found.skipped
    assert ([e.row for e in used], [s.row for s in skipped]) == ([0, 2], [1])


def test_a_file_without_a_readable_row_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"a\nb\n")
    with pytest.raises(CurateError, match=r"none of the 2 rows can be read, the first .* line 1"):
        read_rows(tmp_path / "x.jsonl", "pool", "skip")


def test_a_null_is_called_one():
    rows = [{"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": None}]
    for columns_ in ({"prompt": "prompt", "completion": "completion"}, None):
        with pytest.raises(RecordError, match=r"row 1 .*'completion'.* null"):
            read_rows(rows, "pool").examples(columns_)


def test_columns_meant_for_the_pool_are_said_to_apply_to_the_targets():
    pool, targets = [{"text": "a", "id": 1}], [{"text": "b"}]
    with pytest.raises(RecordError, match=r"columns= applies to the targets too.*target_columns="):
        read_inputs(pool, targets, None, {"id": "id"}, None, None, "error")
    assert (
        read_inputs(pool, targets, None, {"id": "id"}, {}, None, "error").targets[0].completion
        == "b"
    )
