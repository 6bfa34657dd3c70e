"""The choice of a scale: on validation data, among those at which subsets can be told apart."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from airrep.records import Example
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import Attribution, evaluate_methods
from eval_harness.benchmark.config import AttributionConfig
from selection.scores import DenseScores


def numbered(count):
    return [Example(str(i), f"what is {i}?", f"number {i}", row=i) for i in range(count)]


def evaluated(part, values, losses):
    measured = SubsetLosses(part.plan, losses, {}, np.ones(losses.shape[:2]))
    ids = ([e.id for e in part.evaluation], [e.id for e in part.pool])
    scores = DenseScores(values, target_ids=ids[0], pool_ids=ids[1], method="same")
    cost = {"seconds": 1.0, "rows": 1, "bytes_per_row": None}
    files = SimpleNamespace(get=lambda *_: (scores, cost))
    return evaluate_methods(part, measured, [SimpleNamespace(name="same")], files)[0][0]


def test_tasks_may_be_foreseen_where_their_targets_are_not(tmp_path):
    """Losses that go up for one target of a pair when they go down for the other by less."""
    rng = np.random.default_rng(0)
    examples = numbered(60)
    sources = [*["odd"] * 6, *["even"] * 6, *["rare"] * 3]
    test = [replace(e, source=s) for e, s in zip(examples[45:], sources, strict=True)]
    config = AttributionConfig(
        subsets=12, validation_subsets=3, size=20, repeats=1, targets=15, validation=5, scales=[1]
    )
    part = Attribution.draw(config, examples[:40], examples[40:45], test, tmp_path, seed=0)
    values = rng.random((20, 40)).astype(np.float32)
    helped = part.predictions(SimpleNamespace(values=lambda: values), "test", "attention", 1)
    noise = rng.normal(size=helped.shape)
    tested = [part.evaluation[i].source for i in part.plan.roles["test"]]
    for source in ("odd", "even"):
        own = [i for i, each in enumerate(tested) if each == source]
        noise[:, own] -= noise[:, own].mean(axis=1, keepdims=True)  # none of it in a task's mean
    losses = rng.random((15, 1, 20))
    losses[np.ix_(range(3, 15), [0], part.plan.roles["test"])] = (noise - helped)[:, None, :]
    found = evaluated(part, values, losses)
    assert found["tasks"] == 2
    assert found["task"] > 0.99
    assert found["attention"] < 0.6
    alone = replace(part, evaluation=[replace(e, source="") for e in part.evaluation])
    assert "task" not in evaluated(alone, values, losses)


def test_a_scale_at_which_all_subsets_look_alike_is_not_chosen(tmp_path):
    """Of 0/1 scores, sharp attention sees only whether a subset has any 1; here all have."""
    rng = np.random.default_rng(0)
    examples = numbered(52)
    pool, targets, test = examples[:40], examples[40:46], examples[46:]
    config = AttributionConfig(
        subsets=12, validation_subsets=8, size=20, repeats=1, targets=6, validation=6,
        scales=[2000, 1],
    )  # fmt: skip
    part = Attribution.draw(config, pool, targets, test, tmp_path, seed=0)
    same = np.zeros((12, 40), dtype=np.float32)
    same[:, ::2] = 1
    helpful = np.array([same[0][rows].sum() for rows in part.plan.subsets])
    losses = -helpful[:, None, None] + 0.01 * rng.random((20, 1, 12))
    found = evaluated(part, same, losses)
    assert found["scale"] == 1
    assert found["attention"] > 0.9
