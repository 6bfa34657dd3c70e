"""Damaged files of every format: every row is used, or counted as skipped, or nothing is read."""

import gzip
import json
import random
import shutil

import pandas as pd
import pytest
from datasets import Dataset

from airrep.errors import CurateError
from curate.demo_data import demo_pool
from curate.rows.io import read_rows

ROWS = [
    {**row, "n": i, "tags": ["a", "b"][: i % 3], "x": None if i % 2 else 0.5}
    for i, row in enumerate(demo_pool(12))
]
CHAT = [
    {"messages": [{"role": "user", "content": r["prompt"]},
                  {"role": "assistant", "content": r["completion"]}]}
    for r in ROWS[:6]
]  # fmt: skip


def _jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8")


def _parquet(tmp_path):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "whole.parquet", index=False)
    return (tmp_path / "whole.parquet").read_bytes()


def _csv():
    return pd.DataFrame(demo_pool(12)).to_csv(index=False).encode("utf-8")


@pytest.fixture
def whole(tmp_path):
    """Name of a file to the bytes of a good one."""
    return {
        "a.jsonl": _jsonl(ROWS),
        "chat.ndjson": _jsonl(CHAT),
        "a.json": json.dumps(ROWS).encode("utf-8"),
        "a.csv": _csv(),
        "a.parquet": _parquet(tmp_path),
        "a.jsonl.gz": gzip.compress(_jsonl(ROWS)),
        "a.csv.gz": gzip.compress(_csv()),
    }


def _all_counted(given, columns=None):
    rows = read_rows(given, "pool", "skip")
    found = rows.examples(columns, "skip")
    used, skipped = list(found.examples), found.skipped
    assert len(used) + len(skipped) == len(rows.dataset)
    assert [e.row for e in used] == sorted({e.row for e in used}), "each row once, in order"
    for example in used[:3]:
        row = rows.dataset[example.row]
        assert (
            example.completion
            in json.dumps(row, ensure_ascii=False, default=str)
            .replace("\\n", "\n")
            .replace('\\"', '"')
            .replace("\\\\", "\\")
            or not example.completion.isprintable()
        )
    return rows


def _lines_that_count(data: bytes) -> list[bytes]:
    return [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]


def _cases(whole, mutate, cases):
    rng = random.Random(2)
    for number in range(cases):
        name = sorted(whole)[number % len(whole)]
        yield name, mutate(whole[name], rng)


@pytest.mark.parametrize("cases", [140, pytest.param(3500, marks=pytest.mark.torture)])
def test_damaged_files_lose_no_row_uncounted(tmp_path, whole, mutate, outcome, cases):
    for name, data in _cases(whole, mutate, cases):
        file = tmp_path / name
        file.write_bytes(data)
        found = outcome(_all_counted, file)
        if isinstance(found, CurateError) or not name.endswith("jsonl"):
            continue
        lines = _lines_that_count(data)
        assert len(found.dataset) == len(lines), "a line is a row"
        for number, line in enumerate(lines):
            if number not in found.unreadable:
                for field, value in json.loads(line).items():
                    read = found.dataset[number][field]
                    assert read == value or value != value, "the user's values"


@pytest.mark.parametrize("cases", [30, pytest.param(600, marks=pytest.mark.torture)])
def test_damaged_saved_datasets_are_whole_or_refused(tmp_path, mutate, outcome, cases):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "whole")
    files = sorted(p.name for p in (tmp_path / "whole").iterdir())
    rng = random.Random(3)
    for number in range(cases):
        place = tmp_path / f"case{number}"
        shutil.copytree(tmp_path / "whole", place)
        file = place / files[number % len(files)]
        file.write_bytes(mutate(file.read_bytes(), rng))
        found = outcome(_all_counted, place)
        assert isinstance(found, CurateError) or len(found.dataset) == len(ROWS)
        shutil.rmtree(place)


@pytest.mark.parametrize("cases", [60, pytest.param(1000, marks=pytest.mark.torture)])
def test_rows_in_memory_are_counted_or_refused(mutate_value, outcome, cases):
    rng = random.Random(4)
    for number in range(cases):
        rows = mutate_value(ROWS[:4] if number % 2 else CHAT[:3], rng)
        found = outcome(_all_counted, rows)
        if not isinstance(found, CurateError):
            assert len(found.dataset) == len(rows)


@pytest.mark.parametrize("cases", [30, pytest.param(300, marks=pytest.mark.torture)])
def test_data_frames_are_counted_or_refused(mutate_value, outcome, cases):
    rng = random.Random(5)
    for _ in range(cases):
        rows = mutate_value(ROWS[:4], rng)
        try:
            frame = pd.DataFrame(rows)
        except Exception:  # pandas refuses by itself
            continue
        found = outcome(_all_counted, frame)
        if not isinstance(found, CurateError):
            assert len(found.dataset) == len(frame)
