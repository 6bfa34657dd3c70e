from __future__ import annotations

import random

import pytest

from airrep.records import Example


@pytest.fixture(scope="session")
def as_examples():
    """Texts, or (prompt, completion) pairs, as rows numbered from 0."""

    def build(rows):
        pairs = [("", row) if isinstance(row, str) else row for row in rows]
        return [Example(str(i), *pair, "", i) for i, pair in enumerate(pairs)]

    return build


@pytest.fixture(scope="session")
def prose():
    """Texts of made-up words that have next to nothing in common: prose(seed, words)."""

    def build(seed, size):
        rng = random.Random(seed)
        return " ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(size))

    return build
