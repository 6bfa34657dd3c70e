"""Of two scorers, how many rows must the first propose for the second to choose as if it saw all?

    python examples/benchmarks/cascade.py [--model DIRECTORY] [--data DIRECTORY_OF_T0]

A pool of T0, and 20 targets of each of several sources in turn, which are not in the pool. The dear
scorer scores the whole pool once. Then cheap ones propose a share of the rows, and k rows are
chosen among these by the dear scorer's scores, as `curate.select(..., rescore=...)` chooses them.

    the same rows     share of the k rows that the dear scorer chooses from the whole pool
    mean score        of the k rows by the dear scorer, where 0 is the whole pool's mean and 1 that
                      of the rows that it chooses from the whole pool
    late              share of the k rows that are of the last tenth of the proposed ones, which
                      `select` reports as well
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core is what is measured

import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from reporting import ROOT, Report, Spread, Table, find_data, machine, parser

import curate
from airrep import normalize
from airrep.language_model.model import LanguageModel
from selection.scorers.registry import SCORERS

SHARES = [0.02, 0.05, 0.1, 0.2, 0.5]
SOURCES = ["common_gen", "glue_qqp", "quartz", "samsum", "sciq"]
TARGETS = 20


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", default=str(ROOT.parent / "shared" / "lab" / "lm"))
    options.add_argument("--pool", type=int, default=3000)
    options.add_argument("--k", type=int, default=100)
    options.add_argument("--dear", default="gradient_adam")
    options.add_argument("--cheap", nargs="+", default=["airrep", "tfidf", "random"])
    options.add_argument("--sources", nargs="+", default=SOURCES)
    options.add_argument("--shares", nargs="+", type=float, default=SHARES)
    args = options.parse_args()
    if not Path(args.model).is_dir():
        print(f"skipped: there is no language model in {args.model}; name one with --model.")
        raise SystemExit(0)
    table = pq.read_table(find_data(args.data, "t0.parquet")).to_pylist()
    described, model = machine(1), LanguageModel.from_pretrained(args.model, device="cpu")
    found: dict = defaultdict(list)
    for number, source in enumerate(args.sources):
        rng = np.random.default_rng(number)
        own = [i for i, row in enumerate(table) if row["dataset"] == source]
        held = rng.choice(own, min(TARGETS, len(own) // 2), replace=False).tolist()
        rest = sorted(set(range(len(table))) - set(held))
        drawn = rng.choice(rest, min(args.pool, len(rest)), replace=False).tolist()
        pool, targets = ([table[i] for i in rows] for rows in (drawn, held))
        for cheap, share, result in compare(pool, targets, model, args):
            for name, value in result.items():
                found[cheap, share, name].append(value)
        print(source, flush=True)
    shown = ("the same rows", "mean score", "late", "seconds")
    rows = [
        [cheap, f"{share:.0%}", *(Spread(found[cheap, share, name]) for name in shown)]
        for cheap in [*args.cheap, args.dear]
        for share in (args.shares if cheap != args.dear else [1.0])
    ]
    Report(
        "cascade", "Two scorers: a cheap one proposes, a dear one decides",
        f"{args.pool:,} pool rows of T0, k = {args.k}, decided by {args.dear}; {TARGETS} targets "
        f"of each of {len(args.sources)} sources; median and range over these.",
        {"pool": args.pool, "k": args.k, "dear": args.dear, "model": args.model}, described,
        [Table("Proposed and chosen", ["proposed by", "rows proposed", *shown], rows)],
    ).write(args.output)  # fmt: skip


def compare(pool: list, targets: list, model: LanguageModel, args):
    """Of each cheap scorer and share, what is chosen, beside what the dear scorer would choose."""
    examples = [[normalize(row, index=i) for i, row in enumerate(rows)] for rows in (targets, pool)]
    began = time.perf_counter()
    needed = [model] if SCORERS[args.dear].needs == "model" else []
    dear = SCORERS[args.dear].make(*needed).score(*examples).values()
    whole = time.perf_counter() - began
    common = {"leakage": "off", "duplicates": "off", "selector": "layered_greedy"}
    best = rows_of(curate.select(pool, targets, args.k, scorer=dear, **common))
    reach = dear[:, best].mean() - dear.mean()
    yield args.dear, 1.0, {"the same rows": 1.0, "mean score": 1.0, "late": 0.0, "seconds": whole}
    for cheap in args.cheap:
        for share in args.shares:
            began, count = time.perf_counter(), max(args.k, round(share * len(pool)))
            chosen = curate.select(
                pool, targets, args.k, scorer=cheap, rescore=dear, rescore_rows=count, **common
            )
            seconds = time.perf_counter() - began + whole * count / len(pool)
            rows = rows_of(chosen)
            yield (
                cheap,
                share,
                {
                    "the same rows": len({*rows} & {*best}) / args.k,
                    "mean score": float((dear[:, rows].mean() - dear.mean()) / reach),
                    "late": chosen.manifest.chosen["proposed"]["late"] / args.k,
                    "seconds": seconds,
                },
            )


def rows_of(chosen: curate.TrainingSet) -> list[int]:
    """Positions in the pool of the chosen rows."""
    return chosen.dataset["curate_row"][:]


if __name__ == "__main__":
    main()
