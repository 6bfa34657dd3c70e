"""The long commands, on tiny inputs, and what of their output has to be the same bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml
from safetensors import safe_open
from safetensors.numpy import load_file

# What a run says of itself and not of its result: times, and digests of files that hold times.
_OF_THE_RUN = {
    "seconds", "created", "digest", "content", "files", "encoders", "teacher_seconds",
    "select_seconds", "train_seconds",
}  # fmt: skip
_NOT_COMPARED = {"results.md", "README.md", "checksums.json", "config.json", "inputs.json"}
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
Results = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A command: its name, its arguments for (inputs, output), and where below a place that is."""

    name: str
    arguments: Callable[[Path, Path], list[str]]
    output: str

    def command(self, inputs: Path, place: Path) -> list[str]:
        quiet = [] if self.name == "report" else ["--progress", "false"]
        return [self.name, *self.arguments(inputs, place / self.output), *quiet]


def _embed(inputs: Path, out: Path) -> list[str]:
    return ["--pool", f"{inputs}/pool.jsonl", "--store", f"{out}", "--encoder", f"{inputs}/encoder"]


def _record(inputs: Path, out: Path) -> list[str]:
    return [
        "--pool", f"{inputs}/pool.jsonl", "--evaluation", f"{inputs}/test.jsonl",
        "--model", f"{inputs}/lm", "--output", f"{out}", "--subsets", "5", "--size", "6",
        "--repeats", "2", "--epochs", "1", "--batch_size", "4", "--stack", "2",
        "--precision", "float32", "--max_tokens", "48", "--learning_rate", "0.01",
    ]  # fmt: skip


def _select(inputs: Path, out: Path) -> list[str]:
    return [
        "--pool", f"{inputs}/pool.jsonl", "--targets", f"{inputs}/targets.jsonl", "--k", "10",
        "--encoder", f"{inputs}/encoder", "--output", f"{out}",
    ]  # fmt: skip


def _fit(inputs: Path, out: Path) -> list[str]:
    return [
        "--pool", f"{inputs}/pool.jsonl", "--model", f"{inputs}/lm", "--output", f"{out}",
        "--dim", "8", "--max_tokens", "48",
    ]  # fmt: skip


def _demo(_: Path, out: Path) -> list[str]:
    return ["--output", f"{out}", "--rows", "60", "--k", "4", "--targets", "2"]


STAGES = {
    stage.name: stage
    for stage in (
        Stage("embed", _embed, "store"),
        Stage("record", _record, "runs"),
        Stage("select", _select, "chosen"),
        Stage("report", lambda i, o: [f"{i}/chosen", "--output", f"{o}"], "report.html"),
        Stage("benchmark", lambda i, o: [f"{i}/benchmark.yaml", "--output", f"{o}"], "benchmark"),
        Stage("train", lambda i, o: [f"{i}/train.yaml", "--output", f"{o}"], "trained"),
        Stage("fit", _fit, "fitted"),
        Stage("demo", _demo, "demo"),
    )
}


def make_inputs(folder: Path, language_model: Path) -> None:
    """Fill a folder with what the commands read: two models, rows and configs."""
    import torch
    from transformers import AutoTokenizer

    from airrep import AirRep, AirRepConfig, AirRepModel
    from curate.demo_data import demo_pool, demo_targets

    shutil.copytree(language_model, folder / "lm")
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
    AirRep(model, AutoTokenizer.from_pretrained(language_model)).save_pretrained(folder / "encoder")
    for name, content in (("train", TRAIN), ("benchmark", BENCHMARK)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def results(place: Path) -> Results:
    """Everything below a place, without times: file to content."""
    found: Results = {}
    for manifest in sorted(place.rglob("manifest.json")):
        if "shards" in (content := json.loads(manifest.read_text("utf-8"))):
            found[str(manifest.relative_to(place))] = _store(manifest.parent, content)
    for file in sorted(place.rglob("*")):
        inside = file.relative_to(place)
        hidden = any(part.startswith(".") for part in inside.parts)
        if str(inside) in found or file.name.startswith("shard-"):
            continue
        if file.is_file() and not hidden and file.name not in _NOT_COMPARED:
            found[str(inside)] = _content(file, place)
    return found


def differences(one: Results, other: Results) -> list[str]:
    """Files that are in one only, or differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _store(directory: Path, manifest: dict[str, Any]) -> Results:
    """Embeddings by their text's digest: a shard that was dropped comes back under another name."""
    rows = {}
    for shard in manifest["shards"]:
        table = pq.read_table(directory / f"{shard['name']}.parquet").to_pylist()
        values = np.load(directory / f"{shard['name']}.npy")
        for entry, vector in zip(table, values, strict=True):
            rows[entry["digest"].hex()] = (entry["id"], vector.tobytes())
    return {**{k: manifest[k] for k in ("encoder", "template", "dim", "dtype")}, "rows": rows}


def _content(file: Path, place: Path) -> Any:
    if file.suffix == ".json":
        return _timeless(json.loads(file.read_text("utf-8").replace(str(place), "PLACE")))
    if file.suffix == ".safetensors":
        with safe_open(file, framework="numpy") as opened:
            about = opened.metadata() or {}
        facts = {k: _timeless(json.loads(v)) for k, v in about.items() if k in ("facts", "state")}
        tensors = load_file(file)
        return facts, {k: (v.shape, str(v.dtype), v.tobytes()) for k, v in sorted(tensors.items())}
    if file.name in ("attribution.parquet", "trials.parquet"):
        table = pd.read_parquet(file)
        kept = [name for name in table if "seconds" not in name]
        return [_plain(row) for row in table[kept].to_dict("records")]
    return file.read_bytes()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.tobytes() if isinstance(v, np.ndarray) else repr(v) for k, v in row.items()}


def _timeless(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _timeless(v) for k, v in content.items() if k not in _OF_THE_RUN}
    if isinstance(content, list):
        return [_timeless(each) for each in content]
    return content
