"""The library on a real language model, compared with transformers and plain PyTorch.

CURATE_REAL_MODEL names the model's directory: `make test-real MODEL=DIRECTORY`. All is computed on
the CPU. A model with a chat template reads conversations, one without reads text.
"""

import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from airrep import normalize
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.machine.hardware import dtype_named
from airrep.supervision import read_run_file
from curate.demo_data import demo_pool
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.direct import DirectRunner
from eval_harness.runners.memory import training_memory
from eval_harness.runners.recipe import IGNORED, Recipe

DIRECTORY = Path(os.environ.get("CURATE_REAL_MODEL") or "CURATE_REAL_MODEL is not set")
pytestmark = [
    pytest.mark.realmodel,
    pytest.mark.skipif(
        not DIRECTORY.is_dir(), reason="CURATE_REAL_MODEL names no directory of a language model"
    ),
]
TEXTS = [(row["prompt"], row["completion"]) for row in demo_pool(16)]
# The first step's batch of 12 rows fills several passes. It prints the most memory it has held.
TRAINING = """
import json, sys
from pathlib import Path
from airrep import normalize
from airrep.language_model.model import LanguageModel
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.direct import DirectRunner
from eval_harness.runners.recipe import Recipe
model, rows, trainable = sys.argv[1:]
examples = [normalize(json.loads(row), index=0) for row in Path(rows).read_text().splitlines()]
runner = DirectRunner(
    LanguageModel.from_pretrained(model, device="cpu"),
    Recipe(epochs=1, batch_size=12, trainable=trainable),
)
runner.train([TrainingRun(examples, 0)]).losses(examples)
held = next(x for x in open("/proc/self/status") if x.startswith("VmHWM"))
print(1024 * int(held.split()[1]))
"""
# The command line; it keeps every step of training, and is killed after so many or says how many.
COMMAND = """
import os, signal, sys
import airrep.disk.parts as parts
from curate.cli import main
parts.SECONDS, parts._SHARE = 0.0, float("inf")
last, put, done = int(sys.argv.pop(1)), parts.KeptSteps.put, []
def counted(*given):
    done.append(put(*given))
    if len(done) == last: os.kill(os.getpid(), signal.SIGKILL)
parts.KeptSteps.put = counted
failed = main(sys.argv[1:])
print(len(done))
sys.exit(failed)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A file of 12 rows: conversations, or text if the model has no chat template; 4 beside it."""
    chat = has_template(DIRECTORY)
    made = [
        {"messages": asked(prompt) + answered(completion)}
        if chat
        else {"prompt": prompt, "completion": completion}
        for prompt, completion in TEXTS
    ]
    folder = tmp_path_factory.mktemp("rows")
    written(folder / "held_out.jsonl", made[12:])
    return written(folder / "pool.jsonl", made[:12])


def has_template(directory):
    settings = json.loads((directory / "tokenizer_config.json").read_text("utf-8"))
    return "chat_template" in settings or (directory / "chat_template.jinja").exists()


def asked(prompt):
    return [{"role": "user", "content": prompt}]


def answered(completion):
    return [{"role": "assistant", "content": completion}]


def written(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def python(*arguments, status=0):
    """Run Python without a GPU; what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("trainable", ["all", "lora:4"])
def test_a_run_takes_no_more_memory_than_was_estimated(rows, trainable):
    narrow = dtype_named("auto", torch.device("cpu")) is torch.bfloat16
    estimate = training_memory(DIRECTORY, trainable, longest=128, narrow=narrow).total
    taken = int(python("-c", TRAINING, DIRECTORY, rows, trainable))
    assert taken <= estimate < 3 * taken


@pytest.mark.parametrize("scorer", ["gradient", "rds", "nudge"])
def test_select_finds_the_rows_that_are_the_targets(rows, tmp_path, scorer):
    pool = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    targets = written(tmp_path / "targets.jsonl", [pool[7], pool[2]])
    python(
        "-m", "curate", "select", "--pool", rows, "--targets", targets, "--k", 4,
        "--scorer", scorer, "--model", DIRECTORY, "--leakage", "off", "--output", tmp_path / "out",
    )  # fmt: skip
    chosen = pq.read_table(tmp_path / "out" / "train.parquet").select(list(pool[0])).to_pylist()
    numbers = [pool.index(row) for row in chosen]
    assert len(set(numbers)) == 4
    assert set(numbers) >= {2, 7}


def test_a_record_that_was_killed_ends_in_the_same_bits(rows, tmp_path):
    def record(directory, killed_after=0, status=0):
        return python(
            "-c", COMMAND, killed_after, "record", "--pool", rows, "--evaluation",
            rows.with_name("held_out.jsonl"), "--model", DIRECTORY, "--output", directory,
            "--subsets", 3, "--size", 4, "--repeats", 1, "--epochs", 1, "--batch_size", 2,
            "--trainable", "last:1", "--runner", "direct", "--memory_limit", "99GB", "--quiet",
            status=status,
        )  # fmt: skip

    whole, again = tmp_path / "whole", tmp_path / "again"
    assert record(whole).split()[-1] == "6"
    record(again, killed_after=3, status=-signal.SIGKILL)
    assert list(again.rglob(".*.part")), "the second run's first step is kept"
    assert record(again).split()[-1] == "3"
    assert not list(again.rglob(".*.part"))
    for run in range(3):
        file = f"runs/{run:05}-0.safetensors"
        np.testing.assert_array_equal(
            read_run_file(again / file)[0], read_run_file(whole / file)[0]
        )


# --- in this process, which holds the model from here on ---


@pytest.fixture(scope="module")
def model():
    """In float32; treat it as read-only."""
    return LanguageModel.from_pretrained(DIRECTORY, device="cpu")


def conversations(model, texts=TEXTS):
    """The texts as examples, and as ids and labels that transformers' own calls make of them."""
    tokenizer, examples, made = model.tokenizer, [], []
    for i, (prompt, completion) in enumerate(texts):
        if tokenizer.chat_template:
            row = {"prompt": asked(prompt), "completion": answered(completion)}
            whole = row["prompt"] + row["completion"]
            begin = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)
            ids = tokenizer.apply_chat_template(whole)["input_ids"]
            begin = begin["input_ids"]
        else:
            row = {"prompt": prompt, "completion": completion}
            begin = tokenizer(prompt)["input_ids"]
            ids = tokenizer(prompt + completion + tokenizer.eos_token)["input_ids"]
        assert ids[: len(begin)] == begin
        labels = [IGNORED] * len(begin) + ids[len(begin) :]
        examples.append(normalize(row, index=i))
        made.append({"input_ids": torch.tensor([ids]), "labels": torch.tensor([labels])})
    return examples, made


def own_losses(network, batches):
    """What transformers says of each row alone."""
    with torch.no_grad():
        return np.array([network(**each).loss.item() for each in batches])


def test_losses_are_those_of_transformers(model):
    examples, batches = conversations(model)
    found = completion_losses(model, examples, dtype="float32")
    np.testing.assert_allclose(found, own_losses(model.network, batches), atol=1e-4)


def test_training_ends_in_the_losses_of_a_plain_loop(model):
    recipe = Recipe(epochs=1, learning_rate=1e-5, batch_size=4, precision="float32")
    examples, batches = conversations(model, TEXTS[:8])
    before = own_losses(model.network, batches)
    found = DirectRunner(model, recipe).train([TrainingRun(examples, 0)]).losses(examples)[0]
    network = trained_plainly(model.network, batches, recipe)
    expected = own_losses(network.eval(), batches)
    assert np.abs(expected - before).min() > 5e-3, "the two steps move every loss"
    np.testing.assert_allclose(found, expected, atol=1e-3)


def trained_plainly(network, batches, recipe):
    """A copy after two steps of AdamW, row by row and without padding."""
    network = copy.deepcopy(network).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    order = recipe.order(len(batches), 0)
    for step, members in enumerate(np.split(order, 2)):
        optimizer.param_groups[0]["lr"] = recipe.rate(step, 2)
        optimizer.zero_grad()
        counts = [int((batches[i]["labels"] != IGNORED).sum()) for i in members]
        for i, count in zip(members, counts, strict=True):
            (network(**batches[i]).loss * count / sum(counts)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network
