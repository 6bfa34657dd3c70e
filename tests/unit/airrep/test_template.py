"""The text that stands for an example."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.errors import CheckpointError
from airrep.records import Example
from airrep.template import TextTemplate, text_fingerprint

MARK = "\x1e"
SEPARABLE = [
    TextTemplate(),
    TextTemplate.verbatim(64),
    TextTemplate("Q\n", "\n", 3),  # the first line break is no sign of a completion
    TextTemplate("", " a\ta ", 2),
    TextTemplate(MARK, f"a{MARK}b", None),
]
# letters of the templates themselves come often
some_text = st.text(max_size=12) | st.text("ab Q:\n\t\x1eAnswer", max_size=30)


def example(prompt, completion):
    return Example("0", prompt, completion)


def test_the_released_template_letter_by_letter():
    rendered = TextTemplate().render(example("What is 2 + 2?", "4"))
    assert rendered == "Question: What is 2 + 2?\nAnswer: 4"


def test_the_released_settings():
    assert TextTemplate().to_dict() == {
        "prompt_prefix": "Question: ",
        "completion_prefix": "\nAnswer: ",
        "prompt_words": 256,
        "max_tokens": 512,
    }


def test_plain_text_is_itself():
    assert TextTemplate().render(example("", "  some text\n")) == "  some text\n"


def test_the_prompt_is_cut_by_words_and_the_completion_is_not():
    words = " ".join(str(i) for i in range(300))
    rendered = TextTemplate().render(example(words, words))
    prompt, completion = rendered.removeprefix("Question: ").split("\nAnswer: ")
    assert prompt.split() == [str(i) for i in range(256)]
    assert completion == words


def test_whitespace_in_the_prompt_becomes_single_spaces():
    assert TextTemplate().render(example(" a\n\n b\tc ", "d e\n")) == (
        "Question: a b c\nAnswer: d e\n"
    )


def test_its_own_settings_are_used():
    template = TextTemplate(prompt_prefix="<", completion_prefix=">", prompt_words=2)
    assert template.render(example("a b c", "d")) == "<a b>d"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("prompt_words", 0),
        ("prompt_words", "256"),
        ("prompt_words", True),
        ("max_tokens", -1),
        ("max_tokens", 2),  # no room beside the two special tokens
        ("max_tokens", 512.0),
        ("completion_share", 0),
        ("completion_share", 1.0),
        ("completion_share", "0.5"),
        ("prompt_prefix", None),
        ("completion_prefix", 5),
    ],
)
def test_a_setting_out_of_range_is_an_error_that_names_it(setting, value):
    with pytest.raises(CheckpointError, match=f"template.{setting}: expected .*{value!r}"):
        TextTemplate.from_dict({setting: value})


def test_an_unknown_setting_is_an_error_rather_than_ignored():
    with pytest.raises(CheckpointError, match=r"'suffix'.*newer version"):
        TextTemplate.from_dict({"suffix": "!"})


def test_a_share_of_what_cannot_be_told_apart_is_an_error():
    with pytest.raises(CheckpointError, match=r"template.completion_share: .*found ' -> '"):
        TextTemplate(completion_prefix=" -> ", completion_share=0.5)


@pytest.mark.parametrize("share", [None, 0.5])
def test_a_round_trip_through_a_config(share):
    template = TextTemplate(
        prompt_prefix="In: ", prompt_words=3, max_tokens=7, completion_share=share
    )
    assert TextTemplate.from_dict(template.to_dict()) == template


@pytest.mark.parametrize("setting", [field.name for field in fields(TextTemplate)])
def test_the_fingerprint_changes_with_every_setting(setting):
    other = {"prompt_prefix": "Q", "completion_prefix": "A", "prompt_words": 8, "max_tokens": 8}
    other["completion_share"] = 0.25
    changed = TextTemplate(**{setting: other[setting]})
    assert changed.fingerprint != TextTemplate().fingerprint


def test_equal_templates_have_equal_fingerprints():
    assert TextTemplate(max_tokens=9).fingerprint == TextTemplate(max_tokens=9).fingerprint


def test_a_text_is_named_by_its_content():
    assert text_fingerprint("a") == text_fingerprint("a")
    assert text_fingerprint("a") != text_fingerprint("a ")
    assert len(text_fingerprint("ä")) == 16


@pytest.mark.parametrize("template", SEPARABLE)
@given(prompt=some_text.filter(len), completion=some_text)
def test_a_rendered_text_is_taken_apart_again(template, prompt, completion):
    found = template.split(template.render(example(prompt, completion)))
    words = template.prompt_words
    kept = prompt.replace(MARK, " ") if words is None else " ".join(prompt.split()[:words])
    assert found == (kept, completion)


@given(completion=some_text)
def test_plain_text_is_all_completion(completion):
    plain = example("", completion)
    for template in SEPARABLE:
        text = template.render(plain)
        if template.prompt_words is None:  # whatever it holds
            assert template.split(text) == ("", completion)
        elif template.completion_prefix not in completion:
            assert template.split(text) == ("", completion) == ("", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Question: 2 + 2?",
        "\nAnswer: 4",
        "Note\nAnswer: 4",
        "question: a\nAnswer: b",
        "Question:",
    ],
)
def test_text_of_another_make_is_all_completion(text):
    assert TextTemplate().split(text) == ("", text)


@pytest.mark.parametrize(
    ("completion_prefix", "prompt_words", "separable"),
    [
        ("\nAnswer: ", 256, True),
        ("\t", 1, True),
        ("\u00a0", 8, True),  # white space, so no word of a prompt holds it
        (" -> ", 256, False),
        ("", 256, False),
        ("\nAnswer: ", None, False),  # a prompt taken as it is may hold it
        (MARK, None, True),
        (f"<{MARK}>", None, True),
        ("", None, False),
    ],
)
def test_whether_a_text_says_where_its_completion_starts(
    completion_prefix, prompt_words, separable
):
    template = TextTemplate("", completion_prefix, prompt_words)
    assert template.separable is separable


def test_verbatim_keeps_white_space_and_takes_the_mark_out_of_prompts():
    template = TextTemplate.verbatim(100)
    assert template.max_tokens == 100
    assert template.render(example(" a\n\n  b\t", " c \n")) == f" a\n\n  b\t{MARK} c \n"
    assert template.render(example(f"a{MARK}b", f"c{MARK}d")) == f"a b{MARK}c{MARK}d"
    assert template.render(example("", "just text ")) == "just text "
