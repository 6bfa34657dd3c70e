"""A training run on disk."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from airrep.disk.sealed import read_sealed
from airrep.errors import OutputError, SupervisionError
from airrep.training.state import Progress, Validated, load_state, save_state

FILE = "training.safetensors"


class Run:
    """Three weights; the second gets a gradient every third step only, the last never."""

    def __init__(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.weights = {
                "matrix": nn.Parameter(torch.randn(4, 4)),
                "rare": nn.Parameter(torch.randn(3)),
                "never": nn.Parameter(torch.randn(2)),
            }
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=0.1, weight_decay=0.0)
        self.progress = Progress()

    def step(self):
        self.optimizer.zero_grad()
        number = self.progress.step
        self.weights["matrix"].grad = torch.cos(self.weights["matrix"].detach() * (number + 1))
        if number % 3 == 2:
            self.weights["rare"].grad = torch.sin(self.weights["rare"].detach() + number)
        self.optimizer.step()
        self.progress.step += 1

    def validate(self):
        loss = None if self.progress.step == 0 else 0.5
        self.progress.history.append(Validated(self.progress.step, loss, 0.1 * self.progress.step))
        self.progress.best = self.progress.step
        self.progress.weights = {n: w.detach().clone() for n, w in self.weights.items()}

    def save(self, directory, fingerprint="this run"):
        save_state(directory, fingerprint, self.progress, self.weights, self.optimizer)

    def load(self, directory, fingerprint="this run"):
        self.progress = load_state(directory, fingerprint, self.weights, self.optimizer)
        return self


def steps(run, count):
    for _ in range(count):
        run.step()
    return run


@pytest.mark.parametrize("done", [0, 1, 2, 4, 7])
def test_a_run_that_is_taken_up_ends_as_it_would_have(tmp_path, done):
    """Bit for bit, also of weights that the optimizer has seen less often than the others."""
    whole = steps(Run(), 9)
    killed = steps(Run(), done)
    killed.validate()
    killed.save(tmp_path)
    resumed = Run().load(tmp_path)
    assert resumed.progress.step == done
    assert resumed.progress.history == killed.progress.history
    assert resumed.progress.best == done
    for name, weight in killed.weights.items():
        assert torch.equal(resumed.progress.weights[name], weight)
    steps(resumed, 9 - done)
    for name, weight in whole.weights.items():
        assert torch.equal(resumed.weights[name], weight), name


def test_nothing_there_begins_a_run(tmp_path):
    run = Run()
    before = {n: w.detach().clone() for n, w in run.weights.items()}
    assert load_state(tmp_path / "new", "any", run.weights, run.optimizer) == Progress()
    assert all(torch.equal(before[n], w) for n, w in run.weights.items())
    assert not (tmp_path / "new").exists()


def test_the_figures_so_far_can_be_read(tmp_path):
    run = Run()
    run.validate()
    steps(run, 2).validate()
    run.save(tmp_path)
    assert read_sealed(tmp_path / "training.json") == {
        "format": 2,
        "fingerprint": "this run",
        "step": 2,
        "best": 2,
        "history": [{"step": 0, "loss": None, "lds": 0.0}, {"step": 2, "loss": 0.5, "lds": 0.2}],
        "losses": [],
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["training.json", FILE]


def test_the_figures_are_not_what_a_run_is_taken_up_from(tmp_path):
    """A kill between the two files leaves them one validation apart."""
    run = Run()
    run.validate()
    run.save(tmp_path)
    (tmp_path / "training.json").write_text("{")
    assert Run().load(tmp_path).progress.history == run.progress.history


def test_another_run_is_refused_and_left_alone(tmp_path):
    run = steps(Run(), 1)
    run.validate()
    run.save(tmp_path)
    kept = (tmp_path / FILE).read_bytes()
    with pytest.raises(
        OutputError, match="other data or with other settings; use another directory"
    ):
        Run().load(tmp_path, "another run")
    assert (tmp_path / FILE).read_bytes() == kept


def edit(directory, change, metadata=None):
    file = directory / FILE
    tensors = load_file(file)
    change(tensors)
    described = {
        "fingerprint": "this run", "step": 2, "best": 2,
        "history": [{"step": 2, "loss": 0.5, "lds": 0.2}], **(metadata or {}),
    }  # fmt: skip
    save_file(tensors, file, {"state": json.dumps(described)})


DAMAGES = {
    "empty": lambda d: (d / FILE).write_bytes(b""),
    "no safetensors": lambda d: (d / FILE).write_text("{}" * 100),
    "cut short": lambda d: (d / FILE).write_bytes((d / FILE).read_bytes()[:-40]),
    "no description": lambda d: save_file(load_file(d / FILE), d / FILE),
    "description of another kind": lambda d: save_file(
        load_file(d / FILE), d / FILE, {"state": "[1]"}
    ),
    "description cut short": lambda d: save_file(load_file(d / FILE), d / FILE, {"state": "{"}),
    "no weight": lambda d: edit(d, lambda t: t.pop("weight.rare")),
    "weight of another shape": lambda d: edit(
        d, lambda t: t.update({"weight.matrix": torch.ones(1)})
    ),
    "no best weight": lambda d: edit(d, lambda t: t.pop("best.matrix")),
    "no moment": lambda d: edit(d, lambda t: t.pop("exp_avg_sq.matrix")),
    "unknown figure": lambda d: edit(d, lambda t: None, {"history": [{"step": 0, "f1": 1}]}),
    "no step": lambda d: edit(d, lambda t: None, {"step": None}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(tmp_path, damage):
    run = steps(Run(), 2)
    run.validate()
    run.save(tmp_path)
    Run().load(tmp_path)
    DAMAGES[damage](tmp_path)
    with pytest.raises(SupervisionError, match=f"{FILE}: the training run is damaged .*delete the"):
        Run().load(tmp_path)


def test_every_bit_of_the_state_counts_and_figures_come_back(tmp_path):
    from airrep.training.state import check_state, write_figures

    run = steps(Run(), 2)
    run.validate()
    run.save(tmp_path)
    (tmp_path / "training.json").unlink()
    write_figures(tmp_path)
    assert read_sealed(tmp_path / "training.json")["step"] == 2
    file = tmp_path / FILE
    content = file.read_bytes()
    before, weights = check_state(tmp_path)
    for at in range(0, len(content), 7):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            found, tensors = check_state(tmp_path)
        except SupervisionError:
            continue
        assert found == before, "or it means nothing"
        assert all(tensors[name].equal(weights[name]) for name in weights)


def test_a_state_of_before_there_were_digests_and_one_of_a_later_version(tmp_path):
    run = steps(Run(), 2)
    run.validate()
    run.save(tmp_path)
    described = read_sealed(tmp_path / "training.json")
    del described["format"], described["losses"]
    save_file(load_file(tmp_path / FILE), tmp_path / FILE, {"state": json.dumps(described)})
    assert Run().load(tmp_path).progress.step == 2
    described["format"] = 3
    save_file(load_file(tmp_path / FILE), tmp_path / FILE, {"state": json.dumps(described)})
    with pytest.raises(SupervisionError, match="format 3 is of a later version"):
        Run().load(tmp_path)
