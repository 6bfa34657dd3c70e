"""The long commands, on tiny inputs, and what of their output has to be the same bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.numpy import load_file

# What a run says of itself and not of its result: times, and digests of files that hold times.
_OF_THE_RUN = {
    "seconds", "created", "digest", "content", "files", "encoders", "teacher_seconds",
    "select_seconds", "train_seconds",
}  # fmt: skip
_NOT_COMPARED = {"results.md", "README.md", "checksums.json", "config.json", "inputs.json"}
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


STAGES = {
    stage.name: stage
    for stage in (
        Stage("embed", _embed, "store"),
        Stage("record", _record, "runs"),
        Stage("select", _select, "chosen"),
        Stage("report", lambda i, o: [f"{i}/chosen", "--output", f"{o}"], "report.html"),
        Stage("benchmark", lambda i, o: [f"{i}/benchmark.yaml", "--output", f"{o}"], "benchmark"),
        Stage("train", lambda i, o: [f"{i}/train.yaml", "--output", f"{o}"], "trained"),
    )
}


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
            found[str(inside)] = _content(file)
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


def _content(file: Path) -> Any:
    if file.suffix == ".json":
        return _timeless(json.loads(file.read_text("utf-8")))
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
