"""What a run takes is known before a weight is read, and a run that does not fit is refused."""

import json
import shutil

import pytest

from airrep import Example
from airrep.errors import ArgumentError
from curate import demo_pool, record
from curate.command_line.results import as_text
from eval_harness.runners.memory import check_fits, check_memory, training_memory
from eval_harness.runners.recipe import Recipe

GIB = 2**30


def test_the_formula(tiny_lm):
    config = json.loads((tiny_lm / "config.json").read_text())
    whole = training_memory(tiny_lm, "all", longest=40, narrow=False)
    adapters = training_memory(tiny_lm, "lora:4", longest=40, narrow=False)
    last = training_memory(tiny_lm, "last:1", longest=40, narrow=False)
    assert whole.training == 4 * whole.weights, "weights, gradients and two moments"
    assert adapters.training < last.training < whole.training
    assert last.weights == whole.weights < adapters.weights < 2 * whole.weights, (
        "merged copies of what is in blocks"
    )
    assert whole.activations > 16 * 256 * config["vocab_size"]
    assert whole.total > whole.weights + whole.training + whole.activations


def test_longer_rows_and_float32_take_more(tiny_lm):
    narrow = training_memory(tiny_lm, "all", longest=40)
    assert training_memory(tiny_lm, "all", longest=4096).activations > 4 * narrow.activations
    assert training_memory(tiny_lm, "all", longest=40, narrow=False).weights < narrow.weights
    assert training_memory(tiny_lm, "all", longest=40, compiled=True).total > narrow.total + GIB


def test_what_does_not_fit_is_refused_with_what_would(tiny_lm):
    with pytest.raises(ArgumentError) as caught:
        check_memory(tiny_lm, "all", 2**20, longest=2048)
    said = str(caught.value)
    for way in ("lora:16 takes", "last:1 takes", "--max-tokens 512", "--memory-limit"):
        assert way in said
    assert "do not fit either" in said
    with pytest.raises(ArgumentError) as caught:
        check_memory(tiny_lm, "all", GIB, longest=2**17)
    fitting = str(caught.value).split("What would fit: ")[1]
    assert fitting.startswith("--max-tokens 512 takes 0.7 GiB; --trainable"), "rows are too long"
    assert check_memory(tiny_lm, "all", 8 * GIB, longest=2048).total < 8 * GIB


def test_only_what_takes_less_is_said_to_take_less(tiny_lm):
    """Fewer adapters take less than more of them, and than a block that is trained."""
    with pytest.raises(ArgumentError, match="lora:4 takes") as caught:
        check_memory(tiny_lm, "lora:16", 2**20, longest=40, narrow=False)
    assert "--trainable lora:16" not in str(caught.value)
    with pytest.raises(ArgumentError, match="What would help: a larger --memory-limit"):
        check_memory(tiny_lm, "lora:4", 2**20, longest=40, narrow=False)


def test_record_refuses_before_weights_are_read(tiny_lm, tmp_path):
    broken = shutil.copytree(tiny_lm, tmp_path / "lm")
    (broken / "model.safetensors").write_bytes(b"no weights")
    rows = demo_pool(24)
    with pytest.raises(ArgumentError, match="do not fit either: --trainable"):
        record(rows[:20], rows[20:], broken, tmp_path / "runs", size=4, memory_limit="1MB")


def test_what_another_runner_takes_is_not_foreseen(tiny_lm):
    rows = [Example("0", "question", "answer")]
    for runner in ("auto", "direct"):
        with pytest.raises(ArgumentError, match="do not fit either: --trainable"):
            check_fits(tiny_lm, rows, Recipe(), 64, 2**20, runner=runner)
    check_fits(tiny_lm, rows, Recipe(), 64, 2**20, runner="trl")
    check_fits(tiny_lm, [Example("0", "question", "")], Recipe(), 64, 2**20)  # said elsewhere


def test_a_dry_run_measures_one_run_and_leaves_nothing(tiny_lm, tmp_path):
    rows = demo_pool(24)
    cost = record(rows[:20], rows[20:], tiny_lm, tmp_path / "r", subsets=5, size=4, dry_run=True)
    assert cost.runs == 10
    assert 0 < cost.seconds < 60
    assert cost.memory > 2**27
    assert "10 by the stacked runner" in cost.summary()
    assert not (tmp_path / "r").exists()
    said = as_text("record", {"output": "r", "dry_run": True}, cost)
    assert said.endswith("nothing recorded")
