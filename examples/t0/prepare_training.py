"""The rows that the shipped encoder learns from and is tested on; run after prepare.py.

    python examples/t0/prepare_training.py --data DIRECTORY_OF_T0 --prepared out/t0

Eleven sources (HELD_OUT) appear in nothing that is trained on. Writes, below --prepared:

    train/pool.jsonl      seen sources, rows of T0's `pool` split that are not in pool.jsonl
    train/targets.jsonl   examples whose losses are measured: a part of those rows, and a part of
                          the seen sources' rows of targets.jsonl
    seen/                 pool, targets (those not trained on) and test of the seen sources
    unseen/               pool, targets and test of the held-out sources
    flan_cot/             the same from FLAN's chain-of-thought files
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from airrep import normalize
from airrep.disk.atomic import atomic_file
from airrep.language_model.model import LanguageModel

FIELDS = ("prompt", "completion", "dataset", "template")
# One or more of every kind of task, chosen before anything was trained.
HELD_OUT = {
    "app_reviews", "commonsense_qa", "dbpedia_14", "dream", "glue_mrpc", "imdb", "quarel",
    "samsum", "sciq", "wiki_qa", "xsum",
}  # fmt: skip
Rows = list[dict[str, Any]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--prepared", type=Path, default=Path("out/t0"))
    options.add_argument("--max-tokens", type=int, default=96)
    options.add_argument("--pool-targets", type=int, default=560)
    options.add_argument("--kept-targets", type=float, default=0.4)
    options.add_argument("--flan-rows", type=int, default=1500)
    args = options.parse_args()
    model = LanguageModel.from_pretrained(args.prepared / "model")
    rng = np.random.default_rng(0)
    files = {name: read(args.prepared / f"{name}.jsonl") for name in ("pool", "targets", "test")}
    seen = {name: [r for r in rows if not held_out(r)] for name, rows in files.items()}
    unseen = {name: [r for r in rows if held_out(r)] for name, rows in files.items()}

    whole = pq.read_table(args.data / "t0.parquet", filters=[("split", "=", "pool")]).to_pylist()
    known = {(r["prompt"], r["completion"]) for r in files["pool"]}
    fitting = short(model, whole, args.max_tokens)
    rest = [r for r in fitting if (r["prompt"], r["completion"]) not in known]
    unseen["pool"] = [r for r in fitting if held_out(r)]
    trainable = shuffled([r for r in rest if not held_out(r)], rng)
    kept = round(args.kept_targets * len(seen["targets"]))
    order = shuffled(seen["targets"], rng)
    seen["targets"], learned = order[:kept], order[kept:]
    count = args.pool_targets
    train = {"pool": trainable[count:], "targets": shuffled(learned + trainable[:count], rng)}

    flan = pq.read_table(args.data / "flan_cot.parquet").to_pylist()
    flan = [
        {**r, "template": r["dataset"]} for r in shuffled(short(model, flan, args.max_tokens), rng)
    ]
    flan_cot = {
        "pool": flan[: args.flan_rows],
        "targets": flan[args.flan_rows : args.flan_rows + 300],
        "test": flan[args.flan_rows + 300 : args.flan_rows + 600],
    }
    for folder, parts in (
        ("train", train), ("seen", seen), ("unseen", unseen), ("flan_cot", flan_cot)
    ):  # fmt: skip
        for name, rows in parts.items():
            write(args.prepared / folder / f"{name}.jsonl", rows)


def held_out(row: dict[str, Any]) -> bool:
    return row["dataset"] in HELD_OUT


def read(file: Path) -> Rows:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def short(model: LanguageModel, rows: Rows, most: int) -> Rows:
    """Rows of at most so many tokens."""
    examples = [replace(normalize(row, index=i), row=i) for i, row in enumerate(rows)]
    lengths = [len(tokens.ids) for tokens in model.tokenize(examples)]
    return [row for row, length in zip(rows, lengths, strict=True) if length <= most]


def shuffled(rows: Rows, rng: np.random.Generator) -> Rows:
    return [rows[i] for i in rng.permutation(len(rows))]


def write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_file(file) as temporary:
        lines = [json.dumps({field: row[field] for field in FIELDS}) for row in rows]
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{file}: {len(rows):,} rows of {len({row['dataset'] for row in rows})} sources")


if __name__ == "__main__":
    main()
