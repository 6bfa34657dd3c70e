"""Results do not depend on what came with them, even if products round by their shape.

CPUs with AMX do that in bfloat16. `HostileProduct` does it to every product, on any machine and in
any precision, and far more than a machine would: whatever lets a neighbor decide the shape of a
product that a promised result comes from, fails here.
"""

from __future__ import annotations

import os
import zlib
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

import curate
from airrep import EmbeddingStore, Example
from airrep import store as store_module
from airrep.gradients.features import gradient_features
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.losses import completion_losses
from airrep.network import tight
from airrep.training.starting_point import starting_point
from eval_harness.runners.recipe import Recipe
from eval_harness.runners.stacked import StackedRunner

PRODUCTS = {
    "addbmm", "addmm", "addmv", "baddbmm", "bmm", "einsum", "linear", "matmul", "mm", "mv",
    "scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_attention_math", "_linear_pointwise",
}  # fmt: skip


class HostileProduct(TorchDispatchMode):
    """Every product is off by a factor, up to 1%, that the shapes of what is multiplied decide."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ not in PRODUCTS:
            return made
        given = tree_leaves((args, kwargs))
        shapes = [tuple(each.shape) for each in given if isinstance(each, torch.Tensor)]
        factor = 1 + zlib.crc32(repr(shapes).encode()) / 2**32 / 100
        first, *others = made if isinstance(made, tuple) else (made,)
        first.mul_(factor)
        return (first, *others) if others else first


def examples_of(count, seed=0):
    """Prompts and completions of 1 to 60 words, so that padded lengths are many."""
    rng = np.random.default_rng(seed)
    words = ["what", "is", "the", "river", "stone", "why", "two", "green", "answer", "salt"]

    def say():
        return " ".join(rng.choice(words, int(rng.choice([1, 2, 5, 13, 14, 15, 30, 60]))))

    return [Example(f"{seed}-{i}", say(), say(), row=i) for i in range(count)]


EXAMPLES = examples_of(12)


@pytest.fixture(params=["built-in", "prediction", "gradient"])
def any_encoder(request, encoder, tiny_lm):
    if request.param == "built-in":
        return encoder
    made = starting_point(tiny_lm, token_pooling=request.param)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(made.model.projector.weight)
    return made


def assert_neighbors_do_not_matter(compute):
    """`compute` makes a row an example; so it does for some, in any order, and for one alone."""
    with HostileProduct():
        together = compute(EXAMPLES)
        order = np.random.default_rng(0).permutation(len(EXAMPLES))
        shuffled = compute([EXAMPLES[i] for i in order])
        few = compute(EXAMPLES[5:9])
        alone = [compute([example])[0] for example in EXAMPLES[:3]]
    np.testing.assert_array_equal(shuffled, together[order])
    np.testing.assert_array_equal(few, together[5:9])
    np.testing.assert_array_equal(alone, together[:3])


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_a_hostile_product_shows_what_amx_shows(mode):
    rows = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    layer = torch.nn.Linear(8, 3)
    with mode(), HostileProduct():
        assert not torch.equal(layer(rows)[:1], layer(rows[:1]))
        assert not torch.equal((rows @ rows.T)[:1], rows[:1] @ rows.T)
        assert torch.equal(layer(rows), layer(rows)), "the same at every run"


def test_a_hostile_product_sees_products_by_packed_weights(encoder):
    dense = deepcopy(encoder.model.bert.encoder.layer[0].output.dense).float()
    rows, more = torch.randn(256, dense.in_features), torch.randn(256, dense.out_features)
    for product, given in (
        (tight._plain(dense.weight.detach(), dense.bias.detach()), (rows,)),
        (tight._activated(dense, "gelu"), (rows,)),
        (tight._added(dense), (rows, more)),
    ):
        with torch.inference_mode():
            expected = product(*given)
            with HostileProduct():
                assert not torch.equal(product(*given), expected)


def test_a_text_s_embedding_is_its_own(any_encoder):
    assert_neighbors_do_not_matter(any_encoder.encode)


def test_the_budget_changes_no_embedding(any_encoder):
    with HostileProduct():
        expected = any_encoder.encode(EXAMPLES)
        for budget in (1, 100_000):
            found = any_encoder.encode(EXAMPLES, tokens_per_batch=budget)
            np.testing.assert_array_equal(found, expected)


def test_a_store_is_the_same_in_whatever_pieces_it_grew(any_encoder, tmp_path, monkeypatch):
    with HostileProduct():
        expected = any_encoder.encode(EXAMPLES)
        once = EmbeddingStore(tmp_path / "once").embed(EXAMPLES, any_encoder)[:]
        grown = EmbeddingStore(tmp_path / "grown")
        grown.embed(EXAMPLES[3:10], any_encoder)
        grown.embed(EXAMPLES[8:9], any_encoder)
        monkeypatch.setattr(store_module, "_SHARD_ROWS", 5)
        grown = grown.embed(EXAMPLES, any_encoder)[:]
    np.testing.assert_array_equal(once, expected)
    np.testing.assert_array_equal(grown, expected)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_language_model_s_features_and_losses_are_each_row_s_own(make_lm, kind, dtype):
    model = make_lm(kind, dtype=torch.float32)
    for compute in (hidden_state_features, gradient_features, completion_losses):
        assert_neighbors_do_not_matter(lambda rows, f=compute: f(model, rows, dtype=dtype))


def test_what_a_frozen_trunk_makes_of_a_row_is_its_own(make_lm):
    model, first = make_lm(dtype=torch.float32), examples_of(1, seed=1)

    def states(examples):
        runner = StackedRunner(model, Recipe(trainable="last:1"))
        with _disable_current_modes():  # the first example is compared with the model whole
            runner.prepare(first)
        return [row.content.float().sum().item() for row in runner.prepare(examples)]

    assert_neighbors_do_not_matter(lambda rows: np.array(states(rows)))


@pytest.mark.slow
def test_select_chooses_the_same_rows_whatever_the_budget_and_the_store(encoder, tmp_path):
    pool, targets = curate.demo_pool(30), curate.demo_targets("recipe_steps", 3)
    options = {"encoder": encoder, "leakage": "off", "duplicates": "off"}
    with HostileProduct():
        EmbeddingStore(tmp_path / "grown").embed(
            [Example(str(i), row["prompt"], row["completion"]) for i, row in enumerate(pool[:7])],
            encoder,
        )
        plain, small, stored, grown = (
            curate.select(pool, targets, 10, **options, **more).selection
            for more in (
                {},
                {"tokens_per_batch": 64},
                {"store": tmp_path / "store"},
                {"store": tmp_path / "grown"},
            )
        )
    for other in (small, stored, grown):
        assert other.ids == plain.ids
        np.testing.assert_array_equal(other.gains, plain.gains)


TWO = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import numpy as np
    from test_hostile_product import EXAMPLES, HostileProduct
    from airrep import AirRep
    from airrep.machine.processes import rank

    with HostileProduct():
        np.save(Path(sys.argv[1]) / f"{rank()}.npy", AirRep.default().encode(EXAMPLES))
"""


@pytest.mark.slow
def test_two_processes_make_what_one_makes(together, encoder, tmp_path):
    together(TWO, tmp_path, os.path.dirname(__file__))  # noqa: PTH120
    with HostileProduct():
        expected = encoder.encode(EXAMPLES)
    for number in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), expected)
