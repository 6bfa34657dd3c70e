"""Rows of every layout: file -> select -> saved file -> load_dataset, and nothing changed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset

import curate
from airrep.records import trl_record

QUICK = {"scorer": "random", "leakage": "off", "duplicates": "off", "progress": False}
WORDS = [
    "river",
    "Größe",
    "日本",
    "🗼",
    "it's",
    '"quoted"',
    "{x}",
    "[1, 2]",
    "null",
    "007",
    "a\tb",
    "1e5",
]


def _text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 6)))


def _value(rng: random.Random, depth: int = 0) -> Any:
    """A value of any kind that JSON has."""
    simple = [
        None,
        True,
        False,
        0,
        -7,
        2**53 + 1,
        -(2**63),
        0.1,
        -2.5e-7,
        3.0,
        "",
        _text(rng),
        rng.random(),
    ]
    if depth > 2 or rng.random() < 0.6:
        return rng.choice(simple)
    if rng.random() < 0.5:
        return [_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return _object(rng, depth + 1)


def _object(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    keys = rng.sample(["city", "x", "unit", "größe", "ids", "0"], rng.randint(0, 4))
    return {key: _value(rng, depth) for key in keys}


def _call(rng: random.Random) -> dict[str, Any]:
    arguments = _object(rng)
    as_text = json.dumps(arguments, ensure_ascii=False)
    function = {"name": rng.choice("fg"), "arguments": rng.choice([arguments, as_text])}
    return rng.choice(
        [
            {"type": "function", "function": function},
            {"id": "c1", "type": "function", "function": function},
        ]
    )


def _turns(rng: random.Random) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    if rng.random() < 0.3:
        turns.append({"role": "system", "content": _text(rng)})
    for _ in range(rng.randint(1, 3)):
        turns.append({"role": "user", "content": _text(rng)})
        if rng.random() < 0.4:
            turns.append({"role": "assistant", "content": None, "tool_calls": [_call(rng)]})
            turns.append({"role": "tool", "name": "f", "content": json.dumps(_value(rng))})
        answer = {"role": "assistant", "content": _text(rng)}
        if rng.random() < 0.3:
            answer[rng.choice(["reasoning_content", "thinking"])] = _text(rng)
        turns.append(answer)
    return turns


def _tools(rng: random.Random) -> list[dict[str, Any]]:
    parameters = {"type": "object", "properties": _object(rng)}
    return [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


def _sharegpt(rng: random.Random) -> list[dict[str, str]]:
    call = json.dumps({"name": "f", "arguments": _object(rng)})
    middle = [
        {"from": "function_call", "value": call},
        {"from": "observation", "value": _text(rng)},
    ]
    return [
        {"from": "human", "value": _text(rng)},
        *(middle if rng.random() < 0.5 else []),
        {"from": "gpt", "value": _text(rng)},
    ]


LAYOUTS = {
    "messages": lambda rng: {"messages": _turns(rng)},
    "messages, tools": lambda rng: {"messages": _turns(rng), "tools": _tools(rng)},
    "messages, arguments of the template": lambda rng: {
        "messages": _turns(rng),
        "chat_template_kwargs": _object(rng) or {"thinking": True},
    },
    "messages as JSON": lambda rng: {"messages": json.dumps(_turns(rng), ensure_ascii=False)},
    "prompt and completion": lambda rng: {
        "prompt": _turns(rng)[:1],
        "completion": [{"role": "assistant", "content": _text(rng)}],
        "tools": _tools(rng),
    },
    "text": lambda rng: {"text": _text(rng), "meta": _value(rng)},
    "pairs": lambda rng: {"prompt": _text(rng), "completion": _text(rng), "meta": _object(rng)},
    "alpaca": lambda rng: {"instruction": _text(rng), "input": "", "output": _text(rng)},
    "alpaca, history": lambda rng: {
        "instruction": _text(rng),
        "input": _text(rng),
        "output": _text(rng),
        "system": _text(rng),
        "history": [[_text(rng), _text(rng)] for _ in range(rng.randint(0, 2))],
    },
    "conversations": lambda rng: {"conversations": _sharegpt(rng), "id": _value(rng)},
    "conversations, tools": lambda rng: {
        "conversations": _sharegpt(rng),
        "tools": json.dumps(_tools(rng)),
        "system": _text(rng),
    },
    "preference": lambda rng: {
        "prompt": [{"role": "user", "content": _text(rng)}],
        "chosen": [{"role": "assistant", "content": _text(rng), "tool_calls": [_call(rng)]}],
        "rejected": [{"role": "assistant", "content": _text(rng)}],
    },
    "wish": lambda rng: {
        "prompt": _text(rng),
        "completion": _text(rng),
        "label": rng.random() < 0.5,
    },
    "parts": lambda rng: {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": _text(rng)}]},
            {"role": "assistant", "content": _text(rng)},
        ]
    },
}


def _same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Equal, types of numbers included; a field that a row lacks is null in a table."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        filled = {name: value for name, value in one.items() if value is not None}
        wanted = {name: value for name, value in other.items() if value is not None}
        assert json.dumps(filled, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def _loaded(file: Path, place: Path) -> list[dict[str, Any]]:
    """What a file holds; of JSON lines the lines, because datasets rounds numbers in them."""
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return list(load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(place)))


@pytest.mark.parametrize("rounds", [1, pytest.param(18, marks=pytest.mark.torture)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_come_back(layout: str, rounds: int, tmp_path: Path) -> None:
    """In the long form 10,080 rows."""
    for number in range(rounds):
        rng = random.Random(f"{layout} {number}")
        rows = [LAYOUTS[layout](rng) for _ in range(40)]
        place = tmp_path / str(number)
        place.mkdir()
        file = place / rng.choice(["pool.jsonl", "pool.json"])
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = "\n".join(lines) if file.suffix == ".jsonl" else f"[{','.join(lines)}]"
        file.write_text(text, "utf-8")
        format = rng.choice(["parquet", "jsonl"])  # noqa: A001 (the argument's name)
        chosen = curate.select(
            str(file), ["a target"], 20, **QUICK, seed=number, output=place / "out", format=format
        )
        wanted = [rows[i] for i in chosen.dataset["curate_row"]]
        own = [n for n in chosen.dataset.column_names if not n.startswith("curate_")]
        _same(list(chosen.dataset.select_columns(own)), wanted)
        _same(list(chosen.to_trl()), list(map(trl_record, wanted)))
        saved = _loaded(place / "out" / f"selection.{format}", place / "cache")
        _same([{name: row[name] for name in own} for row in saved], wanted)
        _same(
            _loaded(place / "out" / f"train.{format}", place / "cache"),
            list(map(trl_record, wanted)),
        )


def test_rows_of_a_dataset_come_back_bit_for_bit() -> None:
    rng = random.Random(3)
    rows = [LAYOUTS["messages, tools"](rng) for _ in range(30)]
    pool = Dataset.from_list(rows, on_mixed_types="use_json")
    chosen = curate.select(pool, ["a target"], 10, **QUICK)
    own = chosen.dataset.select_columns(pool.column_names)
    assert own.features == pool.features
    expected = pool.select(chosen.dataset["curate_row"])
    assert list(own) == list(expected)
    assert list(chosen.to_trl()) == list(expected)
