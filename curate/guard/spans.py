"""The passage that two texts share, as a person wants to see it."""

from __future__ import annotations

from airrep.records import Example
from curate.guard.likeness import Match
from curate.guard.words import count_words, excerpt

_LONGEST = 120


def shared_span(example: Example, match: Match) -> str:
    """The longest passage of the example that was found again, as it was written, cut."""
    prompt = count_words(example.prompt)
    stop = min(match.stop, match.start + _LONGEST)  # a word has a character or more
    parts = (
        excerpt(example.prompt, match.start, min(stop, prompt)),
        excerpt(example.completion, max(match.start - prompt, 0), stop - prompt),
    )
    text = " → ".join(part for part in parts if part)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
