"""The choice of a scale: on validation data, among those at which subsets can be told apart."""

from types import SimpleNamespace

import numpy as np

from airrep.records import Example
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import Attribution, evaluate_methods
from eval_harness.benchmark.config import AttributionConfig
from selection.scores import DenseScores


def test_a_scale_at_which_all_subsets_look_alike_is_not_chosen(tmp_path):
    """Of 0/1 scores, sharp attention sees only whether a subset has any 1; here all have."""
    rng = np.random.default_rng(0)
    examples = [Example(str(i), f"what is {i}?", f"number {i}", row=i) for i in range(52)]
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
    measured = SubsetLosses(part.plan, losses, {}, np.ones((20, 1)))
    ids = ([e.id for e in part.evaluation], [e.id for e in pool])
    scores = DenseScores(same, target_ids=ids[0], pool_ids=ids[1], method="same")
    cost = {"seconds": 1.0, "rows": 1, "bytes_per_row": None}
    files = SimpleNamespace(get=lambda *_: (scores, cost))
    rows, _ = evaluate_methods(part, measured, [SimpleNamespace(name="same")], files)
    assert rows[0]["scale"] == 1
    assert rows[0]["attention"] > 0.9
