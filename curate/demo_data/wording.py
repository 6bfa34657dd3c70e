"""Small wording helpers shared by every task family, and the type of a family itself."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

TaskFamily: TypeAlias = Callable[[random.Random], tuple[str, str]]
"""A family draws one (prompt, completion) pair from the random generator it is given."""

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def phrase(rng: random.Random, templates: Sequence[str], **slots: object) -> str:
    """Pick one template and fill its slots; a template may leave any slot out."""
    return rng.choice(templates).format(**slots)


_FRAMES_WITH_TEXT = (
    "{Task}.\n\n{text}",
    "{text}\n\n{Task}.",
    "Please {task}.\n\n{text}",
    "{text}\n\nPlease {task}.",
    "Can you {task}?\n\n{text}",
    "{text}\n\nCould you {task}?",
    "I would like you to {task}.\n\n{text}",
    "{text}\n\nYour job is to {task}.",
    "Read what follows, then {task}.\n\n{text}",
)
_FRAMES_WITHOUT_TEXT = (
    "{Task}.",
    "Please {task}.",
    "Can you {task}?",
    "Could you {task}?",
    "I would like you to {task}.",
    "Your job is to {task}.",
)


def instruct(rng: random.Random, tasks: Sequence[str], text: str = "", **slots: object) -> str:
    """Ask for one of the differently worded tasks, before or after the text it is about.

    All families are asked for through the same frames, so that what their prompts have in common
    says little about the task.
    """
    task = phrase(rng, tasks, **slots)
    frames = _FRAMES_WITH_TEXT if text else _FRAMES_WITHOUT_TEXT
    return phrase(rng, frames, task=task, Task=sentence_case(task), text=text)


def join_words(words: Sequence[str], link: str = "and") -> str:
    """Write words as running text: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {link} {words[-1]}"


def sentence_case(text: str) -> str:
    """Raise the first letter alone (``str.capitalize`` would lower the names that follow)."""
    return text[:1].upper() + text[1:]


def with_article(noun: str) -> str:
    """Put ``a`` or ``an`` before a noun, by its spelling; the word lists hold no exceptions."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def numbered(steps: Sequence[str]) -> str:
    """Lay steps out as a numbered list, one per line."""
    return "\n".join(f"{position}. {step}" for position, step in enumerate(steps, start=1))


def long_date(day: dt.date) -> str:
    """Write a date as ``3 May 2021``; ``strftime`` would depend on the locale."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def random_date(rng: random.Random, first_year: int = 2012, last_year: int = 2025) -> dt.date:
    """Draw a calendar day between two years, both included."""
    first = dt.date(first_year, 1, 1)
    return first + dt.timedelta(days=rng.randrange((dt.date(last_year + 1, 1, 1) - first).days))


def ordinal(number: int) -> str:
    """Write ``1st``, ``2nd``, ``3rd``, ``4th``, ``11th``, ``21st`` ..."""
    teens = number % 100 in (11, 12, 13)
    suffix = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
