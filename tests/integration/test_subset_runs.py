"""Plans of subsets: resumed, shared and refused."""

import os
import random
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from airrep.disk import parts
from airrep.errors import LossError, SupervisionError
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import LanguageModelFormat
from airrep.records import Example
from airrep.supervision import SubsetLosses, run_file
from curate import demo_pool
from eval_harness.runners import stacked
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.direct import DirectRunner
from eval_harness.runners.recipe import Recipe
from eval_harness.runners.stacked import StackedRunner
from eval_harness.runners.trl import TrlRunner
from eval_harness.runs import jobs, subset_runs
from eval_harness.runs.subset_runs import run_subsets
from eval_harness.runs.subsets import Uniform, draw_plan

RECIPE = Recipe(epochs=1, learning_rate=5e-3, batch_size=4, trainable="last:1", precision="float32")


def rows():
    made = demo_pool(50)
    examples = [Example(str(i), r["prompt"], r["completion"]) for i, r in enumerate(made)]
    return examples[:40], examples[40:]


def make_plan(count=6):
    """Of two sizes, two runs a subset."""
    pool, evaluation = rows()
    draws = [(Uniform(8), count), (Uniform(5), count)]
    return draw_plan(pool, evaluation, draws, repeats=2, seed=1)


def make_runner(directory, stack=3):
    model = LanguageModel.from_pretrained(directory, max_tokens=128, device="cpu")
    return StackedRunner(model, RECIPE, stack)


# What another process runs: the same plan; after so many runs, or stacks of them, it rests until a
# file is there.
WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_subset_runs import make_plan, make_runner, rows, subset_runs
def telling(function, what):
    done = []
    def call_and_tell(*arguments):
        function(*arguments)
        done.append(arguments)
        if what == "run": print(arguments[0].name, flush=True)
        while [str(len(done)), what] == sys.argv[4:6] and not Path(sys.argv[6]).exists():
            time.sleep(0.01)
    return call_and_tell
subset_runs.write_run = telling(subset_runs.write_run, "run")
subset_runs._run_stack = telling(subset_runs._run_stack, "stack")
subset_runs.run_subsets(make_plan(), *rows(), make_runner(sys.argv[2]), sys.argv[3])
"""


@pytest.fixture
def start_worker(program, tiny_lm, tmp_path, wait_until):
    """Start one that rests until the file `go` is there, and wait until it has done so much."""

    def start(count, what, go):
        here = os.path.dirname(__file__)  # noqa: PTH120
        worker = program(WORKER, here, tiny_lm, tmp_path, count, what, go)
        runs = count if what == "run" else 3 * count
        wait_until(lambda: worker.stdout.count("\n") == runs, f"{runs} runs", of=worker)
        return worker

    return start


@pytest.fixture(scope="module")
def undisturbed(tiny_lm, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    return run_subsets(make_plan(), *rows(), make_runner(tiny_lm), directory)


@pytest.mark.slow
def test_every_run_is_recorded_with_its_losses(undisturbed, tiny_lm):
    plan, (pool, evaluation) = make_plan(), rows()
    assert undisturbed.values.shape == (12, 2, 10)
    assert (undisturbed.seconds > 0).all()
    trl = TrlRunner(make_runner(tiny_lm).model, RECIPE)
    for subset, repeat in [(0, 0), (3, 1), (11, 1)]:
        examples = [pool[i] for i in plan.subsets[subset]]
        run = TrainingRun(examples, plan.run_seed(subset, repeat))
        found = trl.train([run]).losses(evaluation)[0]
        np.testing.assert_allclose(undisturbed.values[subset, repeat], found, atol=1e-4, rtol=0)
    untrained = completion_losses(trl.model, evaluation, dtype="float32")
    assert np.abs(undisturbed.values - untrained).max() > 0.01
    assert undisturbed.provenance["trainable"] == "last:1"


@pytest.mark.isa
def test_killed_after_any_run_and_resumed_it_gives_the_same_bits(
    undisturbed, tiny_lm, tmp_path, start_worker
):
    plan = make_plan()
    killed = start_worker(random.randrange(1, 24), "run", tmp_path / "never")
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    done = {run for run in plan.runs if run_file(tmp_path, *run).exists()}
    assert 0 < len(done) < len(plan.runs)
    with pytest.raises(SupervisionError, match=f"{24 - len(done)} of 24 runs are missing"):
        SubsetLosses.load(tmp_path)
    kept = {run: run_file(tmp_path, *run).stat().st_mtime_ns for run in done}

    resumed = run_subsets(plan, *rows(), make_runner(tiny_lm), tmp_path)
    assert resumed.values.tobytes() == undisturbed.values.tobytes()
    again = {run for run in done if run_file(tmp_path, *run).stat().st_mtime_ns != kept[run]}
    assert len(again) <= 2, "at most the stack that was being written is trained again"


@pytest.mark.slow
def test_two_processes_share_a_plan(undisturbed, tiny_lm, tmp_path, monkeypatch, start_worker):
    mine, go = [], tmp_path / "go"
    write = subset_runs.write_run

    def write_and_tell(file, *arguments):
        write(file, *arguments)
        mine.append(file.name)
        go.touch()

    monkeypatch.setattr(subset_runs, "write_run", write_and_tell)
    monkeypatch.setattr(jobs, "_PATIENCE", 0.05)
    runner = make_runner(tiny_lm)
    other = start_worker(1, "stack", go)
    found = run_subsets(make_plan(), *rows(), runner, tmp_path)
    assert other.wait() == 0, other.stderr
    theirs = other.stdout.split()
    assert found.values.tobytes() == undisturbed.values.tobytes()
    assert len(mine) + len(theirs) == 24, "each run was trained once"
    assert mine
    assert theirs


def test_of_two_recipes_that_begin_at_once_one_is_refused(tiny_lm, tmp_path, monkeypatch):
    """The other's first run is written while this one's are being trained."""
    train, plan, runner = StackedRunner.train, make_plan(3), make_runner(tiny_lm)
    other = StackedRunner(runner.model, replace(RECIPE, learning_rate=1e-3), 3)

    def train_while_another_does(runner, runs):
        monkeypatch.setattr(StackedRunner, "train", train)
        subset_runs._run_stack(plan, *rows(), other, tmp_path, plan.runs[-1:])
        return train(runner, runs)

    monkeypatch.setattr(StackedRunner, "train", train_while_another_does)
    with pytest.raises(SupervisionError, match=r"runs trained otherwise \(learning_rate is 0.001"):
        run_subsets(plan, *rows(), runner, tmp_path)
    assert [run for run in plan.runs if run_file(tmp_path, *run).exists()] == plan.runs[-1:]


def test_finished_runs_are_not_repeated(undisturbed, tiny_lm, tmp_path, monkeypatch):
    plan, runner = make_plan(1), make_runner(tiny_lm)
    first = run_subsets(plan, *rows(), runner, tmp_path)
    monkeypatch.setattr(runner, "train", None)
    again = run_subsets(plan, *rows(), runner, tmp_path)
    assert first.values.tobytes() == again.values.tobytes()


def test_what_the_directory_is_bound_to(tiny_lm, tmp_path):
    plan, (pool, evaluation) = make_plan(1), rows()
    runner = make_runner(tiny_lm)
    run_subsets(plan, pool, evaluation, runner, tmp_path)
    warmer = StackedRunner(runner.model, replace(RECIPE, learning_rate=1.0))
    with pytest.raises(SupervisionError, match=r"trained otherwise \(stack is 3, this run's is 8"):
        run_subsets(plan, pool, evaluation, warmer, tmp_path)
    warmer = StackedRunner(runner.model, replace(RECIPE, learning_rate=1.0), 3)
    with pytest.raises(SupervisionError, match=r"learning_rate is 0.005, this run's is 1.0"):
        run_subsets(plan, pool, evaluation, warmer, tmp_path)
    other = replace(runner.model, format=LanguageModelFormat(max_tokens=64))
    with pytest.raises(SupervisionError, match="holds losses of another model"):
        run_subsets(plan, pool, evaluation, StackedRunner(other, RECIPE, 3), tmp_path)
    with pytest.raises(SupervisionError, match="holds the runs of another plan"):
        run_subsets(make_plan(2), pool, evaluation, runner, tmp_path)
    changed = [*pool[:4], replace(pool[4], completion="changed"), *pool[5:]]
    with pytest.raises(SupervisionError, match=r"position 4 \(id '4'\)"):
        run_subsets(plan, changed, evaluation, runner, tmp_path)
    file = run_file(tmp_path, 1, 1)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(SupervisionError, match=r"00001-1.*damaged .*delete it, and the run is rep"):
        run_subsets(plan, pool, evaluation, runner, tmp_path)
    file.unlink()
    run_subsets(plan, pool, evaluation, runner, tmp_path)


class Broken:
    """A runner whose second model has no loss for the fourth example."""

    def __init__(self, runner):
        self.runner, self.name, self.stack = runner, runner.name, runner.stack
        self.way = runner.way
        self.model, self.recipe = runner.model, runner.recipe

    def train(self, runs):
        trained = self.runner.train(runs)
        found = trained.losses
        trained.losses = lambda examples: _without(found(examples))
        return trained


def _without(losses):
    losses[1, 3] = np.nan
    return losses


def test_a_loss_that_is_no_number_names_example_and_run(tiny_lm, tmp_path):
    plan, (pool, evaluation) = make_plan(1), rows()
    message = (
        rf"evaluation example 3 \(id '43'\) is nan after the run on subset 0, repeat 1 \(seed "
        rf"{plan.run_seed(0, 1)}\); lower the learning rate"
    )
    with pytest.raises(LossError, match=message):
        run_subsets(plan, pool, evaluation, Broken(make_runner(tiny_lm)), tmp_path)
    assert run_file(tmp_path, 0, 0).exists()
    assert not run_file(tmp_path, 0, 1).exists()
    run_subsets(plan, pool, evaluation, make_runner(tiny_lm), tmp_path)


@pytest.mark.slow
def test_weights_that_overflow_name_example_and_run(tiny_lm, tmp_path):
    """The one step's own loss is finite; what it makes of the weights is not."""
    plan, (pool, evaluation) = make_plan(1), rows()
    model = make_runner(tiny_lm).model
    once = replace(RECIPE, learning_rate=1e37, batch_size=32)
    for runner in (StackedRunner(model, once), TrlRunner(model, once)):
        directory = tmp_path / runner.name
        with pytest.raises(LossError, match=r"example 0 .*subset 0, repeat 0|subset 0.*example 0 "):
            run_subsets(plan, pool, evaluation, runner, directory)


@pytest.mark.slow
def test_a_stack_that_is_interrupted_goes_on_where_it_was(tiny_lm, tmp_path, monkeypatch):
    """In training and, after it, in measuring: what was written is not done again."""
    pool, evaluation = rows()
    plan = make_plan(1)  # a stack of 6 steps and one of 4
    runner = StackedRunner(make_runner(tiny_lm).model, replace(RECIPE, epochs=3), 3)
    monkeypatch.setattr(stacked, "_EVALUATED_AT_ONCE", 256)
    whole = run_subsets(plan, pool, evaluation, runner, tmp_path / "whole")
    now, steps, batches, stop = [0.0], [], [], {}

    def counting(function, seen, name):
        def counted(*given):
            now[0] += 8.0
            if len(seen) == stop.get(name):
                raise KeyboardInterrupt
            seen.append(1)
            return function(*given)

        return counted

    def interrupted(**at):
        stop.clear()
        stop.update(at)
        with pytest.raises(KeyboardInterrupt):
            run_subsets(plan, pool, evaluation, runner, tmp_path / "cut")

    monkeypatch.setattr(parts, "clock", lambda: now[0])
    monkeypatch.setattr(stacked, "_clip", counting(stacked._clip, steps, "step"))
    put = counting(parts.KeptRows.put, batches, "batch")
    monkeypatch.setattr(parts.KeptRows, "put", put)
    interrupted(step=5)  # of which four were written
    interrupted(batch=2)
    assert len(steps) == 5 + 2
    stop.clear()
    resumed = run_subsets(plan, pool, evaluation, runner, tmp_path / "cut")
    assert resumed.values.tobytes() == whole.values.tobytes()
    assert len(steps) == 5 + 2 + 4
    there = len(batches)
    run_subsets(plan, pool, evaluation, runner, tmp_path / "again")
    assert len(batches) == 2 * there, "no batch was measured twice"
    assert not list((tmp_path / "cut" / "runs").glob(".*.part"))


def test_a_direct_run_that_is_interrupted_goes_on_where_it_was(tiny_lm, tmp_path, monkeypatch):
    pool, evaluation = rows()
    plan = make_plan(1)
    runner = DirectRunner(make_runner(tiny_lm).model, replace(RECIPE, epochs=3))
    whole = run_subsets(plan, pool, evaluation, runner, tmp_path / "whole")
    now, steps, backward = [0.0], [], DirectRunner._backward

    def slow(self, *given):
        now[0] += 8.0
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        return backward(self, *given)

    monkeypatch.setattr(parts, "clock", lambda: now[0])
    monkeypatch.setattr(DirectRunner, "_backward", slow)
    with pytest.raises(KeyboardInterrupt):
        run_subsets(plan, pool, evaluation, runner, tmp_path / "cut")
    total = sum(runner.recipe.steps(len(plan.subsets[subset])) for subset, _ in plan.runs)
    steps.extend([0] * 100)
    resumed = run_subsets(plan, pool, evaluation, runner, tmp_path / "cut")
    assert resumed.values.tobytes() == whole.values.tobytes()
    assert 5 < sum(steps) <= total + 1, "what was written is not done again"
    assert not list((tmp_path / "cut" / "runs").glob(".*.part"))


@pytest.mark.parametrize("kind", [DirectRunner, StackedRunner, TrlRunner])
def test_training_that_diverges_names_the_run(kind, tiny_lm, tmp_path):
    plan, (pool, evaluation) = make_plan(1), rows()
    runner = kind(make_runner(tiny_lm).model, replace(RECIPE, learning_rate=1e37))
    seed = plan.run_seed(0, 0)
    message = rf"training on subset 0, repeat 0 \(seed {seed}\).*{seed}.*loss is (nan|inf)"
    with pytest.raises(LossError, match=message):
        run_subsets(plan, pool, evaluation, runner, tmp_path)


def test_progress_is_counted_in_runs(tiny_lm, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("airrep.console.progress._FIRST", 0.0)
    runner = make_runner(tiny_lm)
    run_subsets(make_plan(1), *rows(), runner, tmp_path, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.search(r"^runs: (\d+) of \1 steps \(100%\), .*, 4 of 4 runs$", err, re.M)
    run_subsets(make_plan(1), *rows(), runner, tmp_path)
    assert capfd.readouterr().err == ""


def test_the_model_is_left_alone(tiny_lm, tmp_path):
    runner = make_runner(tiny_lm)
    before = {name: weight.clone() for name, weight in runner.model.network.state_dict().items()}
    run_subsets(make_plan(1), *rows(), runner, tmp_path)
    after = runner.model.network.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
