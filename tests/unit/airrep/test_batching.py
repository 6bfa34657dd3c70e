"""Which texts are encoded together, and how they are padded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.batching import BUCKET, pad, plan_batches


@st.composite
def tasks(draw):
    """(lengths, tokens_per_batch, longest), as tokenised texts have them."""
    longest = draw(st.integers(1, 100))
    lengths = draw(st.lists(st.integers(0, longest), max_size=40))
    return lengths, draw(st.integers(1, 400)), longest


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_every_text_is_in_exactly_one_batch(task):
    lengths, budget, longest = task
    members = [i for _, batch in plan_batches(lengths, budget, longest) for i in batch.tolist()]
    assert sorted(members) == list(range(len(lengths)))


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_no_batch_exceeds_the_budget_unless_it_is_one_text(task):
    for length, batch in plan_batches(*task):
        assert length * len(batch) <= task[1] or len(batch) == 1


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_the_padded_length_is_the_next_multiple_or_the_longest_possible(task):
    lengths, budget, longest = task
    for padded, batch in plan_batches(lengths, budget, longest):
        assert padded % BUCKET == 0 or padded == longest
        assert padded <= longest
        for i in batch.tolist():
            assert lengths[i] <= padded < max(lengths[i], 1) + BUCKET


@settings(max_examples=150, deadline=None)
@given(tasks(), st.integers(1, 400))
def test_the_padded_length_of_a_text_depends_on_nothing_but_its_own(task, other_budget):
    """What makes embeddings independent of their neighbours."""
    lengths, budget, longest = task
    alone = [plan_batches([length], other_budget, longest)[0][0] for length in lengths]
    together = {i: p for p, batch in plan_batches(lengths, budget, longest) for i in batch.tolist()}
    assert [together[i] for i in range(len(lengths))] == alone


@settings(max_examples=50, deadline=None)
@given(tasks())
def test_the_longest_come_first(task):
    padded = [length for length, _ in plan_batches(*task)]
    assert padded == sorted(padded, reverse=True)


def test_texts_of_one_length_keep_their_order():
    batches = plan_batches([20, 5, 21, 6, 22], 64, 100)
    assert [(length, batch.tolist()) for length, batch in batches] == [
        (32, [0, 2]),
        (32, [4]),
        (16, [1, 3]),
    ]


def test_nothing_to_batch():
    assert plan_batches([], 100, 512) == []


def test_padding_fills_ids_and_mask():
    ids, mask = pad([[5, 6, 7], [8]], 4, pad_id=9)
    assert ids.tolist() == [[5, 6, 7, 9], [8, 9, 9, 9]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_a_text_that_does_not_fit_is_an_error_rather_than_cut():
    with pytest.raises(ValueError, match="broadcast"):
        pad([np.arange(5).tolist()], 4, pad_id=0)
