"""What reports cost: the overview's share of a selection, and the report's time and size.

    python examples/benchmarks/report_cost.py

T0's `pool` split and 20 of its dialogue summaries, k = 1,000. The embeddings exist already: made
up, because what they say does not change how long anything takes.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from reporting import Report, Spread, Table, find_data, machine, parser, usable_cores

import curate
from airrep import Example
from selection import EmbeddingScores, Scores

SELECTORS = ("layered_greedy", "coverage", "round_robin")
TARGETS, SIZE = 20, 384


class MadeUp:
    """Unit vectors, the same for the same numbers of rows."""

    name = "made up"

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `selection.scorers.Scorer`."""
        rng = np.random.default_rng(0)
        queries, rows = (rng.normal(size=(len(part), SIZE)) for part in (targets, pool))
        queries, rows = (
            (part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32)
            for part in (queries, rows)
        )
        ids = {"target_ids": [e.id for e in targets], "pool_ids": [e.id for e in pool]}
        return EmbeddingScores(queries, rows, **ids, method=self.name, scale=5.0)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--k", type=int, default=1000, help="rows to select")
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    file = find_data(args.data, "t0.parquet")
    described = machine(usable_cores())
    pool, targets = (
        pq.read_table(
            file, filters=filters, columns=["prompt", "completion", "dataset"]
        ).to_pandas()
        for filters in (
            [("split", "=", "pool")],
            [("split", "=", "target"), ("dataset", "=", "samsum")],
        )
    )
    lines = []
    for selector in SELECTORS:
        shares, reads, writes, sizes = [], [], [], []
        for _ in range(args.repeats):
            chosen = curate.select(
                pool, targets.head(TARGETS), args.k, scorer=MadeUp(), selector=selector
            )
            spent = dict(chosen.manifest.seconds)
            del spent["score"]  # the embeddings exist already
            shares.append(100 * spent["overview"] / sum(spent.values()))
            with tempfile.TemporaryDirectory() as directory:
                start = time.perf_counter()
                report = chosen.report(Path(directory) / "report.html")
                reads.append(time.perf_counter() - start)
                sizes.append(report.stat().st_size / 1e6)
                start = time.perf_counter()
                chosen.save(directory)
                writes.append(time.perf_counter() - start)
        lines.append([selector, Spread(shares), Spread(reads), Spread(sizes), Spread(writes)])
    columns = ("selector", "overview, % of select", "report, s", "report, MB", "save, s")
    Report(
        "report_cost",
        "What reports cost",
        f"{len(pool):,} T0 rows, {TARGETS} targets, k = {args.k:,}, "
        f"{args.repeats} repeats (min–max).",
        {"k": args.k, "targets": TARGETS, "rows": len(pool), "repeats": args.repeats},
        described,
        [Table("Selections, with embeddings that exist already", columns, lines)],
    ).write(args.output)


if __name__ == "__main__":
    main()
