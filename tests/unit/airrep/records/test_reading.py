"""Rows of every layout, read as examples."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airrep.errors import ArgumentError, CurateError, RecordError
from airrep.records import Example, normalize, trl_record
from airrep.records.layouts import LAYOUTS as KNOWN

USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CHAT = [USER, ASSISTANT]
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
SYSTEM = {"role": "system", "content": "s"}
PAIR = {"prompt": "q\n", "completion": "a"}  # TRL puts nothing between the two
CHAT_PAIR = {"prompt": [USER], "completion": [ASSISTANT]}
REJECTED = {"role": "assistant", "content": "b"}
COMPARED = {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [REJECTED]}

# row, prompt, completion, what TRL should get
LAYOUTS = {
    "prompt+completion": (
        {"prompt": "q", "completion": "a"},
        "q",
        "a",
        {"prompt": "q", "completion": "a"},
    ),
    "prompt+completion, chat": (CHAT_PAIR, "q", "a", CHAT_PAIR),
    "prompt+completion, a tool call": (
        {"prompt": [USER], "completion": [CALLING], "tools": TOOLS},
        "q",
        'f({"x": 1})',
        {"prompt": [USER], "completion": [CALLING], "tools": TOOLS},
    ),
    "prompt+completion+label": (
        {"prompt": "q", "completion": "a", "label": True},
        "q",
        "a",
        {"prompt": "q", "completion": "a", "label": True},
    ),
    "prompt alone": ({"prompt": "q"}, "q", "", {"prompt": "q"}),
    "prompt, answer to check": (
        {"prompt": [USER], "answer": "4"},
        "q",
        "4",
        {"prompt": [USER], "answer": "4"},
    ),
    "messages": ({"messages": CHAT}, "q", "a", {"messages": CHAT}),
    "messages+tools": (
        {"messages": [USER, CALLING], "tools": TOOLS},
        "q",
        'f({"x": 1})',
        {"messages": [USER, CALLING], "tools": TOOLS},
    ),
    "messages, template arguments": (
        {"messages": CHAT, "chat_template_kwargs": {"enable_thinking": False}},
        "q",
        "a",
        {"messages": CHAT, "chat_template_kwargs": {"enable_thinking": False}},
    ),
    "messages as JSON": ({"messages": json.dumps(CHAT)}, "q", "a", {"messages": CHAT}),
    "text": ({"text": "a"}, "", "a", {"text": "a"}),
    "instruction+input+output": (
        {"instruction": "q", "input": "i", "output": "a"},
        "q\ni",
        "a",
        {"prompt": "q\ni\n", "completion": "a"},
    ),
    "instruction+output": ({"instruction": "q", "output": "a"}, "q", "a", PAIR),
    "instruction+output+text": (
        {"instruction": "q", "output": "a", "text": "### q ### a"},
        "q",
        "a",
        PAIR,
    ),
    "instruction+output+system+history": (
        {"instruction": "q", "input": "", "output": "a", "system": "s", "history": [["x", "y"]]},
        "s\nx\ny\nq",
        "a",
        {
            "prompt": [
                SYSTEM,
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": "y"},
                USER,
            ],
            "completion": [ASSISTANT],
        },
    ),
    "instruction+output, ranked": (
        {"instruction": "q", "output": ["a", "b"]},
        "q",
        "a",
        {"prompt": "q\n", "chosen": "a", "rejected": "b"},
    ),
    "instruction+context+response": (
        {"instruction": "q", "context": "c", "response": "a"},
        "q\nc",
        "a",
        {"prompt": "q\nc\n", "completion": "a"},
    ),
    "input+output": ({"input": "q", "output": "a"}, "q", "a", PAIR),
    "input as messages": ({"input": [USER], "output": "a"}, "q", "a", CHAT_PAIR),
    "conversations": ({"conversations": SHAREGPT}, "q", "a", {"messages": CHAT}),
    "conversations+system": (
        {"conversations": SHAREGPT, "system": "s", "tools": "[]"},
        "s\nq",
        "a",
        {"messages": [SYSTEM, *CHAT], "tools": "[]"},
    ),
    "conversations, tool call": (
        {
            "conversations": [
                SHAREGPT[0],
                {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "7"},
                SHAREGPT[1],
            ]
        },
        'q\nf({"x": 1})\n7',
        "a",
        {"messages": [USER, CALLING, {"role": "tool", "content": "7"}, ASSISTANT]},
    ),
    "conversation": ({"conversation": CHAT}, "q", "a", {"messages": CHAT}),
    "contents (Gemini)": (
        {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "q"}]},
                {"role": "model", "parts": [{"text": "a"}]},
            ],
        },
        "s\nq",
        "a",
        {"messages": [SYSTEM, *CHAT]},
    ),
    "inputs+targets": ({"inputs": "q", "targets": "a"}, "q", "a", PAIR),
    "question+answer": ({"question": "q", "answer": "a"}, "q", "a", PAIR),
    "Question+Answer": ({"Question": "q", "Answer": "a"}, "q", "a", PAIR),
    "question+response+system_prompt": (
        {"system_prompt": "s", "question": "q", "response": "a"},
        "s\nq",
        "a",
        {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]},
    ),
    "prompt+response": (
        {"prompt": "q", "response": "a"},
        "q",
        "a",
        {"prompt": "q", "completion": "a"},
    ),
    "query+response": ({"query": "q", "response": "a"}, "q", "a", PAIR),
    "query+answer": ({"query": "q", "answer": "a"}, "q", "a", PAIR),
    "query+answers+tools": (
        {"query": "q", "answers": '[{"name": "f", "arguments": {"x": 1}}]', "tools": "[]"},
        "q",
        'f({"x": 1})',
        {"prompt": [USER], "completion": [CALLING], "tools": "[]"},
    ),
    "problem+solution": ({"problem": "q", "solution": "a", "answer": "7"}, "q", "a", PAIR),
    "problem+answer": ({"problem": "q", "answer": "a"}, "q", "a", PAIR),
    "user+assistant": ({"user": "q", "assistant": "a"}, "q", "a", PAIR),
    "prompt+chosen+rejected": (
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        "q",
        "a",
        {"prompt": "q", "chosen": "a", "rejected": "b"},
    ),
    "prompt+chosen+rejected, chat": (COMPARED, "q", "a", COMPARED),
    "chosen+rejected": (
        {"chosen": CHAT, "rejected": [USER, REJECTED]},
        "q",
        "a",
        {"chosen": CHAT, "rejected": [USER, REJECTED]},
    ),
    "chosen+rejected with all else": (
        {"prompt": "q", "messages": CHAT, "chosen": CHAT, "rejected": [USER, REJECTED]},
        "q",
        "a",
        {"chosen": CHAT, "rejected": [USER, REJECTED]},
    ),
    "conversations+chosen+rejected": (
        {
            "conversations": SHAREGPT[:1],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
        "q",
        "a",
        COMPARED,
    ),
    "messages+chosen+rejected": (
        {"messages": [USER], "chosen": [ASSISTANT], "rejected": [REJECTED]},
        "q",
        "a",
        COMPARED,
    ),
    "contents+chosen+rejected": (
        {"contents": [USER], "chosen": [ASSISTANT], "rejected": [REJECTED]},
        "q",
        "a",
        COMPARED,
    ),
    "conversation+chosen+rejected": (
        {"conversation": [USER], "chosen": [ASSISTANT], "rejected": [REJECTED]},
        "q",
        "a",
        COMPARED,
    ),
    "instruction+chosen+rejected": (
        {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
        "q",
        "a",
        {"prompt": "q\n", "chosen": "a", "rejected": "b"},
    ),
    "question+chosen+rejected": (
        {"system": "s", "question": "q", "chosen": "a", "rejected": "b"},
        "s\nq",
        "a",
        {**COMPARED, "prompt": [SYSTEM, USER]},
    ),
    "input+preferred_output+non_preferred_output": (
        {
            "input": {"messages": [USER], "tools": TOOLS},
            "preferred_output": [ASSISTANT],
            "non_preferred_output": [REJECTED],
        },
        "q",
        "a",
        {**COMPARED, "tools": TOOLS},
    ),
    "prompt+completions+labels": (
        {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
        "q",
        "a\nb",
        {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
    ),
    "segments": (
        {"segments": [{"label": False, "text": "q "}, {"label": True, "text": "a"}]},
        "q ",
        "a",
        {"prompt": "q ", "completion": "a"},
    ),
}
every_layout = pytest.mark.parametrize(
    ("row", "prompt", "completion", "trl"), LAYOUTS.values(), ids=LAYOUTS
)


def test_every_known_layout_is_among_the_cases():
    cases = [{str(name).lower() for name in row} for row, *_ in LAYOUTS.values()]
    missing = [
        each.required for each in KNOWN if not any(case >= {*each.required} for case in cases)
    ]
    assert missing == []


@every_layout
def test_each_layout_is_read(row, prompt, completion, trl):
    assert normalize(row, index=7) == Example("7", prompt, completion, "", 7)


@every_layout
def test_a_layout_is_recognized_among_other_fields(row, prompt, completion, trl):
    read = normalize({"difficulty": 3, **row, "tags": ["x"], "url": None})
    assert (read.prompt, read.completion) == (prompt, completion)


@every_layout
def test_trl_gets_one_of_its_own_layouts(row, prompt, completion, trl):
    assert trl_record({**row, "tags": ["x"]}) == trl


@every_layout
def test_what_trl_gets_reads_the_same(row, prompt, completion, trl):
    read = normalize(trl_record(row))
    assert (read.prompt.removesuffix("\n"), read.completion) == (prompt, completion)


def test_a_string_is_plain_text():
    assert normalize("some text", index=2) == Example("2", "", "some text", "", 2)


def test_text_is_kept_as_it_is():
    """No stripping, no joining of lines: the model is fine-tuned on the very same text."""
    read = normalize({"prompt": "  two\n\nlines ", "completion": " a\t\n"})
    assert (read.prompt, read.completion) == ("  two\n\nlines ", " a\t\n")


# --- which fields mean what -----------------------------------------------------------------


def test_alpaca_wins_over_the_part_of_it_that_is_a_layout_too():
    read = normalize({"instruction": "q", "input": "i", "output": "a"})
    assert read.prompt == "q\ni"  # not "i", as input/output alone would be read


def test_an_empty_optional_field_adds_nothing():
    assert normalize({"instruction": "q", "input": "", "output": "a"}).prompt == "q"


@pytest.mark.parametrize(
    ("row", "completion"),
    [
        ({"prompt": "q", "completion": "a", "messages": None, "text": None}, "a"),
        ({"instruction": None, "input": "q", "output": "a"}, "a"),
        ({"prompt": "q", "completion": None, "response": "a"}, "a"),
    ],
)
def test_none_counts_as_absent(row, completion):
    assert normalize(row).completion == completion


def test_an_ambiguous_row_names_the_readings_the_fields_and_the_way_out():
    row = {"prompt": "q", "completion": "a", "text": "t", "extra": 1}
    with pytest.raises(RecordError) as caught:
        normalize(row)
    message = str(caught.value)
    assert "prompt+completion or text" in message
    assert "['prompt', 'completion', 'text', 'extra']" in message
    assert 'columns={"prompt": "<field>", "completion": "<field>"}' in message


def test_an_unknown_layout_names_the_fields_and_the_way_out():
    with pytest.raises(RecordError) as caught:
        normalize({"ask": "q", "reply": "a", "nothing": None})
    message = str(caught.value)
    assert "['ask', 'reply']" in message
    assert 'columns={"prompt": "<field>", "completion": "<field>"}' in message


def test_the_mapping_settles_an_ambiguous_row():
    row = {"prompt": "q", "completion": "a", "text": "t"}
    assert normalize(row, columns={"text": "text"}).completion == "t"
    assert normalize(row, columns={"prompt": "prompt", "completion": "completion"}).prompt == "q"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt": "ask", "completion": "reply"}, ("q", "a")),
        ({"completion": "reply"}, ("", "a")),
        ({"text": "ask"}, ("", "q")),
        ({"messages": "chat"}, ("q", "a")),
    ],
)
def test_fields_of_any_name_can_be_mapped(columns, expected):
    row = {"ask": "q", "reply": "a", "chat": CHAT}
    read = normalize(row, columns=columns)
    assert (read.prompt, read.completion) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt": "ask", "completion": "reply"}, {"prompt": "q", "completion": "a"}),
        ({"text": "ask"}, {"text": "q"}),
        ({"messages": "chat"}, {"messages": CHAT}),
    ],
)
def test_trl_records_follow_the_mapping(columns, expected):
    row = {"ask": "q", "reply": "a", "chat": CHAT, "prompt": "x", "completion": "y"}
    assert trl_record(row, columns=columns) == expected


def test_a_mapped_field_that_a_row_lacks_is_an_error():
    with pytest.raises(RecordError, match=r"field 'ask' is missing; found the fields \['reply'\]"):
        normalize({"reply": "a"}, columns={"prompt": "ask", "completion": "reply"})


def test_an_unknown_role_lists_the_known_ones():
    with pytest.raises(ArgumentError, match=r"unknown role 'query'; roles are prompt, completion"):
        normalize({"a": "b"}, columns={"query": "a"})


@pytest.mark.parametrize(
    "columns", [{"chosen": "a"}, {"text": "a", "messages": "b"}, {"prompt": "a", "messages": "b"}]
)
def test_roles_that_make_no_record_are_an_error(columns):
    with pytest.raises(ArgumentError, match="do not describe one record"):
        normalize({"a": "x", "b": CHAT}, columns=columns)


# --- id and source --------------------------------------------------------------------------


def test_the_default_id_is_the_position():
    assert normalize("x", index=41).id == "41"


def test_id_and_source_columns_can_be_named_beside_a_guessed_layout():
    row = {"text": "x", "key": 17, "origin": "wiki"}
    read = normalize(row, index=3, columns={"id": "key", "source": "origin"})
    assert (read.id, read.source, read.row) == ("17", "wiki", 3)


@pytest.mark.parametrize("role", ["id", "source"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_named_id_or_source_must_be_there(role, value):
    with pytest.raises(RecordError, match="field 'key' is missing"):
        normalize({"text": "x", "key": value}, columns={role: "key"})


@pytest.mark.parametrize("field", ["source", "dataset", "task"])
def test_the_source_is_found_under_its_usual_names(field):
    assert normalize({"text": "x", field: "wiki"}).source == "wiki"


def test_a_source_that_is_not_text_is_not_guessed():
    assert normalize({"text": "x", "source": 3, "task": ["a"]}).source == ""


# --- conversations --------------------------------------------------------------------------


def test_the_last_assistant_turn_is_the_completion_and_all_before_it_the_prompt():
    turns = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four"},
        {"role": "user", "content": "thanks"},
    ]
    read = normalize({"messages": turns})
    assert (read.prompt, read.completion) == ("be kind\none\ntwo\nthree", "four")


@pytest.mark.parametrize("speaker", ["gpt", "chatgpt", "assistant", "model"])
def test_every_name_of_the_assistant_is_known(speaker):
    row = {"conversations": [{"from": "human", "value": "q"}, {"from": speaker, "value": "a"}]}
    assert normalize(row).completion == "a"
    assert trl_record(row) == {"messages": CHAT}


@pytest.mark.parametrize("fields", [("role", "content"), ("from", "value")])
@pytest.mark.parametrize("layout", ["messages", "conversations"])
def test_trl_never_sees_roles_that_chat_templates_do_not_know(layout, fields):
    role, content = fields
    turns = [{role: "system", content: "s"}, {role: "human", content: "q"},
             {role: "gpt", content: "a"}]  # fmt: skip
    assert trl_record({layout: turns}) == {"messages": [{"role": "system", "content": "s"}, *CHAT]}


def test_trl_gets_prompt_and_completion_of_one_kind():
    """TRL reads both as text or both as messages; roles that are known are not lost."""
    assert trl_record({"prompt": "q", "completion": [ASSISTANT]}) == CHAT_PAIR
    assert trl_record({"prompt": [USER], "completion": "a"}) == CHAT_PAIR


def test_what_only_trl_understands_is_passed_on():
    turns = [USER, {**ASSISTANT, "tool_calls": [{"name": "f"}]}]
    assert trl_record({"messages": turns})["messages"] is turns


def test_multipart_content_is_read_part_by_part():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert normalize({"messages": [{"role": "assistant", "content": parts}]}).completion == (
        "one\ntwo"
    )


def test_a_turn_without_content_is_an_empty_turn():
    """An assistant that calls a tool says nothing."""
    turns = [USER, {"role": "assistant", "content": None}, {"role": "tool", "content": "42"},
             ASSISTANT]  # fmt: skip
    assert normalize({"messages": turns}).prompt == "q\n\n42"


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([USER], "no assistant turn"),
        ([], "no assistant turn"),
        (["hello"], r"messages\[0\] should be a message with role and content, found str"),
        ([USER, {"role": "narrator", "content": "x"}], r"messages\[1\] has the role 'narrator'"),
        ([{"role": ["user"], "content": "x"}], r"messages\[0\] has the role \['user'\]"),
        ([{"content": "x"}], r"messages\[0\] has the role None"),
        ([{"role": "user", "content": 5}], r"'messages\[0\]' should be text, found int"),
        ([{"role": "user", "content": [{"type": "hologram"}]}], "a part that is not text"),
        ([{"role": "user", "content": [5]}], "a part that is not text"),
        ([{"role": "assistant", "content": ""}], "'messages' is empty"),
    ],
)
def test_a_broken_conversation_is_an_error_that_says_where(turns, message):
    with pytest.raises(RecordError, match=message):
        normalize({"messages": turns})


# --- text that is none ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [5, 1.5, True, {"a": 1}, {1, 2}, b"bytes"])
@pytest.mark.parametrize("field", ["prompt", "completion"])
def test_a_field_that_is_not_text_is_an_error(field, value):
    row = {"prompt": "q", "completion": "a", field: value}
    with pytest.raises(RecordError, match=field):
        normalize(row)


@pytest.mark.parametrize("row", [5, None, ["a"], object()])
def test_a_row_that_is_no_row_is_an_error(row):
    with pytest.raises(RecordError, match="expected a mapping or a string"):
        normalize(row)


@pytest.mark.parametrize(
    "row",
    ["", " \n\t", {"text": ""}, {"prompt": "q", "completion": "  "}, {"prompt": "q",
     "completion": []}],
)  # fmt: skip
def test_nothing_to_learn_from_is_an_error(row):
    with pytest.raises(RecordError, match="is empty; there is nothing to learn from it"):
        normalize(row)


@pytest.mark.parametrize(
    "row",
    [
        "half \ud800",
        {"prompt": "\udfff", "completion": "a"},
        {"messages": [USER, {"role": "assistant", "content": "\ud83d"}]},
        {"text": "x", "source": "\ud800"},
    ],
)
def test_half_a_surrogate_pair_is_an_error(row):
    """It cannot be tokenized, hashed or written, so it is refused where it comes in."""
    with pytest.raises(RecordError, match="half of a surrogate pair"):
        normalize(row)


def test_half_a_surrogate_pair_in_an_id_is_an_error():
    with pytest.raises(RecordError, match="half of a surrogate pair"):
        normalize({"text": "x", "key": "\ud800"}, columns={"id": "key"})


@pytest.mark.parametrize(
    "row", [{"ask": "q"}, {"text": 5}, {"text": ""}, "", 3, {"messages": []}, {"text": "\ud800"}]
)
def test_every_error_says_which_row_of_what(row):
    with pytest.raises(RecordError, match=r"^pool, row 12 \(counting from 0\): "):
        normalize(row, index=12, origin="pool")


# --- any row at all -------------------------------------------------------------------------

any_character = st.characters(codec=None)  # surrogates too
any_text = st.text(any_character, max_size=5)
role = st.sampled_from(["user", "assistant", "human", "gpt", "system"]) | any_text
scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text
message = st.fixed_dictionaries(
    {}, optional={"role": role, "from": role, "content": any_text | scalar, "value": any_text}
)
nested = st.recursive(
    scalar | message,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(any_text | st.sampled_from(["type", "text"]), inner, max_size=3)
    ),
    max_leaves=6,
)
field = st.sampled_from([
    *sorted({name for each in KNOWN for name in (*each.required, *each.optional)}),
    "source", "dataset",
])  # fmt: skip
any_row = st.dictionaries(field | any_text | st.integers(), nested, max_size=4)
likely_row = st.sampled_from(list(LAYOUTS.values())).flatmap(
    lambda case: st.fixed_dictionaries(
        {name: any_text | nested | st.lists(message, max_size=3) for name in case[0]}
    )
)


@settings(max_examples=300, deadline=None)
@given(any_row | likely_row, st.none() | st.dictionaries(any_text | field, any_text, max_size=2))
@example({"messages": [{"role": {}, "content": "x"}]}, None)
def test_any_row_becomes_an_example_or_a_clear_error_and_stays_as_it_was(row, columns):
    before = deepcopy(row)
    try:
        read = normalize(row, columns=columns)
    except CurateError:
        pass
    else:
        assert isinstance(read, Example)
        for text in (read.id, read.prompt, read.completion, read.source):
            text.encode("utf-8")
        assert read.completion.strip() or "prompt" in read.trl
    assert row == before


@settings(max_examples=300, deadline=None)
@given(likely_row)
def test_any_row_that_can_be_read_can_be_given_to_trl_without_changing_its_meaning(row):
    try:
        read = normalize(row)
    except CurateError:
        return
    before = deepcopy(row)
    given_to_trl = trl_record(row)
    again = normalize(given_to_trl)
    assert trl_record(given_to_trl) == given_to_trl
    assert again.prompt.rstrip("\n") == read.prompt.rstrip("\n")
    assert again.completion == read.completion
    assert row == before


@pytest.mark.parametrize("tools", [None, [], TOOLS])
def test_rows_with_and_without_tools_are_of_one_layout(tools):
    own = normalize({"prompt": "q", "completion": "a", "tools": tools})
    assert own.layout == "prompt+completion"  # in which TRL reads no tools
    other = normalize({"instruction": "q", "output": "a", "tools": tools})
    assert other.layout == "prompt+completion as messages"
