"""A few minutes of training, and what they say."""

import json

import numpy as np
import pytest

import curate
from airrep import normalize
from airrep.errors import ArgumentError, OutputError
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from eval_harness.measures.arms import NO_TRAINING, RANDOM, SELECTED, WORDS

POOL, TARGETS = demo_pool(60), demo_targets("email_reply", 10)
FEW = {"k": 4, "epochs": 1, "batch_size": 2, "max_tokens": 48}


@pytest.fixture(scope="module")
def found(tiny_lm, tmp_path_factory):
    output = tmp_path_factory.mktemp("trial")
    return curate.trial(POOL, TARGETS, tiny_lm, output=output, **FEW), output


def test_half_of_the_targets_are_held_out_and_all_arms_are_measured_on_them(found):
    trial, _ = found
    assert (trial.held_out, trial.k) == (5, 4)
    assert [arm.name for arm in trial.arms] == [NO_TRAINING, RANDOM, WORDS, SELECTED]
    assert 1 <= trial.repeats <= 5
    assert [arm.vs_random is None for arm in trial.arms] == [False, True, False, False]


def test_no_training_has_the_losses_of_the_model_as_it_is(found, tiny_lm):
    trial, _ = found
    model = LanguageModel.from_pretrained(tiny_lm, max_tokens=48)
    losses = completion_losses(
        model, [normalize(row, index=i) for i, row in enumerate(TARGETS)], dtype="auto"
    )
    held = np.sort(np.random.default_rng(0).permutation(10)[:5])
    assert trial.arms[0].loss == pytest.approx(losses[held].mean())


def test_it_writes_what_it_says(found):
    trial, output = found
    assert (output / "trial.md").read_text() == str(trial) + "\n"
    written = json.loads((output / "trial.json").read_text())
    assert written["verdict"] == trial.verdict
    assert written["arms"][3]["loss"] == trial.arms[3].loss
    assert (output / "trial.png").read_bytes().startswith(b"\x89PNG")


def test_labels_are_chosen_among_where_there_are_some(tiny_lm):
    pool = [
        {"prompt": f"Is {i} even?", "completion": ["yes", "no"][i % 2], "task": "parity"}
        for i in range(40)
    ]
    targets = [
        {"prompt": f"Is {i} an even number?", "completion": ["yes", "no"][i % 2], "task": "parity"}
        for i in range(100, 116)
    ]
    columns = {"source": "task"}
    trial = curate.trial(pool, targets, tiny_lm, columns=columns, **FEW)
    assert all(0 <= arm.accuracy <= 1 for arm in trial.arms)
    assert "right label" in str(trial)


def test_too_little_time_is_said_before_it_is_spent(tiny_lm):
    with pytest.raises(ArgumentError, match=r"takes about 1 minute, and 1e-06 are allowed"):
        curate.trial(POOL, TARGETS, tiny_lm, minutes=1e-6, **FEW)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"minutes": 0}, "minutes should be a finite number > 0"),
        ({"minutes": float("nan")}, "minutes should be a finite number > 0"),
        ({"k": 0}, "k "),
        ({"k": 100}, "k = 100 is larger than the pool"),
        ({"trainable": "half"}, "trainable 'half' is not understood"),
        ({"targets": TARGETS[:7]}, "7 targets are too few"),
    ],
)
def test_what_cannot_be_is_refused(tiny_lm, options, said):
    given = {"targets": TARGETS, **FEW, **options}
    with pytest.raises(ArgumentError, match=said):
        curate.trial(POOL, model=tiny_lm, **given)


def test_files_of_ones_own_are_not_replaced(tiny_lm, tmp_path):
    (tmp_path / "trial.md").write_text("mine")
    with pytest.raises(OutputError):
        curate.trial(POOL, TARGETS, tiny_lm, output=tmp_path, **FEW)
    assert (tmp_path / "trial.md").read_text() == "mine"


def test_the_command_line(tiny_lm, tmp_path, capsys):
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["trial", "--pool", str(tmp_path / "pool.jsonl"), "--model", str(tiny_lm)]
    words += ["--targets", str(tmp_path / "targets.jsonl"), "--k", "3", "--epochs", "1"]
    assert cli.main([*words, "--minutes", "2", "--max-tokens", "48", "--progress"]) == 0
    said = capsys.readouterr()
    assert "| selected |" in said.out
    assert "held-out targets" in said.out
    assert "trial: 5 held-out targets" in said.err
