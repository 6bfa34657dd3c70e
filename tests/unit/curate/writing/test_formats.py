"""Rows in the formats of other trainers."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from runpy import run_path

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from airrep.errors import CurateError, RecordError
from airrep.records import normalize
from curate.rows.io import read_rows
from curate.writing.formats import in_format

TESTS = Path(__file__).parents[3]
SHORT = run_path(str(TESTS / "unit/airrep/records/test_reading.py"))["LAYOUTS"]
LONG = run_path(str(TESTS / "hostile/test_rows_come_back.py"))["LAYOUTS"]
FORMATS = ["openai", "sharegpt", "alpaca"]
USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}
EARLIER = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"role": "tool", "content": "7"}
REJECTED = {"role": "assistant", "content": "b"}
COMPARED = {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [REJECTED]}


def _written(format, *rows):
    read = read_rows(list(rows), "rows")
    return list(in_format(read, read.examples().examples, format))


def _said(row):
    read = normalize(row)
    return read.prompt, read.completion, read.rejected, read.label


# --- what is written ------------------------------------------------------------------------

OPENAI_CALL = {
    "id": "call_0",
    "type": "function",
    "function": {"name": "f", "arguments": '{"x": 1}'},
}
CASES = {
    "openai, pair": ("openai", {"prompt": "q", "completion": "a"}, {"messages": [USER, ASSISTANT]}),
    "openai, tools": (
        "openai",
        {"messages": [USER, CALLING, TOOL, ASSISTANT], "tools": json.dumps([TOOLS[0]["function"]])},
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
                {**TOOL, "tool_call_id": "call_0"},
                ASSISTANT,
            ],
            "tools": TOOLS,
        },
    ),
    "openai, an earlier turn that is not trained on": (
        "openai",
        {"prompt": [SYSTEM, *EARLIER, USER], "completion": [ASSISTANT]},
        {"messages": [SYSTEM, EARLIER[0], {**EARLIER[1], "weight": 0}, USER, ASSISTANT]},
    ),
    "openai, preference": (
        "openai",
        {**COMPARED, "tools": TOOLS},
        {
            "input": {"messages": [USER], "tools": TOOLS},
            "preferred_output": [ASSISTANT],
            "non_preferred_output": [REJECTED],
        },
    ),
    "openai, preference with the prompt in both": (
        "openai",
        {"chosen": [USER, ASSISTANT], "rejected": [USER, REJECTED]},
        {
            "input": {"messages": [USER]},
            "preferred_output": [ASSISTANT],
            "non_preferred_output": [REJECTED],
        },
    ),
    "sharegpt, tools": (
        "sharegpt",
        {"messages": [SYSTEM, USER, CALLING, TOOL, ASSISTANT], "tools": TOOLS},
        {
            "system": "s",
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "7"},
                {"from": "gpt", "value": "a"},
            ],
            "tools": json.dumps(TOOLS),
        },
    ),
    "sharegpt, an earlier turn that is not trained on": (
        "sharegpt",
        {"prompt": [SYSTEM, *EARLIER, USER], "completion": [ASSISTANT]},
        {
            "system": "s",
            "conversations": [
                {"from": "human", "value": "x"},
                {"from": "gpt", "value": "y", "weight": 0},
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": "a"},
            ],
        },
    ),
    "sharegpt, preference": (
        "sharegpt",
        COMPARED,
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
    ),
    "sharegpt, label": (
        "sharegpt",
        {"prompt": "q", "completion": "a", "label": False},
        {
            "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
            "kto_tag": False,
        },
    ),
    "alpaca, pair": (
        "alpaca",
        {"prompt": "q\n", "completion": "a"},
        {"instruction": "q", "input": "", "output": "a"},
    ),
    "alpaca, history": (
        "alpaca",
        {"messages": [SYSTEM, *EARLIER, USER, ASSISTANT]},
        {"instruction": "q", "input": "", "output": "a", "system": "s", "history": [["x", "y"]]},
    ),
    "alpaca, preference": (
        "alpaca",
        COMPARED,
        {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
    ),
    "alpaca, label": (
        "alpaca",
        {"prompt": "q", "completion": "a", "label": True},
        {"instruction": "q", "input": "", "output": "a", "kto_tag": True},
    ),
}


@pytest.mark.parametrize(("format", "row", "expected"), CASES.values(), ids=CASES)
def test_a_row_is_written_as_the_format_has_it(format, row, expected):
    assert _written(format, row) == [expected]


def test_answers_of_tools_name_the_calls_that_they_answer():
    """By their names where they have one, and with ids of their own where they have those."""
    f, g = ({"type": "function", "function": {"name": n, "arguments": "{}"}} for n in "fg")
    known = {"id": "call_0", **f}
    turns = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [f, known, g]},
        {**TOOL, "name": "g"},
        {**TOOL, "tool_call_id": "call_0"},
        TOOL,
        ASSISTANT,
    ]
    (made,) = _written("openai", {"messages": turns})
    calls = [call["id"] for call in made["messages"][1]["tool_calls"]]
    assert calls == ["call_1", "call_0", "call_2"]
    assert [each.get("tool_call_id") for each in made["messages"][2:5]] == [
        "call_2",
        "call_0",
        "call_1",
    ]


def test_the_line_break_between_prompt_and_completion_is_written_where_it_would_be_lost():
    """Readers of Alpaca add one to a text, and none to a message."""
    text = {"prompt": "q\n", "completion": "a"}
    chat = {"prompt": [{"role": "user", "content": "q\n"}], "completion": [ASSISTANT]}
    (as_text,), (as_chat,) = _written("alpaca", text), _written("alpaca", chat)
    assert normalize(as_text).trl == text
    assert normalize(as_chat).trl == chat


# --- what cannot be written -----------------------------------------------------------------

REFUSED = {
    "plain text": (FORMATS, {"text": "a"}, "plain text"),
    "a prompt alone": (FORMATS, {"prompt": "q"}, "a prompt without an answer"),
    "steps": (FORMATS, {"prompt": "q", "completions": ["a"], "labels": [True]}, "its steps"),
    "template arguments": (
        FORMATS,
        {"messages": [USER, ASSISTANT], "chat_template_kwargs": {"x": 1}},
        "its arguments of the chat template",
    ),
    "reasoning": (
        FORMATS,
        {"messages": [USER, {**ASSISTANT, "reasoning_content": "hm"}]},
        "its reasoning",
    ),
    "pictures": (
        FORMATS,
        {"messages": [{"role": "user", "content": [{"type": "image"}]}, ASSISTANT]},
        "its pictures, sounds or files",
    ),
    "names of pictures": (
        FORMATS,
        {"messages": [USER, ASSISTANT], "images": ["a.png"]},
        "its pictures",
    ),
    "several turns": (
        FORMATS,
        {"prompt": [USER], "completion": [CALLING, TOOL, ASSISTANT]},
        "an answer has to be one assistant turn, found the turns assistant, tool, assistant",
    ),
    "two prompts": (
        FORMATS,
        {"chosen": [USER, ASSISTANT], "rejected": [TOOL, REJECTED]},
        "different prompts",
    ),
    "answers without a prompt": (FORMATS, {"chosen": "a", "rejected": "b"}, "without a prompt"),
    "tools of Python": (FORMATS, {"messages": [USER, ASSISTANT], "tools": "f(x)"}, "its tools"),
    "a label": (["openai"], {"prompt": "q", "completion": "a", "label": True}, "its label"),
    "a call with words": (
        ["sharegpt"],
        {"messages": [USER, {**CALLING, "content": "wait"}]},
        "calls a tool and says something",
    ),
    "a developer": (
        ["sharegpt"],
        {"messages": [{**SYSTEM, "role": "developer"}, USER, ASSISTANT]},
        "a turn of the role developer",
    ),
    "a name": (
        ["sharegpt", "alpaca"],
        {"messages": [{**USER, "name": "Ann"}, ASSISTANT]},
        "it would say something else",
    ),
    "a call": (["alpaca"], {"messages": [USER, CALLING, TOOL, ASSISTANT]}, "its tools"),
    "turns that do not alternate": (
        ["alpaca"],
        {"messages": [USER, USER, ASSISTANT]},
        "user and assistant in turn, found user, user, assistant",
    ),
    "a turn after the answer": (["alpaca"], {"messages": [USER, ASSISTANT, USER]}, "in turn"),
    "text that reads as messages": (
        ["alpaca"],
        {"messages": [*EARLIER, USER, {**ASSISTANT, "content": json.dumps([USER, ASSISTANT])}]},
        "it would say something else",
    ),
}


@pytest.mark.parametrize(
    ("format", "row", "problem"),
    [(f, row, problem) for formats, row, problem in REFUSED.values() for f in formats],
    ids=[f"{case}, {f}" for case, (formats, *_) in REFUSED.items() for f in formats],
)
def test_what_a_format_has_no_field_for_is_an_error(format, row, problem):
    with pytest.raises(RecordError) as caught:
        _written(format, row)
    message = str(caught.value)
    assert message.startswith(f"rows, row 0 (counting from 0): it cannot be written as {format}: ")
    assert problem in message
    assert 'to="trl"' in message


def test_rows_of_several_kinds_do_not_become_one_file():
    with pytest.raises(RecordError, match=r"row 1 .*it is a preference, and rows before are"):
        _written("openai", {"messages": [USER, ASSISTANT], **dict.fromkeys(COMPARED)}, COMPARED)


def test_pictures_of_a_dataset_are_not_left_out(tmp_path):
    from datasets import Image, Sequence

    rows = Dataset.from_list([{"messages": [USER, ASSISTANT], "images": [{"bytes": b"x"}]}])
    rows = rows.cast_column("images", Sequence(Image(decode=False)))
    with pytest.raises(RecordError, match="no field for the pictures or sounds in 'images'"):
        curate.convert(rows, "openai", tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


# --- what is written reads the same ---------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("row", [case[0] for case in SHORT.values()], ids=SHORT)
def test_each_layout_reads_the_same_or_is_refused(row, format):
    if _can_be_written(format, row):
        (made,) = _written(format, row)
        assert _said(json.loads(json.dumps(made))) == _said(row)


def test_most_layouts_can_be_written():
    for form in FORMATS:
        rows = [row for row, *_ in SHORT.values() if _can_be_written(form, row)]
        assert len(rows) > len(SHORT) * 2 // 3


def _can_be_written(form, row):
    try:
        return len(_written(form, row)) == 1
    except RecordError as error:
        if not re.search("there is no field for|it is plain text|a prompt without", error.problem):
            raise
        return False


text = st.text(max_size=4)
call = st.fixed_dictionaries(
    {"name": st.sampled_from("fg"), "arguments": text | st.dictionaries(text, st.integers())}
)
turn = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "assistant", "system", "tool", "developer"]),
        "content": text | st.lists(st.builds(lambda t: {"type": "text", "text": t}, text)),
    },
    optional={"tool_calls": st.lists(call, max_size=2), "weight": st.integers(0, 1), "name": text},
)
turns = st.lists(turn, max_size=4)
any_record = (
    st.fixed_dictionaries({"messages": turns})
    | st.fixed_dictionaries({"prompt": turns | text, "completion": turns.map(lambda t: t[:1])})
    | st.fixed_dictionaries({"prompt": text, "completion": text, "label": st.booleans()})
    | st.fixed_dictionaries({"prompt": turns, "chosen": text, "rejected": text})
    | st.fixed_dictionaries({"instruction": text, "output": text, "history": st.just([["x", ""]])})
)


@settings(max_examples=300, deadline=None)
@given(any_record, st.sampled_from(FORMATS))
def test_any_row_is_written_to_say_the_same_or_refused(row, form):
    """But for line breaks, of which turns that say nothing leave some."""
    try:
        said = _said(row)
        (made,) = _written(form, row)
    except CurateError:
        return
    for one, other in zip(said, _said(json.loads(json.dumps(made))), strict=True):
        if isinstance(one, str):
            one, other = one.split("\n"), other.split("\n")
            one, other = list(filter(None, one)), list(filter(None, other))
        assert one == other


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("format", [*FORMATS, "trl"])
@pytest.mark.parametrize("layout", LONG)
def test_files_read_the_same(layout, format, ending, tmp_path):
    """Rows of any values; those that the format cannot express are refused, one by one."""
    rng = random.Random(layout)
    rows = [LONG[layout](rng) for _ in range(12)]
    rows = [row for row in rows if format == "trl" or _can_be_written(format, row)]
    if not rows:
        return
    made = curate.convert(rows, format, tmp_path / f"out.{ending}")
    found = read_rows(made.output, "found").examples().examples
    for read, (prompt, *answers) in zip(found, map(_said, rows), strict=True):
        # What TRL gets of other layouts ends in a line break (docs/rows.md).
        cut = read.prompt.removesuffix("\n") if format == "trl" else read.prompt
        assert [cut, read.completion, read.rejected, read.label] == [prompt, *answers]
