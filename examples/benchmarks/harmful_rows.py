"""Are the rows of the lowest influence the ones whose labels are wrong? Seven sources of T0.

In each source in turn, a tenth of the pool's rows get a wrong answer: rows of that source swap
completions that do not say the same. Targets are clean rows of the source that are not in the pool.
The k rows that a method likes least are compared with the k planted ones: precision@k over the
whole pool, and over the source's rows alone, where knowing the source is worth nothing.

    python examples/benchmarks/harmful_rows.py [--model DIRECTORY] [--data DIRECTORY_OF_T0]
    python examples/benchmarks/harmful_rows.py --plant template
    python examples/benchmarks/harmful_rows.py --try      # other seeds and targets, to try things

With --plant template, rows of one prompt template swap: the wrong answer has the right form, as
"yes" for "no" has, and only who knows the task can tell.

Gradients, and losses, are those of the language model as it is (`base`), and of the same model
fine-tuned for one epoch on the pool, wrong labels included (`tuned`). Methods, all untuned:

    gradient          lowest mean influence on the targets: what `curate.harmful` does
    gradient_cosine   the same without the Fisher matrix
    gradient_adam     in the metric of Adam's second moments (of 25 batches)
    own loss          highest loss of the row itself; knows nothing of the targets
    self-influence    longest gradient of the row itself (TracIn's test for wrong labels)
    airrep, tfidf     lowest mean similarity to the targets, by the built-in encoder and by words
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one core is what is measured

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pyarrow.parquet as pq
from reporting import ROOT, Report, Spread, Table, find_data, machine, parser
from scipy.stats import t as student

from airrep import AirRep, Example, normalize
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import LanguageModelFormat
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.recipe import Recipe
from eval_harness.runners.stacked import StackedRunner
from selection.features import KnownFeatures
from selection.scorers import AdamGradientScorer, EmbeddingScorer, GradientScorer, TfidfScorer

SOURCES = (
    "common_gen", "commonsense_qa", "glue_qqp", "paws_labeled_final", "quartz", "sciq",
    "social_i_qa",
)  # fmt: skip
SHARE = 0.1  # of the source's pool rows that get a wrong label
LONGEST = 128  # tokens
RANK = 32  # of both gradient scorers, which share their features
RECIPE = Recipe(epochs=1, learning_rate=6e-4, batch_size=20)  # docs/results.md's, one epoch
OF_MODEL = ("gradient", "gradient_cosine", "gradient_adam", "own loss", "self-influence")
OF_TEXT = ("airrep", "tfidf")
MODELS = ("base", "tuned")
WANTED = 3.0  # times random


@dataclass(frozen=True)
class Sizes:
    """How large a problem is.

    Attributes:
        own: Pool rows of the source with wrong labels.
        others: Pool rows of each other source.
        targets: Clean rows of the source.
    """

    own: int
    others: int
    targets: int

    @property
    def pool(self) -> int:
        """All pool rows."""
        return self.own + self.others * (len(SOURCES) - 1)

    @property
    def wrong(self) -> int:
        """Rows that get a wrong label."""
        return round(SHARE * self.own)


@dataclass(frozen=True)
class Row:
    """A row of T0 and the prompt template that it was made with."""

    example: Example
    template: str


@dataclass(frozen=True, eq=False)
class Problem:
    """One pool with wrong labels in one source.

    Attributes:
        source: That source.
        seed: Seed of the draw.
        pool: All rows, some of them with another row's completion.
        wrong: (N,) which ones.
        own: (N,) which rows are of the source.
        targets: Clean rows of the source.
    """

    source: str
    seed: int
    pool: list[Example]
    wrong: np.ndarray
    own: np.ndarray
    targets: list[Example]


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--model", type=Path, default=ROOT.parent / "shared" / "lab" / "lm",
        help="directory of a causal language model",
    )  # fmt: skip
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument(
        "--plant", choices=("source", "template"), default="source",
        help="whose rows swap their completions",
    )  # fmt: skip
    options.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    options.add_argument("--own", type=int, default=200, help="pool rows of the source")
    options.add_argument("--others", type=int, default=100, help="pool rows of each other one")
    options.add_argument("--targets", type=int, default=30, help="clean rows of the source")
    options.add_argument("--try", dest="trial", action="store_true", help="not what is reported")
    args = options.parse_args()
    file = find_data(args.data, "t0.parquet")
    if not (args.model / "config.json").is_file():
        print(f"skipped: there is no language model in {args.model}; name one with --model.")
        return
    sizes = Sizes(args.own, args.others, args.targets)
    described = machine(1)
    model = LanguageModel.from_pretrained(args.model, max_tokens=LONGEST)
    seeds = [s + (100 if args.trial else 0) for s in range(args.seeds)]
    rows = {split: short_rows(file, split, model) for split in ("pool", "target", "test")}
    asked = rows["target" if args.trial else "test"]
    if args.plant == "source":
        pool = rows["pool"]
        rows["pool"] = {s: [replace(row, template="") for row in pool[s]] for s in pool}
    found: list[dict[str, float | str]] = []
    for seed in seeds:
        for source, problem, scores in scored(
            model, rows["pool"], asked, args.sources, sizes, seed
        ):
            found += measured(source, problem, scores)
    Report(
        f"harmful_rows_{args.plant}" + ("_try" if args.trial else ""),
        "Harmful rows: are planted wrong labels the rows of the lowest influence?",
        introduction(len(seeds), args.plant, sizes),
        {
            "seeds": seeds,
            "planted within a": args.plant,
            "targets from": "target" if args.trial else "test",
        },
        described,
        list(tables(found, args.sources, sizes)),
        {"measured": found},
    ).write(args.output)


def introduction(seeds: int, plant: str, sizes: Sizes) -> str:
    k = sizes.wrong
    return (
        f"T0, rows of at most {LONGEST} tokens: a pool of {sizes.pool:,} rows, {sizes.own} of the "
        f"source with wrong labels and {sizes.others} of each of the {len(SOURCES) - 1} others; "
        f"{k} labels are wrong (swapped within a {plant}), so k = {k}; {sizes.targets} clean "
        f"targets of the source. Precision@k; mean (min–max) over {seeds} seeds, which draw rows, "
        f"labels and targets. Random: {k / sizes.own:.3f} in the source, {k / sizes.pool:.3f} in "
        "the pool."
    )


# --- rows ---


def short_rows(file: Path, split: str, model: LanguageModel) -> dict[str, list[Row]]:
    """The rows of each source that are not cut, in T0's order."""
    table = pq.read_table(file, filters=[("split", "=", split)]).to_pylist()
    given = [row for row in table if row["dataset"] in SOURCES]
    examples = [replace(normalize(r, index=i), id=f"{split}-{i}") for i, r in enumerate(given)]
    roomy = replace(model, format=LanguageModelFormat(max_tokens=LONGEST + 1))  # cuts show
    kept: dict[str, list[Row]] = defaultdict(list)
    for row, example, tokens in zip(given, examples, roomy.tokenize(examples), strict=True):
        if len(tokens.ids) <= LONGEST:
            kept[row["dataset"]].append(Row(example, row["template"]))
    return kept


def drawn(
    pool: dict[str, list[Row]], asked: dict[str, list[Row]], source: str, sizes: Sizes, seed: int
) -> Problem:
    """A problem. The clean rows of a seed are the same for every source, or the first of them."""
    rows: list[Row] = []
    for name in SOURCES:
        order = np.random.default_rng([seed, SOURCES.index(name)]).permutation(len(pool[name]))
        rows += [pool[name][i] for i in order[: sizes.own if name == source else sizes.others]]
    own = np.array([row.example.source == source for row in rows])
    rng = np.random.default_rng([seed, SOURCES.index(source), 1])
    examples, wrong = with_wrong_labels(rows, np.flatnonzero(own), round(SHARE * own.sum()), rng)
    chosen = rng.choice(len(asked[source]), sizes.targets, replace=False)
    return Problem(
        source, seed, examples, wrong, own, [asked[source][i].example for i in chosen]
    )  # fmt: skip


def with_wrong_labels(
    rows: Sequence[Row], among: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[list[Example], np.ndarray]:
    """Swap the completions of pairs of rows of one template that differ, until `count` are wrong.

    Of an odd count the last row takes another row's completion, and that row keeps its own.
    """
    examples = [row.example for row in rows]
    wrong = np.zeros(len(rows), dtype=bool)
    for i in rng.permutation(among).tolist():
        if wrong.sum() == count:
            break
        fitting = [
            j
            for j in among.tolist()
            if not wrong[j]
            and rows[j].template == rows[i].template
            and meaning(rows[j].example) != meaning(rows[i].example)
        ]
        if wrong[i] or not fitting:
            continue
        j = int(rng.choice(fitting))
        examples[i] = examples[i].answering(rows[j].example.completion)
        wrong[i] = True
        if wrong.sum() < count:
            examples[j] = examples[j].answering(rows[i].example.completion)
            wrong[j] = True
    assert wrong.sum() == count, "too few rows whose answers differ"
    return examples, wrong


def meaning(example: Example) -> str:
    """The completion without what does not change an answer: "not duplicates" means no."""
    answer = " ".join(example.completion.casefold().split()).rstrip(".!")
    if answer in ("yes", "true", "duplicates"):
        return "yes"
    return "no" if answer in ("no", "false", "not duplicates") else answer


# --- scores: larger means more harmful ---


def scored(
    model: LanguageModel,
    pool: dict[str, list[Row]],
    asked: dict[str, list[Row]],
    sources: Sequence[str],
    sizes: Sizes,
    seed: int,
) -> Iterator[tuple[str, Problem, dict[tuple[str, str], np.ndarray]]]:
    """(source, problem, (model, method) -> (N,) harm) of every source.

    What the base model makes of a row is computed once a seed.
    """
    encoder, runner = AirRep.default(), StackedRunner(model, RECIPE, stack=1)
    seen: dict[tuple[str, str], Example] = {}
    known: KnownFeatures | None = None
    for source in sources:
        start = time.perf_counter()
        problem = drawn(pool, asked, source, sizes, seed)
        scores: dict[tuple[str, str], np.ndarray] = {}
        for name, scorer in (("airrep", EmbeddingScorer(encoder)), ("tfidf", TfidfScorer())):
            scores["", name] = -scorer.score(problem.targets, problem.pool).values().mean(axis=0)
        needed = {(e.prompt, e.completion): e for e in (*problem.pool, *problem.targets)}
        seen |= needed
        known = features(model, list(seen.values()), known)
        scores |= of_model("base", model, problem, known)
        tuned = next(iter(runner.train([TrainingRun(problem.pool, seed)]).models()))
        its_own = features(tuned, list(needed.values()), None)
        scores |= of_model("tuned", tuned, problem, its_own)
        print(f"seed {seed}, {source}: {time.perf_counter() - start:.0f} s", flush=True)
        yield source, problem, scores


def features(
    model: LanguageModel, examples: list[Example], known: KnownFeatures | None
) -> KnownFeatures:
    return KnownFeatures(examples, GradientScorer(model, rank=RANK, known=known).features(examples))


def of_model(
    name: str, model: LanguageModel, problem: Problem, known: KnownFeatures
) -> dict[tuple[str, str], np.ndarray]:
    """What takes the model's gradients or losses."""
    found = {}
    for method in ("gradient", "gradient_cosine"):
        scorer = GradientScorer(
            model,
            rank=RANK,
            known=known,
            preconditioner="fisher" if method == "gradient" else "none",
        )
        influence = scorer.score(problem.targets, problem.pool).values()
        found[name, method] = -influence.mean(axis=0, dtype=np.float64)
    adam = AdamGradientScorer(model, draws=25).score(problem.targets, problem.pool).values()
    found[name, "gradient_adam"] = -adam.mean(axis=0, dtype=np.float64)
    plain = scorer.features(problem.pool)
    found[name, "self-influence"] = np.square(plain, dtype=np.float64).sum(axis=1)
    found[name, "own loss"] = completion_losses(model, problem.pool)
    return found


# --- tables ---


def measured(
    source: str, problem: Problem, scores: dict[tuple[str, str], np.ndarray]
) -> list[dict[str, float | str]]:
    """One mapping for each model and method."""
    found = []
    for (model, method), harm in scores.items():
        own = problem.own
        found.append(
            {
                "source": source,
                "seed": problem.seed,
                "model": model,
                "method": method,
                "in the source": precision(harm[own], problem.wrong[own]),
                "in the pool": precision(harm, problem.wrong),
                "harmful, clean": float((harm > 0)[own & ~problem.wrong].mean()),
                "harmful, wrong": float((harm > 0)[problem.wrong].mean()),
                "harmful, others": float((harm > 0)[~own].mean()),
            }
        )
    return found


def precision(harm: np.ndarray, wrong: np.ndarray) -> float:
    k = int(wrong.sum())
    return float(wrong[np.argsort(-harm, kind="stable")[:k]].mean())


def tables(
    found: list[dict[str, float | str]], sources: Sequence[str], sizes: Sizes
) -> Iterator[Table]:
    chances = (("in the source", SHARE), ("in the pool", sizes.wrong / sizes.pool))
    for where, chance in chances:
        for model in MODELS:
            methods = [(model, m) for m in OF_MODEL] + [("", m) for m in OF_TEXT]
            rows = [
                [source, *(values(found, where, source, *method) for method in methods)]
                for source in sources
            ]
            last = [over_sources(found, where, sources, *method, chance) for method in methods]
            yield Table(
                f"Precision@k {where}, {model} model",
                ["wrong labels in", *(method for _, method in methods)],
                [*rows, ["**mean, times random**", *last]],
                f"Random: {chance:.3f}. The last line: mean over sources, and in brackets how many "
                "times random that is, with Student's 95% interval over sources.",
            )
    yield ratio_table(found, sources, chances)
    yield sign_table(found, sources)


def ratio_table(
    found: list[dict[str, float | str]],
    sources: Sequence[str],
    chances: Sequence[tuple[str, float]],
) -> Table:
    rows = []
    for source in sources:
        cells = []
        for where, chance in chances:
            for model in MODELS:
                times = values(found, where, source, model, "gradient").values
                cells.append(Spread([x / chance for x in times], mean, decimals=1))
        rows.append([source, *cells])
    return Table(
        "How many times random: gradient, lowest mean",
        ["wrong labels in", *(f"{where}, {m}" for where in ("source", "pool") for m in MODELS)],
        rows,
        f"The bar is {WANTED:g}.",
    )


def sign_table(found: list[dict[str, float | str]], sources: Sequence[str]) -> Table:
    kinds = ("harmful, wrong", "harmful, clean", "harmful, others")
    rows = [
        [source, *(values(found, kind, source, m, "gradient") for m in MODELS for kind in kinds)]
        for source in sources
    ]
    return Table(
        "Share of rows whose mean influence is below 0: gradient",
        ["wrong labels in", *(f"{kind.split(', ')[1]}, {m}" for m in MODELS for kind in kinds)],
        rows,
        "Rows with a wrong label, the other rows of that source, and rows of other sources.",
    )


def values(
    found: list[dict[str, float | str]], where: str, source: str, model: str, method: str
) -> Spread:
    key = (source, model, method)
    of = [float(f[where]) for f in found if (f["source"], f["model"], f["method"]) == key]
    return Spread(of, mean, decimals=2)


def over_sources(
    found: list[dict[str, float | str]], where: str, sources: Sequence[str], model: str,
    method: str, chance: float,
) -> str:  # fmt: skip
    means = [mean(values(found, where, source, model, method).values) for source in sources]
    middle = mean(means)
    if len(means) < 2:
        return f"{middle:.2f} ({middle / chance:.1f})"
    half = student.ppf(0.975, len(means) - 1) * stdev(means) / len(means) ** 0.5
    low, high = ((middle + sign * half) / chance for sign in (-1, 1))
    return f"{middle:.2f} ({middle / chance:.1f} [{low:.1f}, {high:.1f}])"


if __name__ == "__main__":
    main()
