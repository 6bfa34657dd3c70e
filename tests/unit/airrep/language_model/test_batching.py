"""Which texts pass through a network together, and how they are padded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.language_model.batching import (
    BLOCK_ROWS,
    BUCKET,
    PASS_TOKENS,
    WIDE_ABOVE,
    WIDE_BUCKET,
    in_blocks,
    pad,
    plan_batches,
    plan_passes,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@st.composite
def tasks(draw):
    """(lengths, tokens_per_batch, longest), as tokenized texts have them."""
    longest = draw(st.integers(1, 300))
    lengths = draw(st.lists(st.integers(0, longest), max_size=40))
    return lengths, draw(st.integers(1, 400)), longest


@settings(max_examples=150, deadline=None)
@given(tasks(), st.sampled_from([CPU, GPU]))
def test_every_text_is_in_exactly_one_pass_and_in_one_batch(task, device):
    lengths, budget, longest = task
    passes = plan_passes(lengths, longest, device, budget)
    for groups in (
        [each.members for each in passes],
        [members for _, members in plan_batches(lengths, budget, longest)],
    ):
        assert sorted(i for group in groups for i in group.tolist()) == list(range(len(lengths)))


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_no_batch_exceeds_the_budget_unless_it_is_one_text(task):
    for length, batch in plan_batches(*task):
        assert length * len(batch) <= task[1] or len(batch) == 1


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_a_text_is_padded_to_the_next_multiple_above_it_or_the_longest_possible(task):
    lengths, budget, longest = task
    for each in plan_passes(lengths, longest, CPU, budget):
        assert each.length % BUCKET == 0 or each.length == longest
        for i in each.members.tolist():
            bucket = BUCKET if lengths[i] < WIDE_ABOVE else WIDE_BUCKET
            assert lengths[i] < each.length <= lengths[i] + bucket or lengths[i] == longest
            assert each.length <= longest


@settings(max_examples=150, deadline=None)
@given(tasks(), st.integers(1, 400))
def test_the_shape_of_a_texts_pass_depends_on_nothing_but_its_own_length(task, other_budget):
    """What makes embeddings independent of their neighbors."""
    lengths, budget, longest = task
    alone = [plan_passes([length], longest, CPU, other_budget)[0] for length in lengths]
    for each in plan_passes(lengths, longest, CPU, budget):
        for i in each.members.tolist():
            assert (each.length, each.rows) == (alone[i].length, alone[i].rows)
        tokens = min(most for limit, most in PASS_TOKENS.items() if each.length <= limit)
        assert len(each.filled()) == each.rows == -(-tokens // each.length)


@settings(max_examples=150, deadline=None)
@given(tasks())
def test_a_pass_has_padding_in_all_of_its_texts_or_in_none(task):
    """Where a mask is all ones it is dropped, and attention takes another way."""
    lengths, budget, longest = task
    for each in plan_passes(lengths, longest, CPU, budget):
        full = {lengths[i] == each.length for i in each.members.tolist()}
        assert len(full) == 1


@settings(max_examples=50, deadline=None)
@given(tasks())
def test_the_longest_come_first(task):
    padded = [length for length, _ in plan_batches(*task)]
    assert padded == sorted(padded, reverse=True)


def test_a_pass_is_filled_with_copies_of_its_first_text():
    (each,) = plan_passes([5, 9, 3], 512, CPU, 4096)
    assert each.rows == PASS_TOKENS[64] // BUCKET
    assert each.members.tolist() == [0, 1, 2]
    assert each.filled().tolist() == [0, 1, 2] + [0] * (each.rows - 3)


def test_on_a_gpu_the_budget_decides_how_many_texts_pass_together():
    passes = plan_passes([3, 20, 99], 512, GPU, 64)
    assert [(each.length, each.rows) for each in passes] == [(128, 1), (32, 2), (16, 4)]


def test_texts_of_one_length_keep_their_order():
    batches = plan_batches([20, 5, 21, 6, 22], 64, 100)
    assert [(length, batch.tolist()) for length, batch in batches] == [
        (32, [0, 2]),
        (32, [4]),
        (16, [1, 3]),
    ]


def test_nothing_to_batch():
    assert plan_batches([], 100, 512) == []
    assert plan_passes([], 512, CPU, 100) == []


def test_padding_fills_ids_and_mask():
    ids, mask = pad([[5, 6, 7], [8]], 4, pad_id=9)
    assert ids.tolist() == [[5, 6, 7, 9], [8, 9, 9, 9]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_a_text_that_does_not_fit_is_an_error_rather_than_cut():
    with pytest.raises(ValueError, match="broadcast"):
        pad([np.arange(5).tolist()], 4, pad_id=0)


@pytest.mark.parametrize("count", [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS])
def test_in_blocks_every_call_has_as_many_rows_and_every_row_its_own_result(count):
    seen = []

    def function(left, right):
        seen.append((len(left), len(right)))
        return left * 2 + right

    left, right = torch.arange(count), torch.arange(count) * 100
    assert torch.equal(in_blocks(function, left, right), left * 2 + right)
    assert set(seen) == {(BLOCK_ROWS, BLOCK_ROWS)}
    assert len(seen) == -(-count // BLOCK_ROWS)


def test_in_blocks_copies_that_fill_a_block_take_no_part_in_a_gradient():
    values = torch.arange(3.0, requires_grad=True)
    in_blocks(lambda rows: rows.square(), values).sum().backward()
    assert torch.equal(values.grad, 2 * torch.arange(3.0))
