from __future__ import annotations

import numpy as np
import pytest

from airrep.records import Example
from curate.manifest.provenance import InputRecord, Manifest
from curate.report import gather
from selection.overview import overview
from selection.scores import DenseScores, EmbeddingScores
from selection.selectors import make_selector


@pytest.fixture(scope="session")
def make_insight():
    """What is known of a selection from given scores (T, N), and of rows that say what is given."""

    def build(
        values, k=3, selector="layered_greedy", prompts=None, completions=None, sources=None,
        ids=None, removed=(), weights=None, target_prompts=None,
    ):  # fmt: skip
        values = np.asarray(values, dtype=np.float32)
        targets, rows = values.shape
        pool = [
            Example(
                ids[i] if ids else str(i),
                prompts[i] if prompts else f"prompt {i}",
                completions[i] if completions else f"completion {i}",
                sources[i] if sources else f"source {i % 2}",
                i,
            )
            for i in range(rows)
        ]
        asked = [
            Example(f"t{x}", target_prompts[x] if target_prompts else f"target {x}", "yes", "", x)
            for x in range(targets)
        ]
        names = {"target_ids": [e.id for e in asked], "pool_ids": [e.id for e in pool]}
        scores = DenseScores(values, **names)
        if selector == "herding":
            scores = EmbeddingScores(np.eye(targets), values.T.copy(), **names)
        chooser = make_selector(selector) if isinstance(selector, str) else selector
        chosen = chooser.select(scores, k, weights=weights)
        manifest = Manifest(
            arguments={"k": k, "weights": weights, "pool": "/data/pool.jsonl"},
            inputs={
                "pool": InputRecord("/data/pool.jsonl", rows, "p", []),
                "targets": InputRecord("targets", targets, "t", []),
            },
            encoders=[],
            guard={},
            chosen={
                "scorer": "given",
                "selector": chosen.method,
                "scale": 1.0,
                "fingerprint": "f",
                "constraints": [],
            },
            seconds={"read": 0.25, "score": 1.5, "select": 0.004},
        ).to_dict()
        manifest["inputs"]["pool"] = dict(manifest["inputs"]["pool"])
        return gather(chosen, pool, asked, manifest, overview(scores, chosen.indices), removed)

    return build


@pytest.fixture(scope="session")
def insight(make_insight):
    """60 rows, 4 targets, 12 chosen; the last target's best rows help nobody else."""
    values = np.random.default_rng(0).normal(size=(4, 60))
    return make_insight(values, 12)
