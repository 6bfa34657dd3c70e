"""What stacking saves: seconds per fine-tuning run, stacked against one by one with TRL.

    python examples/benchmarks/stacked_training.py --model DIRECTORY --data DIRECTORY_OF_T0

Every run trains on 100 rows of T0 (2 epochs, batches of 20) and measures the loss of 200 others.
The TRL runner does one run, then the stacked runner does K at once; repeats are interleaved. Both
train the same weights on the same batches, and the report says how far their losses are apart. What
the stacked runner does once per row of the pool, however many runs there are (with "last:N", the
frozen blocks), is timed apart.
Memory is the peak of a process of its own, above what it held before training.

On CPUs, allocation is dear: run with jemalloc and huge pages, one thread a process, as in
    LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1
"""

import json
import os
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import torch
from reporting import (
    Report,
    Spread,
    Table,
    find_data,
    machine,
    parser,
    peak_mib,
    resident_mib,
    run_worker,
)

from airrep import normalize
from airrep.language_model.model import LanguageModel
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.recipe import Recipe
from eval_harness.runners.stacked import StackedRunner
from eval_harness.runners.trl import TrlRunner

ROWS, EVALUATED, LONGEST = 100, 200, 96


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", help="directory of a causal language model")
    options.add_argument("--trainable", nargs="+", default=["all", "last:1", "lora:8"])
    options.add_argument("--stacks", nargs="+", type=int, default=[1, 4, 16])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=1)
    args = options.parse_args()
    if args.worker:
        print(json.dumps(measure(**args.worker)))
        return
    if args.model is None:
        options.error("name the language model with --model")
    data = str(find_data(args.data, "t0.parquet"))
    described = machine(args.threads)
    common = {"model": args.model, "data": data, "threads": args.threads}
    tables = [one_table(t, args.stacks, args.repeats, common) for t in args.trainable]
    Report(
        "stacked_training",
        "Stacked training against TRL, one by one",
        f"Seconds per run: training on {ROWS} rows of at most {LONGEST} tokens (2 epochs, batches "
        f"of 20, bfloat16 where the CPU has it) and the losses of {EVALUATED} others. Median "
        f"(min–max) of {args.repeats} interleaved repeats, each in a process of its own, after a "
        "warm-up run.",
        {"trainable": " ".join(args.trainable), "repeats": args.repeats,
         "allocator": os.environ.get("LD_PRELOAD", "").rpartition("/")[2] or "glibc"},
        described, tables,
    ).write(args.output)  # fmt: skip


def one_table(trainable: str, stacks: list[int], repeats: int, common: dict) -> Table:
    kinds = [("trl", 1), *(("stacked", k) for k in stacks)]
    found = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for runner, k in kinds:
            task = {**common, "trainable": trainable, "runner": runner, "k": k}
            found[runner, k].append(run_worker(__file__, task))
    reference = found["trl", 1]
    rows = []
    for (runner, k), results in found.items():
        total = [r["train"] + r["evaluate"] for r in results]
        ratios = [
            (t["train"] + t["evaluate"]) / mine for t, mine in zip(reference, total, strict=True)
        ]
        apart = np.abs(np.array(results[0]["losses"]) - reference[0]["losses"])
        rows.append(
            [
                "TRL" if runner == "trl" else f"stacked, K = {k}",
                Spread([r["train"] for r in results]), Spread([r["evaluate"] for r in results]),
                Spread(ratios),
                Spread([1000 * r["once"] for r in results]) if runner == "stacked" else None,
                results[0]["mib"], f"{apart.mean():.4f}",
            ]
        )  # fmt: skip
    return Table(
        f"Trained: {trainable}",
        ["runner", "training, s per run", "losses, s per run", "times faster than TRL",
         "once, ms per row", "memory, MiB", "mean difference in loss"],
        rows,
    )  # fmt: skip


def measure(
    model: str, data: str, threads: int, trainable: str, runner: str, k: int
) -> dict[str, object]:
    torch.set_num_threads(threads)
    loaded = LanguageModel.from_pretrained(model, max_tokens=128)
    pool, evaluation = examples(loaded, data, "pool", 3000), examples(loaded, data, "test", 1000)
    evaluation = evaluation[:EVALUATED]
    recipe = Recipe(epochs=2, learning_rate=6e-4, batch_size=20, trainable=trainable)
    made = TrlRunner(loaded, recipe) if runner == "trl" else StackedRunner(loaded, recipe, k)
    rng = np.random.default_rng(0)
    runs = [
        TrainingRun([pool[i] for i in rng.choice(len(pool), ROWS, replace=False)], seed)
        for seed in range(k)
    ]
    before = resident_mib()
    short = [replace(run, examples=run.examples[:20]) for run in runs]
    made.train(short).losses(evaluation[:20])  # warm-up
    once = time.perf_counter()
    if isinstance(made, StackedRunner):
        made.prepare([*pool, *evaluation])
    start = time.perf_counter()
    trained = made.train(runs)
    middle = time.perf_counter()
    losses = trained.losses(evaluation)
    end = time.perf_counter()
    return {
        "once": (start - once) / (len(pool) + len(evaluation)),
        "train": (middle - start) / k, "evaluate": (end - middle) / k,
        "losses": losses[0].tolist(), "mib": round(peak_mib() - before),
    }  # fmt: skip


def examples(model: LanguageModel, data: str, split: str, count: int) -> list:
    rows = pq.read_table(data, filters=[("split", "=", split)]).slice(0, count).to_pylist()
    found = [normalize(row, index=i) for i, row in enumerate(rows)]
    tokens = model.tokenize(found)
    return [e for e, t in zip(found, tokens, strict=True) if len(t.ids) <= LONGEST]


if __name__ == "__main__":
    main()
