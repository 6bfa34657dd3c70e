"""The passage that two texts share, as a person wants to see it."""

from __future__ import annotations

from airrep.console.wording import shortened
from airrep.records import Example
from curate.guard.likeness import Match
from curate.guard.words import count_words, excerpt

LONGEST = 120  # characters that are shown of a passage


def shared_span(example: Example, match: Match | None) -> str:
    """The longest passage of the example that was found again, as it was written, shortened.

    Args:
        example: Where the passage stands.
        match: What was found again; None for all of it.
    """
    prompt = count_words(example.prompt)
    match = match or Match(1.0, 0, prompt + count_words(example.completion))
    stop = min(match.stop, match.start + LONGEST + 1)  # a word has a character or more
    parts = (
        excerpt(example.prompt, match.start, min(stop, prompt)),
        excerpt(example.completion, max(match.start - prompt, 0), stop - prompt),
    )
    return shortened(" → ".join(part for part in parts if part), LONGEST)
