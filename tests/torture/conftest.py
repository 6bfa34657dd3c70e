from __future__ import annotations

import json
import shutil

import pytest
import yaml

RECIPE = {"epochs": 1, "learning_rate": 1e-2, "batch_size": 4, "precision": "float32"}
COMMON = {
    "model": "lm", "pool": "pool.jsonl", "targets": "targets.jsonl", "max_tokens": 48, "stack": 4,
    "columns": {"source": "task"}, "recipe": RECIPE,
}  # fmt: skip
TRAIN = {
    **COMMON,
    "supervision": {"splits": 1, "size": 6, "uniform": 6, "few_sources": 0, "selected": 0},
    "encoder": {"max_tokens": 48},
    "training": {"dim": 16, "steps": 6, "evaluate_every": 1, "patience": 9, "subsets": 6,
                 "targets": 8, "distil_rows": 8, "learning_rate": 0.05,
                 "backbone_learning_rate": 0.01},
    "teacher": {"rank": 2, "damping": 30.0},
    "evaluation": {
        "share": 0.5,
        "attribution": {"subsets": 4, "validation_subsets": 4, "size": 6, "repeats": 1,
                        "targets": 5, "validation": 5, "scales": [1]},
        "methods": {"tfidf": {}},
    },
}  # fmt: skip
BENCHMARK = {
    **COMMON, "test": "test.jsonl", "methods": {"tfidf": {}, "bm25": {}},
    "attribution": {"subsets": 4, "validation_subsets": 3, "size": 4, "repeats": 1, "targets": 5,
                    "validation": 5, "scales": [1]},
    "selection": {"budgets": {"present": [4]}, "targets": 3, "evaluation": 4, "seeds": 1,
                  "scorers": ["tfidf"], "selector": "coverage"},
}  # fmt: skip


@pytest.fixture(scope="session")
def inputs(tmp_path_factory, tiny_lm):
    """A folder with a language model, a sentence encoder, rows and configs."""
    import torch
    from transformers import AutoTokenizer

    from airrep import AirRep, AirRepConfig, AirRepModel
    from curate.demo_data import demo_pool, demo_targets

    folder = tmp_path_factory.mktemp("torture")
    shutil.copytree(tiny_lm, folder / "lm")
    tasks = ("email_reply", "sql_query")
    held_out = [demo_targets(task, 20) for task in tasks]
    parts = {
        "pool": [r for r in demo_pool(600) if r["task"] in (*tasks, "dialogue_summary")],
        "targets": [row for rows in held_out for row in rows[:12]],
        "test": [row for rows in held_out for row in rows[12:]],
    }
    for name, rows in parts.items():
        lines = [json.dumps(row) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    config = AirRepConfig(
        vocab_size=512, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AirRepModel(config).eval()
    AirRep(model, AutoTokenizer.from_pretrained(tiny_lm)).save_pretrained(folder / "encoder")
    for name, content in (("train", TRAIN), ("benchmark", BENCHMARK)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder
