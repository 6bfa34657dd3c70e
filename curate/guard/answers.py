"""Comparison of answers: texts that are alike but have different answers are not copies."""

from __future__ import annotations

from curate.guard.corpus import Corpus
from curate.guard.likeness import LONG_COMPLETION, Text

_LABEL = 3  # words of an answer such as (A)
_ENDS = 5  # words at either end of two prompts, which are the same where the template is
_SHARE = 0.5  # of the words of either one, which the other one has


def other_answers(corpus: Corpus, first: Text, second: Text) -> bool:
    """Whether two texts of one template have answers that cannot be the same.

    The answer (A) is the option of that label, which is looked up in the prompt. Answers of words
    only count where the prompts begin and end alike: another template asks for other words.
    """
    prompts, answers = zip(*(_divided(corpus, text) for text in (first, second)), strict=True)
    if answers[0] == answers[1] and not all(_is_label(corpus, answer) for answer in answers):
        return False
    if all(corpus.signs[answer].all() for answer in answers if answer) and all(answers):
        return _alike(first, second)
    if all(_is_label(corpus, answer) for answer in answers):
        options = [_option(*each) for each in zip(prompts, answers, strict=True)]
        return all(options) and options[0] != options[1] and _alike(first, second)
    if not all(0 < len(answer) < LONG_COMPLETION for answer in answers):
        return False
    if set(answers[0]) <= set(answers[1]) or set(answers[1]) <= set(answers[0]):
        return False
    same = (prompts[0][part] == prompts[1][part] for part in (slice(_ENDS), slice(-_ENDS, None)))
    return all(same) and _alike(first, second)


def _divided(corpus: Corpus, text: Text) -> tuple[list[int], list[int]]:
    """The words of a text's prompt and of its completion."""
    words = corpus.words(text.number)
    return words[: text.prompt], words[text.prompt :]


def _is_label(corpus: Corpus, answer: list[int]) -> bool:
    """Whether an answer is one word in brackets."""
    signs = corpus.signs[answer].tolist()
    return len(answer) == _LABEL and signs[0] and signs[2] and answer[0] != answer[2]


def _option(prompt: list[int], label: list[int]) -> list[int]:
    """The words after the last place of a label in a prompt, until the next label."""
    for place in range(len(prompt) - _LABEL, -1, -1):
        if prompt[place : place + _LABEL] == label:
            after = prompt[place + _LABEL :]
            return after[: after.index(label[0])] if label[0] in after else after
    return []


def _alike(first: Text, second: Text) -> bool:
    """Whether two texts have most of their words in common, in runs of two."""
    return all(
        text.found_in(other, 2).bit_count() >= _SHARE * len(text)
        for text, other in ((first, second), (second, first))
    )
