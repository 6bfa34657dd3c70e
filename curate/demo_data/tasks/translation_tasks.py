"""Translations between English, Spanish and French, all from one phrase-book."""

from __future__ import annotations

import random

from curate.demo_data.phrasebook import draw_sentence
from curate.demo_data.wording import TaskFamily, instruct


def to_spanish(rng: random.Random) -> tuple[str, str]:
    """Translate a simple sentence into Spanish."""
    sentence = draw_sentence(rng)
    return _translation_prompt(rng, sentence.english, "Spanish"), sentence.spanish


def to_french(rng: random.Random) -> tuple[str, str]:
    """Translate a simple sentence into French."""
    sentence = draw_sentence(rng)
    return _translation_prompt(rng, sentence.english, "French"), sentence.french


def to_english(rng: random.Random) -> tuple[str, str]:
    """Translate a simple Spanish or French sentence into English."""
    sentence = draw_sentence(rng)
    source = rng.choice((sentence.spanish, sentence.french))
    return _translation_prompt(rng, source, "English"), sentence.english


def _translation_prompt(rng: random.Random, text: str, language: str) -> str:
    tasks = (
        "translate this sentence into {language}",
        "rewrite this sentence in {language}",
        "turn this sentence into correct {language}",
        "write down the same sentence in {language}",
    )
    return instruct(rng, tasks, text, language=language)


TRANSLATION_TASKS: dict[str, TaskFamily] = {
    "to_spanish": to_spanish,
    "to_french": to_french,
    "to_english": to_english,
}
