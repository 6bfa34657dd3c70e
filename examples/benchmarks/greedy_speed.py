"""How fast greedy selection by group influence is, and how its cost grows.

Three measurements on random scores (normal, standard deviation 0.2; attention scale 5):

1. one large selection: seconds, and memory beyond the score matrix;
2. the incremental objective against computing it from scratch for every candidate;
3. growth with the pool, the targets and k.

    python examples/benchmarks/greedy_speed.py [--quick]
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from reporting import (
    Report,
    Spread,
    Table,
    machine,
    number,
    parser,
    peak_mib,
    resident_mib,
    run_worker,
    usable_cores,
)

from selection import DenseScores, Selection, make_selector

SCALE = 5.0
SELECTORS = ("layered_greedy", "plain_greedy")
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sizes:
    """What is measured; `growth` varies one size at a time from `base`."""

    main: dict[str, int]
    scratch: dict[str, int]
    scratch_k: tuple[int, ...]
    base: dict[str, int]
    growth: dict[str, tuple[int, ...]]


FULL = Sizes(
    main={"pool": 1_000_000, "targets": 100, "k": 1000},
    scratch={"pool": 20_000, "targets": 50},
    scratch_k=(25, 50, 100),
    base={"pool": 100_000, "targets": 100, "k": 100},
    growth={
        "pool": (10_000, 30_000, 100_000, 300_000, 1_000_000),
        "targets": (10, 30, 100, 300),
        "k": (100, 200, 500, 1000),
    },
)
QUICK = Sizes(
    main={"pool": 100_000, "targets": 20, "k": 100},
    scratch={"pool": 500, "targets": 10},
    scratch_k=(10, 20),
    base={"pool": 10_000, "targets": 20, "k": 50},
    growth={"pool": (3000, 10_000, 30_000), "targets": (10, 30, 100), "k": (50, 100, 200)},
)


def main() -> None:
    options = parser(__doc__, data=False)
    options.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    options.add_argument("--repeats", type=int, default=3, help="of all but the large selection")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    if args.worker:
        print(json.dumps(large_selection(**args.worker)))
        return
    sizes = QUICK if args.quick else FULL
    described = machine(usable_cores())
    timed_selection("layered_greedy", DenseScores(random_scores(2, 100, 0)), 2)  # warm
    tables = [
        main_table(sizes, args.seed),
        scratch_table(sizes, args.repeats, args.seed),
        *growth_tables(sizes, args.repeats, args.seed),
    ]
    Report(
        "greedy_speed",
        "Greedy selection: speed, memory, growth",
        "Random float32 scores, normal with standard deviation 0.2, attention scale 5. Times are "
        "of `select` alone, the scores being in memory already.",
        {"seed": args.seed, "repeats": args.repeats, "quick": args.quick},
        described,
        tables,
    ).write(args.output)


def random_scores(targets: int, pool: int, seed: int) -> Scores:
    """(targets, pool), made in place so that nothing but the matrix is ever in memory."""
    scores = np.random.default_rng(seed).standard_normal((targets, pool), dtype=np.float32)
    scores *= np.float32(0.2)
    return scores


def timed_selection(selector: str, scores: DenseScores, k: int) -> tuple[Selection, float]:
    start = time.perf_counter()
    selection = make_selector(selector, scale=SCALE).select(scores, k)
    return selection, time.perf_counter() - start


# --- 1. one large selection ---


def main_table(sizes: Sizes, seed: int) -> Table:
    rows = []
    for selector in SELECTORS:
        print(f"{selector}: {sizes.main}", flush=True)
        found = run_worker(__file__, {"selector": selector, "seed": seed, **sizes.main})
        rows.append(
            [selector, found["seconds"], 1000 * found["seconds"] / sizes.main["k"],
             found["matrix_mib"], found["beyond_mib"], found["peak_mib"], found["layers"]]
        )  # fmt: skip
    return Table(
        "{k:,} of {pool:,} rows for {targets:,} targets".format(**sizes.main),
        ["selector", "seconds", "ms per pick", "matrix, MiB", "beyond it, MiB",
         "whole process, MiB", "layers"],
        rows,
        "One run each, in a process of its own. *Beyond it*: peak resident memory less what was "
        "resident when the selection began.",
    )  # fmt: skip


def large_selection(selector: str, seed: int, pool: int, targets: int, k: int) -> dict[str, float]:
    """Runs in a process of its own."""
    values = random_scores(targets, pool, seed)
    scores = DenseScores(values, scale=SCALE)
    before = resident_mib()
    selection, seconds = timed_selection(selector, scores, k)
    return {
        "seconds": seconds,
        "matrix_mib": values.nbytes / (1 << 20),
        "beyond_mib": peak_mib() - before,
        "peak_mib": peak_mib(),
        "layers": int(selection.layers[-1]) + 1,
    }


# --- 2. against computing the objective from scratch ---


def scratch_table(sizes: Sizes, repeats: int, seed: int) -> Table:
    values = random_scores(sizes.scratch["targets"], sizes.scratch["pool"], seed)
    scores = DenseScores(values, scale=SCALE)
    rows = []
    for selector in SELECTORS:
        for k in sizes.scratch_k:
            fast, slow = [], []
            for _ in range(repeats):
                selection, seconds = timed_selection(selector, scores, k)
                fast.append(seconds)
                start = time.perf_counter()
                picks = greedy_from_scratch(values, k, layered=selector == "layered_greedy")
                slow.append(time.perf_counter() - start)
                if selection.indices.tolist() != picks:
                    raise SystemExit(f"{selector}, k = {k}: the picks differ")
            ratios = Spread([b / a for a, b in zip(fast, slow, strict=True)])
            rows.append([selector, k, Spread(fast), Spread(slow), ratios])
    return Table(
        "Against the objective from scratch ({pool:,} rows, {targets} targets)".format(
            **sizes.scratch
        ),
        ["selector", "k", "incremental, s", "from scratch, s", "ratio"],
        rows,
        "From scratch: for every candidate the softmax-pooled objective of the whole group and "
        "the candidate, vectorized over targets and candidates in NumPy (float64, one thread). "
        "Its cost per pick grows with the group, so the ratio grows with k. Both make the same "
        "picks in every run; the benchmark fails if not. Median (min–max) over repeats.",
    )


def greedy_from_scratch(values: Scores, k: int, *, layered: bool) -> list[int]:
    """The definition of greedy selection, with nothing kept from one step to the next."""
    exact = values.astype(np.float64)
    rounding = 1e-12 * np.abs(exact).max()
    picks: list[int] = []
    group: list[int] = []
    while len(picks) < k:
        pooled = objectives(exact, group)
        pooled[picks] = -np.inf
        best = int(np.argmax(pooled))
        now = attention_pooled(exact[:, group]).mean() if group else 0.0
        if layered and group and pooled[best] - now <= rounding:
            group = []
            continue
        group.append(best)
        picks.append(best)
    return picks


def objectives(exact: npt.NDArray[np.float64], group: list[int]) -> npt.NDArray[np.float64]:
    """F(group + row) for every row of the pool, (N,); a block of candidates at a time."""
    targets, pool = exact.shape
    step = max(1, (1 << 18) // (targets * (len(group) + 1)))  # 2 MiB blocks stay in cache
    found = np.empty(pool)
    for start in range(0, pool, step):
        candidates = exact[:, start : start + step, None]  # (T, B, 1)
        members = np.broadcast_to(exact[:, None, group], (targets, candidates.shape[1], len(group)))
        together = np.concatenate([members, candidates], axis=2)  # (T, B, |S| + 1)
        found[start : start + step] = attention_pooled(together).mean(axis=0)
    return found


def attention_pooled(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Group influence over the last axis, as `airrep.pooling` defines it."""
    logits = SCALE * np.abs(scores)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (weights * scores).sum(axis=-1) / weights.sum(axis=-1)


# --- 3. growth ---


def growth_tables(sizes: Sizes, repeats: int, seed: int) -> Iterator[Table]:
    for varied, values in sizes.growth.items():
        measured = {}
        for value in values:
            size = {**sizes.base, varied: value}
            print(f"growth with {varied}: {size}", flush=True)
            scores = DenseScores(random_scores(size["targets"], size["pool"], seed), scale=SCALE)
            measured[value] = Spread(
                [timed_selection("layered_greedy", scores, size["k"])[1] for _ in range(repeats)]
            )
        medians = [float(np.median(spread.values)) for spread in measured.values()]
        slope = float(np.polyfit(np.log(values), np.log(medians), 1)[0])
        fixed = ", ".join(f"{name} {v:,}" for name, v in sizes.base.items() if name != varied)
        yield Table(
            f"Growth with {'the ' if varied != 'k' else ''}{varied}: exponent {slope:.2f}",
            [varied, "seconds", "ns per pick and score"],
            [
                [f"{value:,}", spread,
                 1e9 * median / np.prod(list({**sizes.base, varied: value}.values()), dtype=float)]
                for (value, spread), median in zip(measured.items(), medians, strict=True)
            ],
            f"Layered greedy, {fixed}. The exponent is the slope of log(seconds) over "
            f"log({varied}); {number(1.0)} is linear.",
        )  # fmt: skip


if __name__ == "__main__":
    main()
