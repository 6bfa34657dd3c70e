"""Messages of any chat format as those that chat templates read."""

from __future__ import annotations

import pytest

from airrep.errors import ArgumentError, RecordError
from airrep.records import Example, normalize, trl_record

USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


def messages(*turns, **options):
    return trl_record({"messages": [*turns]}, **options)["messages"]


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        ("User", "user"),
        ("Assistant", "assistant"),
        ("bot", "assistant"),
        ("ipython", "tool"),
        ("tool_response", "tool"),
        ("observation", "tool"),
        ("function", "tool"),
        ("developer", "developer"),
    ],
)
def test_speakers_of_other_formats(speaker, role):
    made = messages(USER, {"role": speaker, "content": "x"}, ASSISTANT)
    assert made == [USER, {"role": role, "content": "x"}, ASSISTANT]


def test_a_speaker_that_is_not_known_can_be_named():
    turns = [{"role": "narrator", "content": "x"}, ASSISTANT]
    with pytest.raises(RecordError, match="roles="):
        messages(*turns)
    made = messages(*turns, roles={"narrator": "user"})
    assert made == [{"role": "user", "content": "x"}, ASSISTANT]
    assert normalize({"messages": turns}, roles={"narrator": "user"}).prompt == "x"
    with pytest.raises(ArgumentError, match="roles: 'narrator' is to be 'nobody'"):
        messages(*turns, roles={"narrator": "nobody"})


@pytest.mark.parametrize("name", ["tool_call", "function_call"])
def test_a_call_that_is_written_as_json_becomes_a_tool_call(name):
    said = '{"name": "f", "arguments": {"x": 1}}'
    made = messages(USER, {"role": name, "content": said})
    assert made[1] == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    (kept,) = messages({"role": name, "content": "f(x=1)"})  # no JSON: it stays what it is
    assert kept == {"role": "assistant", "content": "f(x=1)"}


def test_a_call_of_before_there_were_tools():
    made = messages(USER, {"role": "assistant", "content": None, "function_call": CALL["function"]})
    assert made[1]["tool_calls"] == [CALL]


def test_what_a_conversation_says():
    thinking = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": "a",
        "tool_calls": [{"name": "g", "arguments": '{"y": 2}'}, CALL],
    }
    read = normalize({"messages": [USER, thinking]})
    assert read == Example("0", "q", 'hm\na\ng({"y": 2})\nf({"x": 1})')
    assert read.trl["messages"][1] is thinking


def test_blocks_of_anthropic():
    turns = [
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "one moment"},
                {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "7"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "seven"}]},
    ]
    assert messages(*turns) == [
        USER,
        {
            "role": "assistant",
            "content": "one moment",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "1", **CALL}],
        },
        {"role": "tool", "content": "7", "tool_call_id": "1"},
        turns[3],
    ]


def test_parts_of_gemini():
    turns = [
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"y": 2}}}]},
        {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "a"}]},
    ]
    assert trl_record({"contents": turns})["messages"] == [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": '{"y": 2}', "name": "f"},
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
    ]


@pytest.mark.parametrize("kind", ["input_text", "output_text", "text"])
@pytest.mark.parametrize("name", ["text", "value"])
def test_parts_of_text(kind, name):
    turn = {"role": "assistant", "content": [{"type": kind, name: "a"}]}
    assert normalize({"messages": [turn]}).completion == "a"


def test_pictures_are_carried_and_not_read():
    picture = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}
    row = {"messages": [picture, ASSISTANT], "images": ["x.png"]}
    assert trl_record(row) == row
    assert normalize(row).prompt == "what?"


def test_a_field_that_carries_content_and_is_not_understood_is_named():
    turn = {**ASSISTANT, "afterthought": "not to be lost", "score": 3, "lang": "en"}
    with pytest.raises(RecordError, match=r"messages\[1\] has the field 'afterthought'"):
        messages(USER, turn)
    made = messages(USER, turn, columns={"ignore": "afterthought"})
    assert made == [USER, turn]


def test_a_turn_of_weight_zero_is_not_trained_on():
    silent = {**ASSISTANT, "weight": 0}
    spoken = {**ASSISTANT, "weight": 1}
    assert trl_record({"messages": [USER, spoken]}) == {"messages": [USER, spoken]}
    assert trl_record({"messages": [USER, silent, USER, spoken]}) == {
        "prompt": [USER, silent, USER],
        "completion": [spoken],
    }
    with pytest.raises(RecordError, match="weight 0"):
        trl_record({"messages": [USER, spoken, USER, silent, USER, spoken]})


def test_two_system_prompts_that_differ_are_an_error():
    said = {"role": "system", "content": "be kind"}
    row = {"system": "be kind", "messages": [said, USER, ASSISTANT]}
    assert trl_record(row)["messages"] == row["messages"]
    with pytest.raises(RecordError, match="two system prompts"):
        trl_record({**row, "system": "be terse"})


def test_plain_text_has_no_place_for_a_system_prompt():
    with pytest.raises(RecordError, match="beside plain text there is the field 'system'"):
        trl_record({"text": "a", "system": "be kind"})
    assert trl_record({"text": "a", "system": "s"}, columns={"ignore": "system"}) == {"text": "a"}


def test_a_python_repr_of_messages_is_no_json():
    with pytest.raises(RecordError, match="Write it as JSON"):
        trl_record({"messages": str([USER, ASSISTANT])})


def test_answers_that_are_lists_of_texts_are_an_error_that_says_so():
    with pytest.raises(RecordError, match="a list of texts"):
        normalize({"question": "q", "answer": ["a", "b"]})


def test_a_preference_knows_what_was_rejected():
    rejected = {"role": "assistant", "content": "b"}
    for row in (
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [rejected]},
        {"chosen": [USER, ASSISTANT], "rejected": [USER, rejected]},
    ):
        read = normalize(row)
        assert (read.prompt, read.completion, read.rejected) == ("q", "a", "b")
    assert normalize({"prompt": "q", "completion": "a"}).rejected is None


def test_an_answer_knows_whether_it_is_desired():
    assert normalize({"prompt": "q", "completion": "a", "label": False}).label is False
    assert normalize({"prompt": "q", "completion": "a", "label": 1}).label is None
    row = {"messages": [USER, ASSISTANT], "kto_tag": True}
    assert trl_record(row) == {"prompt": [USER], "completion": [ASSISTANT], "label": True}


def test_a_prompt_of_several_fields():
    row = {"task": "t", "body": "b", "reply": "r", "nothing": None}
    columns = {"prompt": ["task", "body", "nothing"], "completion": "reply"}
    assert trl_record(row, columns=columns) == {"prompt": "t\nb", "completion": "r"}
    with pytest.raises(ArgumentError, match="only prompt takes several"):
        trl_record(row, columns={"prompt": "task", "completion": ["body", "reply"]})


def test_a_field_that_is_null_is_said_to_be_null():
    with pytest.raises(RecordError, match="field 'reply' is null"):
        normalize({"ask": "q", "reply": None}, columns={"prompt": "ask", "completion": "reply"})


def test_segments_are_a_pair_if_what_is_trained_on_comes_last():
    parts = [("one ", False), ("two ", False), ("three", True)]
    row = {"segments": [{"text": text, "label": label} for text, label in parts]}
    assert trl_record(row) == {"prompt": "one two ", "completion": "three"}
    with pytest.raises(RecordError, match="after text that is"):
        trl_record({"segments": row["segments"][::-1]})


def test_a_prompt_whose_completion_is_null_is_no_prompt_alone():
    with pytest.raises(RecordError, match="field 'completion' is null"):
        normalize({"prompt": "q", "completion": None})
