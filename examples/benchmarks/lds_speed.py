"""How fast the linear datamodeling score is, next to the loop that defines it.

Random scores (normal, standard deviation 0.2; attention scale 5), random subsets, and losses that
follow the predictions with noise. The loop goes target by target: scipy's softmax pools every
subset, scipy's spearmanr correlates; its bootstrap resamples and correlates again.

    python examples/benchmarks/lds_speed.py [--quick]
"""

import json
import time

import numpy as np
from reporting import (
    Report,
    Spread,
    Table,
    machine,
    parser,
    peak_mib,
    resident_mib,
    run_worker,
    usable_cores,
)
from scipy.special import softmax
from scipy.stats import spearmanr

from eval_harness.measures.datamodeling import lds_of_scores
from eval_harness.measures.predictions import group_predictions

SCALE = 5.0


def main() -> None:
    options = parser(__doc__, data=False)
    options.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    options.add_argument("--targets", type=int, default=1000)
    options.add_argument("--subsets", type=int, default=100)
    options.add_argument("--pool", type=int, default=10_000)
    options.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000], help="of a subset")
    options.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    options.add_argument(
        "--loop-targets", type=int, default=50, help="targets the loop is timed on"
    )
    options.add_argument("--loop-draws", type=int, default=10, help="draws the loop is timed on")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    if args.worker:
        print(json.dumps(memory(**args.worker)))
        return
    if args.quick:
        args.targets, args.pool, args.sizes, args.draws, args.repeats = 100, 2000, [200], 100, 2
    described = machine(usable_cores())
    rows, details = [], {}
    for size in args.sizes:
        print(f"subsets of {size:,} rows", flush=True)
        given = {name: getattr(args, name) for name in ("targets", "subsets", "pool", "seed")}
        times, worst = compared(size, args, *data(size=size, **given))
        found = run_worker(__file__, {"size": size, "draws": args.draws, **given})
        for name, fast, slow in (
            ("score", times["score"], times["loop"]),
            (f"score and interval, {args.draws:,} draws", times["interval"], times["loop draws"]),
        ):
            ratios = Spread([b / a for a, b in zip(fast, slow, strict=True)])
            rows.append([f"{size:,}: {name}", Spread(fast), Spread(slow), ratios])
        details[f"{size}"] = {"largest difference": worst, **found}
        rows[-1].append(found["beyond_mib"])
        rows[-2].append(None)
    differences = ", ".join(f"{d['largest difference']:.0e}" for d in details.values())
    share = f"{args.loop_targets} of {args.targets:,} targets"
    Report(
        "lds_speed",
        "LDS: speed and memory",
        "Random float32 scores, normal with standard deviation 0.2, attention scale 5. Times "
        "begin with the scores, the subsets and the losses in memory.",
        {"seed": args.seed, "repeats": args.repeats, "draws": args.draws},
        described,
        [
            Table(
                f"{args.subsets} subsets × {args.targets:,} targets × {args.pool:,} pool rows",
                ["rows per subset", "lds, s", "loop, s", "ratio", "lds beyond its input, MiB"],
                rows,
                f"The loop's times are scaled: pooling and correlating were timed on {share}, its "
                f"bootstrap on {args.loop_draws} draws of them. Both compute the same correlations "
                f"(largest difference per size: {differences}). *Beyond its input*: peak resident "
                "memory in a process of its own, less what was resident when it began. Median "
                "(min–max) over repeats, one of each in turn.",
            )
        ],
        details,
    ).write(args.output)


def data(targets: int, subsets: int, pool: int, size: int, seed: int) -> tuple:
    """Scores (T, N), subsets, and losses (S, T) that follow the predictions with noise."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((targets, pool), dtype=np.float32)
    scores *= np.float32(0.2)
    chosen = [rng.choice(pool, size, replace=False) for _ in range(subsets)]
    predictions = group_predictions(scores, chosen, scale=SCALE)
    noise = rng.standard_normal(predictions.shape) * predictions.std(axis=0)
    return scores, chosen, -(predictions + noise)


def compared(size, args, scores, subsets, losses) -> tuple[dict[str, list[float]], float]:
    """Seconds of everything, one of each in turn; the largest difference of a correlation."""
    times: dict[str, list[float]] = {n: [] for n in ("score", "interval", "loop", "loop draws")}
    share = min(args.loop_targets, args.targets)
    worst = 0.0
    for repeat in range(args.repeats):
        start = time.perf_counter()
        fast = lds_of_scores(scores, subsets, losses, scale=SCALE, draws=0)
        times["score"].append(time.perf_counter() - start)

        start = time.perf_counter()
        lds_of_scores(scores, subsets, losses, scale=SCALE, draws=args.draws, seed=repeat)
        times["interval"].append(time.perf_counter() - start)

        targets = np.random.default_rng(repeat).choice(args.targets, share, replace=False)
        start = time.perf_counter()
        predictions = np.array([pooled(scores[t], subsets) for t in targets])
        slow = correlated(predictions, losses[:, targets])
        times["loop"].append((time.perf_counter() - start) * args.targets / share)

        start = time.perf_counter()
        for _ in range(args.loop_draws):
            drawn = np.random.default_rng(repeat).choice(len(subsets), len(subsets))
            correlated(predictions[:, drawn], losses[np.ix_(drawn, targets)])
        of_draws = (time.perf_counter() - start) * args.targets / share
        times["loop draws"].append(times["loop"][-1] + of_draws * args.draws / args.loop_draws)

        worst = max(worst, float(np.abs(fast.per_target[targets] - slow).max()))
    if worst > 1e-9:
        raise SystemExit(f"subsets of {size}: a correlation differs by {worst}")
    print(f"largest difference of a correlation: {worst:.1e}", flush=True)
    return times, worst


def pooled(scores, subsets) -> list[float]:
    """Influence of every subset on one target, as `airrep.pooling` defines it."""
    found = []
    for rows in subsets:
        members = scores[rows].astype(np.float64)
        found.append(float(softmax(SCALE * np.abs(members)) @ members))
    return found


def correlated(predictions, losses) -> np.ndarray:
    """Target by target; predictions (T, S), losses (S, T)."""
    pairs = zip(predictions, losses.T, strict=True)
    return np.array([spearmanr(f, -loss).statistic for f, loss in pairs])


def memory(draws: int, **sizes: int) -> dict[str, float]:
    """Runs in a process of its own."""
    scores, subsets, losses = data(**{**sizes, "targets": 4})  # loads what is loaded lazily
    lds_of_scores(scores, subsets, losses, scale=SCALE, draws=2)
    rng = np.random.default_rng(sizes["seed"])
    scores = rng.standard_normal((sizes["targets"], sizes["pool"]), dtype=np.float32)
    losses = rng.standard_normal((sizes["subsets"], sizes["targets"]))
    before = resident_mib()
    lds_of_scores(scores, subsets, losses, scale=SCALE, draws=draws)
    return {"beyond_mib": peak_mib() - before, "peak_mib": peak_mib()}


if __name__ == "__main__":
    main()
