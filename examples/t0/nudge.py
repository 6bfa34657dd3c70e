"""What `nudge` foresees, of single targets and of clusters of them, beside the gradient scorers.

    python examples/t0/nudge.py --prepared out/t0 --output out/t0/nudge

Needs the rows that `examples/t0/prepare.py` wrote, and looks at its pool and its targets file
alone, never at the test file. Records fine-tuning runs on random subsets of some pool rows, or
reads those that it recorded before. Writes a Markdown table: LDS by sum of single targets (a step
of its own for each) and of clusters' mean losses (as `nudge` makes them of all targets), and the
CPU time per pool row that the scores of the single targets, and of the clusters, took; Adam's
moments are estimated once for all, and are no part of it.
"""

import argparse
import json
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np

import curate
from airrep import normalize
from airrep.gradients.moments import second_moments
from airrep.language_model.model import LanguageModel
from airrep.supervision import SubsetLosses
from eval_harness import lds_of_scores
from selection.scorers import (
    AdamGradientScorer,
    GradientScorer,
    NudgeScorer,
    RandomScorer,
    TfidfScorer,
)

RATE = 6e-4
FORMAT = {"separator": "\n", "max_tokens": 128}  # the model was trained with a line break
NUDGES = (("forward", 0.2), ("central", 0.2), ("jvp", 1.0), ("forward", 0.05), ("forward", 1.0))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--prepared", type=Path, default=Path("out/t0"))
    options.add_argument("--output", type=Path, default=Path("out/t0/nudge"))
    options.add_argument("--pool-rows", type=int, default=400)
    options.add_argument("--targets", type=int, default=200, help="of which clusters are made")
    options.add_argument("--single", type=int, default=40, help="targets with a step of their own")
    options.add_argument("--subsets", type=int, default=40)
    options.add_argument("--size", type=int, default=100, help="rows of a subset")
    options.add_argument("--clusters", type=int, default=8)
    options.add_argument("--draws", type=int, default=100, help="batches for Adam's moments")
    args = options.parse_args()
    rng = np.random.default_rng(0)
    pool = drawn(args.prepared / "pool.jsonl", args.pool_rows, rng)
    targets = drawn(args.prepared / "targets.jsonl", args.targets, rng)
    runs = args.output / "runs"
    record = curate.record(
        pool, targets, args.prepared / "model", runs, subsets=args.subsets, size=args.size,
        epochs=2, learning_rate=RATE, batch_size=20, stack=4, progress=True, **FORMAT,
    )  # fmt: skip
    print(record.summary())
    recorded = SubsetLosses.load(runs)
    model = LanguageModel.from_pretrained(args.prepared / "model", **FORMAT)
    rows, wanted = (
        [normalize(row, index=i) for i, row in enumerate(part)] for part in (pool, targets)
    )
    made = second_moments(model, rows, draws=args.draws, dtype="float32")
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.filterwarnings("ignore", "nudge: .* targets share")
        for module in ("adam_gradient", "nudge"):
            name = f"selection.scorers.{module}.second_moments"
            stack.enter_context(patch(name, return_value=made))
        compare(args, recorded, model, wanted, rows)


def compare(
    args: argparse.Namespace, recorded: SubsetLosses, model: LanguageModel, wanted: list, rows: list
) -> None:
    """Write the table, line by line."""
    first = NudgeScorer(model, clusters=args.clusters, learning_rate=RATE)
    cluster_of = np.array(first.score(wanted, rows[:1]).provenance[0]["clusters"])
    some = np.linspace(0, len(wanted), args.single, endpoint=False, dtype=int)  # of all sources
    sizes = np.bincount(cluster_of)
    shares = np.eye(len(sizes))[:, cluster_of] / sizes[:, None]  # (clusters, targets)
    of_clusters = recorded.values @ shares.T
    print(f"clusters of {', '.join(map(str, sizes))} targets\n")
    print("| method | LDS, targets | ms per row | LDS, clusters | ms per row |")
    print("|---|---:|---:|---:|---:|")

    def show(name: str, alone: object, together: object) -> None:
        single, first = timed(alone, [wanted[i] for i in some], rows)
        every, second = timed(together, wanted, rows)
        cells = []
        for scores, losses, took in (
            (single.values(), recorded.values[:, :, some], first),
            (shares @ every.values(), of_clusters, second),
        ):
            lds = lds_of_scores(scores, recorded.plan.subsets, losses, "sum")
            cells += [f"{lds.mean:.3f} [{lds.low:.3f}, {lds.high:.3f}]", f"{took:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    for scorer in (RandomScorer(), TfidfScorer(), GradientScorer(model), AdamGradientScorer(model)):
        show(scorer.name, scorer, scorer)
    for difference, step in NUDGES:
        of_nudge = {"difference": difference, "step": step, "learning_rate": RATE}
        name = f"nudge, {difference}" + f", step {step:g}" * (difference != "jvp")
        show(
            name,
            NudgeScorer(model, clusters=args.single, **of_nudge),
            NudgeScorer(model, clusters=args.clusters, **of_nudge),
        )


def drawn(file: Path, count: int, rng: np.random.Generator) -> list[dict]:
    """So many random rows of a file, in its order."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [rows[i] for i in np.sort(rng.choice(len(rows), count, replace=False))]


def timed(scorer: object, targets: list, pool: list) -> tuple:
    """Scores, and milliseconds of CPU time per pool row."""
    begun = time.process_time()
    scores = scorer.score(targets, pool)
    return scores, 1e3 * (time.process_time() - begun) / len(pool)


if __name__ == "__main__":
    main()
