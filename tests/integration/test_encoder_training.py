"""A run that is killed ends as it would have, and two processes train what one trains."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

TRAINABLE = ("projector", "all", "lora:2")
PLACES = (Path(__file__).parent, Path(__file__).parents[1])  # of this module and the fixtures
SETTINGS = {
    "dim": 48, "learning_rate": 2e-2, "backbone_learning_rate": 1e-3, "subsets": 24,
    "targets": 16, "distil_rows": 64,
}  # fmt: skip
STEPS = 16
KILLS = 3

ALONE = """
    import sys
    sys.path[:0] = sys.argv[3:]
    from test_encoder_training import killed_again_and_again
    killed_again_and_again(sys.argv[1], sys.argv[2])
"""
TOGETHER = """
    import sys
    from pathlib import Path
    sys.path[:0] = sys.argv[3:]
    from test_encoder_training import trained_exactly
    from airrep.machine.processes import processes, rank

    assert processes() == 2
    trained_exactly(sys.argv[1], Path(sys.argv[2]), rank())
"""


def train(model, place, trainable, **settings):
    """As a program of the user's would: returns the encoder."""
    from conftest import planted_problem

    from airrep.training.config import TrainConfig
    from airrep.training.loop import train_encoder
    from airrep.training.starting_point import starting_point

    made = starting_point(model)
    splits, validation, teacher = planted_problem(made, rows=30, targets=10, subsets=20)
    config = TrainConfig(trainable=trainable, **{**SETTINGS, **settings})
    outcome = train_encoder(
        made, splits, config, place / "run", validation=validation, teacher=teacher
    )
    assert outcome.best > 0
    return outcome.encoder


# --- killed -----------------------------------------------------------------------------------


def killed_again_and_again(model, directory):
    """Each run in a process of its own, which has to read everything anew but the imports."""
    import peft  # noqa: F401 (so that not every process has to)
    import scipy.linalg
    import scipy.stats  # noqa: F401
    from conftest import wait_until
    from transformers import LlamaForCausalLM  # noqa: F401

    import airrep.training.loop  # noqa: F401

    chance = random.Random()
    for trainable in TRAINABLE:
        whole, parts = (Path(directory) / trainable / name for name in ("whole", "parts"))
        began = time.monotonic()
        assert os.waitpid(start(model, whole, trainable), 0)[1] == 0
        took = time.monotonic() - began
        killed = []
        while len(killed) < KILLS and steps_done(parts) < STEPS:
            process = start(model, parts, trainable)
            before = max(killed, default=-1)

            def further(process=process, before=before, parts=parts):
                if steps_done(parts) > before:
                    return True
                assert os.waitpid(process, os.WNOHANG)[0] == 0, "goes on where it was"
                return False

            wait_until(further, f"a step after {before}", 120)
            time.sleep(chance.uniform(0, took / STEPS))  # anywhere in the steps that follow
            os.kill(process, signal.SIGKILL)
            if os.waitpid(process, 0)[1] == signal.SIGKILL:  # else it was done already
                killed.append(steps_done(parts))
        assert os.waitpid(start(model, parts, trainable), 0)[1] == 0
        (Path(directory) / trainable / "killed.json").write_text(json.dumps(killed))


def start(model, place, trainable):
    process = os.fork()
    if process == 0:
        try:
            encoder = train(model, place, trainable, steps=STEPS, evaluate_every=2, patience=99)
            encoder.save_pretrained(place / "encoder")
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return process


def steps_done(place):
    file = place / "run" / "training.json"
    return json.loads(file.read_text())["step"] if file.exists() else -1


@pytest.mark.slow
def test_sigkill_while_training_changes_nothing_but_time(program, tiny_lm, tmp_path):
    done = program(
        ALONE, tiny_lm, tmp_path, *PLACES, OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true"
    )
    assert done.wait() == 0, done.stderr[-3000:]
    for trainable in TRAINABLE:
        place = tmp_path / trainable
        killed = json.loads((place / "killed.json").read_text())
        assert killed
        assert 0 <= min(killed) < STEPS, "in the middle of it"
        whole, parts = place / "whole", place / "parts"
        for file in ("model.safetensors", "config.json", "tokenizer.json"):
            expected = (whole / "encoder" / file).read_bytes()
            assert (parts / "encoder" / file).read_bytes() == expected, file
        for name in ("training.json", "training.safetensors"):
            assert (parts / "run" / name).read_bytes() == (whole / "run" / name).read_bytes()
    projector = [
        load_file(tmp_path / trainable / "whole/encoder/model.safetensors")["projector.weight"]
        for trainable in TRAINABLE
    ]
    assert not np.array_equal(projector[0], projector[1])
    assert not np.array_equal(projector[1], projector[2])


# --- shared -----------------------------------------------------------------------------------


def trained_exactly(model, directory, number):
    """In float32 whatever the CPU is good at; all weights to a file of this process."""
    import torch

    from airrep.training import loop as training
    from airrep.training import student

    patch, load_state = pytest.MonkeyPatch(), training.load_state

    def look(*arguments):
        time.sleep(0.5 * number)  # a process may be late to look for an older run
        return load_state(*arguments)

    patch.setattr(student, "fastest_dtype", lambda device: torch.float32)
    patch.setattr(training, "load_state", look)
    for trainable in TRAINABLE:
        encoder = train(model, directory / trainable, trainable, steps=6, evaluate_every=3)
        weights = {n: w.numpy() for n, w in encoder.model.state_dict().items()}
        np.savez(directory / trainable / f"{number}.npz", **weights)
    patch.undo()


@pytest.mark.slow
def test_two_processes_train_what_one_trains(together, tiny_lm, tmp_path, monkeypatch):
    """As torchrun starts them; each encodes its own share of the rows."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    trained_exactly(tiny_lm, tmp_path / "one", 0)
    together(TOGETHER, tiny_lm, tmp_path / "two", *PLACES)
    for trainable in TRAINABLE:
        history = [
            json.loads((tmp_path / name / trainable / "run/training.json").read_text())["history"]
            for name in ("one", "two")
        ]
        assert [v["step"] for v in history[1]] == [0, 3, 6]
        for alone, together in zip(*history, strict=True):
            assert together["lds"] == pytest.approx(alone["lds"], abs=1e-3)
        alone = dict(np.load(tmp_path / "one" / trainable / "0.npz"))
        two = [dict(np.load(tmp_path / "two" / trainable / f"{i}.npz")) for i in range(2)]
        assert alone.keys() == two[0].keys() == two[1].keys()
        for name, weight in alone.items():
            assert np.array_equal(two[0][name], two[1][name]), "bit for bit between processes"
            np.testing.assert_allclose(two[0][name], weight, rtol=0, atol=1e-5, err_msg=name)
