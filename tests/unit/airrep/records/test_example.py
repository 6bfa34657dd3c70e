"""An example's record: its layout, its last answer, another answer, its identity."""

from __future__ import annotations

import pytest

from airrep.records import Example, normalize

USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def test_an_example_made_by_hand_is_a_pair_or_plain_text():
    assert Example("0", "q", "a").trl == {"prompt": "q", "completion": "a"}
    assert Example("0", "", "a").trl == {"text": "a"}


def test_the_last_answer_of_a_conversation_is_its_completion():
    read = normalize({"messages": [USER, ASSISTANT, USER, ASSISTANT], "tools": TOOLS})
    assert read.pair.trl == {
        "prompt": [USER, ASSISTANT, USER],
        "completion": [ASSISTANT],
        "tools": TOOLS,
    }
    plain = Example("0", "q", "a")
    assert plain.pair is plain


@pytest.mark.parametrize(
    ("row", "record"),
    [
        ({"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": "b"}),
        ({"text": "a"}, {"text": "b"}),
        (
            {"messages": [USER, ASSISTANT], "tools": TOOLS},
            {
                "prompt": [USER],
                "completion": [{"role": "assistant", "content": "b"}],
                "tools": TOOLS,
            },
        ),
        (
            {"chosen": [USER, ASSISTANT], "rejected": [USER, ASSISTANT]},
            {"prompt": [USER], "completion": [{"role": "assistant", "content": "b"}]},
        ),
        ({"prompt": "q", "chosen": "a", "rejected": "c"}, {"prompt": "q", "completion": "b"}),
        ({"prompt": "q", "completion": "a", "label": False}, {"prompt": "q", "completion": "b"}),
    ],
)
def test_another_answer(row, record):
    read = normalize(row)
    other = read.answering("b")
    assert other.trl == record
    assert (other.prompt, other.completion, other.id) == (read.prompt, "b", read.id)


def test_what_is_trained_on_alike_has_the_same_content():
    pair = normalize({"prompt": "q", "completion": "a"})
    assert pair.content == Example("7", "q", "a").content
    others = [
        {"prompt": "q\n", "completion": "a"},
        {"question": "q", "answer": "a"},  # a line break is put between
        {"prompt": [USER], "completion": [ASSISTANT]},
        {"prompt": [USER], "completion": [ASSISTANT], "tools": TOOLS},
        {"messages": [USER, ASSISTANT]},
        {"text": "a"},
    ]
    contents = [normalize(row).content for row in others]
    assert len({pair.content, *contents}) == 1 + len(others)
