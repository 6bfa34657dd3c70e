"""Losses after fine-tuning on two methods' selections, problem by problem: one minus the other.

    python examples/t0/encoder/differences.py out/t0/evaluation/downstream minilm tfidf

For each setting, and over all of them (or over those named by --settings), in which every problem
of a source counts alike. In brackets: Student's 95% interval over the sources.
"""

import argparse
from pathlib import Path

import pandas as pd

from eval_harness.benchmark.tables import interval


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("benchmark", type=Path, help="what `curate benchmark` wrote")
    options.add_argument("method")
    options.add_argument("against", nargs="+")
    options.add_argument("--settings", nargs="+", help="default all")
    options.add_argument("--metric", default="loss", help="loss, exact or f1")
    args = options.parse_args()
    trials = pd.read_parquet(args.benchmark / "trials.parquet")
    if args.settings:
        trials = trials[trials["setting"].isin(args.settings)]
    keys = ["setting", "source", "seed"]
    values = trials.pivot(index=keys, columns="scorer", values=args.metric)
    for other in args.against:
        gap = (values[args.method] - values[other]).rename("gap").reset_index()
        parts = dict(list(gap.groupby("setting", sort=False)))
        parts["all"] = gap.groupby(["source", "seed"])["gap"].mean().reset_index()
        for name, part in parts.items():
            mean, low, high = interval(part, "gap")
            found = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            print(f"{name:13} {args.metric}: {args.method} - {other}  {found}")


if __name__ == "__main__":
    main()
