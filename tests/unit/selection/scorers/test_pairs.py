"""Influence of preferences and of answers with a label."""

from __future__ import annotations

import numpy as np
import pytest

from airrep.records import normalize
from selection.scorers.gradient import GradientScorer
from selection.scorers.pairs import PairScorer

CHOSEN = ["the river", "green stone", "two fish", "seven birds", "north"]
REJECTED = ["a door", "iron", "salt and glass", "why", "what moon"]


def _preferences(chosen, rejected):
    rows = [
        {"prompt": f"question {i}?", "chosen": f" {one}", "rejected": f" {other}"}
        for i, (one, other) in enumerate(zip(chosen, rejected, strict=True))
    ]
    return [normalize(row, index=i) for i, row in enumerate(rows)]


def _answers(texts):
    rows = [{"prompt": f"question {i}?", "completion": f" {text}"} for i, text in enumerate(texts)]
    return [normalize(row, index=i) for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def scorer(make_lm):
    return GradientScorer(make_lm(), preconditioner="none", rank=8)


def test_chosen_less_rejected(scorer):
    targets = _answers(["what river", "two"])
    found = PairScorer(scorer).score(targets, _preferences(CHOSEN, REJECTED)).values()
    one = scorer.score(targets, _answers(CHOSEN)).values()
    other = scorer.score(targets, _answers(REJECTED)).values()
    np.testing.assert_allclose(found, one - other, atol=1e-5)


def test_targets_that_are_preferences(scorer):
    pool = _answers(["iron door", "seven fish", "stone"])
    targets = _preferences(CHOSEN[:2], REJECTED[:2])
    found = PairScorer(scorer).score(targets, pool).values()
    one = scorer.score(_answers(CHOSEN[:2]), pool).values()
    other = scorer.score(_answers(REJECTED[:2]), pool).values()
    np.testing.assert_allclose(found, one - other, atol=1e-5)


def test_what_is_turned_around_changes_its_sign(scorer):
    targets = _preferences(CHOSEN[:2], REJECTED[:2])
    there = PairScorer(scorer).score(targets, _preferences(CHOSEN, REJECTED)).values()
    back = PairScorer(scorer).score(targets, _preferences(REJECTED, CHOSEN)).values()
    np.testing.assert_allclose(there, -back, atol=1e-5)


def test_an_answer_that_is_not_wished_for_counts_against(scorer):
    targets = _answers(["what river"])
    rows = [
        {"prompt": f"question {i}?", "completion": f" {text}", "label": i % 2 == 0}
        for i, text in enumerate(CHOSEN)
    ]
    found = PairScorer(scorer).score(targets, [normalize(row) for row in rows]).values()
    plain = scorer.score(targets, _answers(CHOSEN)).values()
    np.testing.assert_allclose(found, plain * [1, -1, 1, -1, 1], atol=1e-6)


def test_blocks_are_parts_of_the_whole(scorer):
    targets, pool = _preferences(CHOSEN[:2], REJECTED[:2]), _preferences(CHOSEN, REJECTED)
    pool[3] = _answers(["bird"])[0]  # a row with nothing to compare it to
    scores = PairScorer(scorer).score(targets, pool)
    whole = scores.values()
    for start in range(5):
        np.testing.assert_array_equal(scores.block(start, start + 1), whole[:, start : start + 1])


def test_conversations_that_begin_alike(scorer):
    user = {"role": "user", "content": "question 0?"}

    def said(text):
        return [user, {"role": "assistant", "content": text}]

    row = normalize({"chosen": said("river"), "rejected": said("door")})
    assert row.against is not None
    assert row.against.trl == {"prompt": [user], "completion": said("door")[1:]}
    assert (row.against.prompt, row.against.completion) == ("question 0?", "door")
