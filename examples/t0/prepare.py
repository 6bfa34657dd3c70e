"""T0 as pool, targets and test set: the rows behind docs/results.md.

    python examples/t0/prepare.py --data DIRECTORY_OF_T0 --model LANGUAGE_MODEL --output out/t0

Takes T0's own splits (`pool`, `target`, `test`: disjoint by row), keeps rows of at most
--max-tokens tokens of the model to be trained (on two CPU cores longer rows cost too much), draws
--pool-rows of the pool at random, and writes pool.jsonl, targets.jsonl and test.jsonl with the
fields prompt, completion, dataset and template, and a copy of the model, which benchmark.yaml
beside this script expects there.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from airrep import normalize
from airrep.disk.atomic import atomic_file
from airrep.language_model.model import LanguageModel

FIELDS = ("prompt", "completion", "dataset", "template")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, required=True, help="directory that holds t0.parquet")
    options.add_argument(
        "--model", type=Path, required=True, help="directory of the language model to be trained"
    )
    options.add_argument("--output", type=Path, default=Path("out/t0"))
    options.add_argument("--max-tokens", type=int, default=96)
    options.add_argument("--pool-rows", type=int, default=2400)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    model = LanguageModel.from_pretrained(args.model)
    for split, name in (("pool", "pool"), ("target", "targets"), ("test", "test")):
        rows = pq.read_table(args.data / "t0.parquet", filters=[("split", "=", split)]).to_pylist()
        examples = [replace(normalize(row, index=i), row=i) for i, row in enumerate(rows)]
        tokens = model.tokenize(examples)
        fitting = [
            row for row, t in zip(rows, tokens, strict=True) if len(t.ids) <= args.max_tokens
        ]
        if name == "pool":
            rng = np.random.default_rng(args.seed)
            kept = np.sort(rng.choice(len(fitting), args.pool_rows, replace=False))
            fitting = [fitting[i] for i in kept]
        with atomic_file(args.output / f"{name}.jsonl") as temporary:
            lines = [json.dumps({field: row[field] for field in FIELDS}) for row in fitting]
            temporary.write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{args.output / name}.jsonl: {len(fitting):,} of {len(rows):,} rows")
    shutil.copytree(args.model, args.output / "model", dirs_exist_ok=True)


if __name__ == "__main__":
    main()
