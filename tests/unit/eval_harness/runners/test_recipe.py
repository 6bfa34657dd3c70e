import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airrep.errors import ArgumentError
from eval_harness.runners.recipe import Recipe, Trainable


@pytest.mark.parametrize(
    ("text", "kind", "size"), [("all", "all", 0), ("last:3", "last", 3), ("lora:16", "lora", 16)]
)
def test_what_is_trained_is_read_and_written(text, kind, size):
    found = Trainable.parse(text)
    assert (found.kind, found.size, str(found)) == (kind, size, text)


@pytest.mark.parametrize("text", ["", "some", "last", "last:0", "last:-1", "lora:1.5", "last:1 "])
def test_anything_else_is_not_understood(text):
    with pytest.raises(ArgumentError, match=r"is not understood; write all, last:N"):
        Recipe(trainable=text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, r"recipe\.epochs: expected int >= 1, found 0"),
        ({"epochs": 1.5}, r"recipe\.epochs: expected int, found 1\.5"),
        ({"epochs": True}, r"recipe\.epochs: expected int, found True"),
        ({"batch_size": 0}, r"recipe\.batch_size: expected int >= 1, found 0"),
        ({"learning_rate": 0.0}, r"recipe\.learning_rate: expected float > 0\.0, found 0\.0"),
        ({"learning_rate": math.inf}, r"learning_rate: expected a finite number, found inf"),
        ({"learning_rate": math.nan}, r"learning_rate: expected float > 0\.0, found nan"),
        ({"trainable": 3}, r"recipe\.trainable: expected str, found 3"),
        ({"precision": "float16"}, r"precision: expected one of auto, float32, bfloat16, found"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ArgumentError, match=message):
        Recipe(**settings)


@given(
    rows=st.integers(1, 50), epochs=st.integers(1, 4), batch=st.integers(1, 20), seed=st.integers(0)
)
def test_every_epoch_is_one_shuffle_of_all_rows(rows, epochs, batch, seed):
    recipe = Recipe(epochs=epochs, batch_size=batch)
    order = recipe.order(rows, seed)
    assert order.shape == (rows * epochs,)
    for epoch in range(epochs):
        assert sorted(order[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    np.testing.assert_array_equal(order, recipe.order(rows, seed))
    assert recipe.steps(rows) == len(range(0, rows * epochs, batch))


def test_epochs_and_seeds_are_shuffled_differently():
    order = Recipe(epochs=2).order(100, 0)
    assert order[:100].tolist() != order[100:].tolist()
    assert order.tolist() != Recipe(epochs=2).order(100, 1).tolist()
    assert order[:100].tolist() != list(range(100))


def test_the_rate_falls_linearly_to_zero():
    recipe = Recipe(learning_rate=0.4)
    assert [recipe.rate(step, 4) for step in range(5)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])


def test_plain_values_come_back():
    recipe = Recipe(epochs=3, trainable="last:1")
    assert Recipe(**recipe.to_dict()) == recipe
