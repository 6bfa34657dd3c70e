"""What the guard finds and what it flags by mistake: planted leaks and duplicates in T0.

    python examples/benchmarks/guard_quality.py [DIRECTORY_OF_T0] [--rows N] [--seed S] [--seeds 3]

1. leaks of many kinds planted in T0's `pool` split, one kind at a time: how many are found;
2. the same for near-duplicates;
3. what is flagged that was not planted: pool rows of one source against test rows of another, and
   of the same source, where a judge that knows T0's templates says which rows are unrelated;
4. rows per second with one thread, and memory.

The peer is the rule that GPT-3's training data was cleaned by: a row leaks if it shares any run of
13 words with a test example (and a stricter one: 8 words), on the same words as the guard.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one thread is what is measured

import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow.parquet as pq
from reporting import Report, Spread, Table, find_data, machine, parser, peak_mib, run_worker
from scipy.sparse import csr_array

from airrep import Example
from curate.guard import Removal, examine
from curate.guard.words import words

PEERS = (13, 8)
PARTNERS = 3  # other sources that each source's test rows are compared with, a seed
# Sources made from the same texts: no wonder if they are found in one another.
RELATED = (
    {"duorc_SelfRC", "duorc_ParaphraseRC"},
    {"adversarial_qa_dbert", "adversarial_qa_dbidaf", "adversarial_qa_droberta"},
)


def find_leaks(
    pool: Sequence[Example], against: Mapping[str, Sequence[Example]]
) -> tuple[Removal, ...]:
    """What the guard removes as leaks."""
    return examine(pool, against, duplicates="off").settle()[0].removed


@dataclass(frozen=True)
class Data:
    """T0's splits; `templates` says which template made which row."""

    pool: list[Example]
    test: list[Example]
    targets: list[Example]
    more: list[Example]  # the split that the encoder was pretrained on, for a larger pool
    templates: dict[str, str]  # id -> template


def main() -> None:
    options = parser(__doc__)
    options.add_argument("directory", nargs="?", type=Path, help="same as --data")
    options.add_argument("--rows", type=int, help="of the pool; all by default")
    options.add_argument("--planted", type=int, default=300, help="rows of each kind")
    options.add_argument("--seed", type=int, default=0, help="the first of --seeds")
    options.add_argument("--seeds", type=int, default=3)
    args = options.parse_args()
    file = find_data(args.directory or args.data, "t0.parquet")
    if args.worker:
        print(json.dumps(throughput(read(file), args.worker["splits"])))
        return
    described = machine(1)
    data = read(file)
    seeds = list(range(args.seed, args.seed + args.seeds))
    draws = [drawn(data, args.rows, seed) for seed in seeds]
    tables = [
        leak_table(draws, data.test, seeds, args.planted),
        paraphrase_table(draws[0], data),
        duplicate_table(draws, seeds, args.planted),
        *benign_tables(draws, data, seeds),
        speed_table(file, args.seeds),
    ]
    Report(
        "guard_quality",
        "Guard: what it finds, what it flags by mistake, how fast it is",
        f"T0: a pool of {len(draws[0]):,} rows of the `pool` split, {len(data.test):,} test rows. "
        f"Mean (min–max) over {args.seeds} seeds, which draw what is planted and how it is edited.",
        {"rows": args.rows or "all", "seeds": seeds, "planted": args.planted},
        described,
        tables,
    ).write(args.output)


def read(file: Path) -> Data:
    splits: dict[str, list[Example]] = defaultdict(list)
    templates = {}
    table = pq.read_table(file)
    for number, row in enumerate(table.to_pylist()):
        example = Example(str(number), row["prompt"], row["completion"], row["dataset"], number)
        splits[row["split"]].append(example)
        templates[example.id] = f"{row['dataset']}/{row['template']}"
    return Data(splits["pool"], splits["test"], splits["target"], splits["pretrain"], templates)


def drawn(data: Data, rows: int | None, seed: int) -> list[Example]:
    return data.pool if rows is None else random.Random(seed).sample(data.pool, rows)


# --- what is planted ---


def layout(text: str, rng: random.Random) -> str:
    """Other case, punctuation and spaces; the same words."""
    pieces = []
    for piece in text.split():
        # a sign before a number is no punctuation: 3 - 4 is not 3 4
        piece = re.sub(r"(?<=[^\W\d_])[.,;:!?]+$", rng.choice(["", ";", "!", " ..."]), piece)
        case = rng.random()
        pieces.append(piece.upper() if case < 0.1 else piece.capitalize() if case < 0.4 else piece)
    return "".join(piece + rng.choice([" ", "  ", "\n", "\t"]) for piece in pieces)


def edited(text: str, rng: random.Random, others: Sequence[str], apart: int) -> str:
    """One word in `apart` (at least one) replaced, dropped or added."""
    pieces = text.split(" ")
    for _ in range(max(1, len(pieces) // apart)):
        place = rng.randrange(len(pieces))
        change = rng.choice(["replace", "drop", "add"])
        if change == "replace" or len(pieces) < 3:
            pieces[place] = rng.choice(others)
        elif change == "drop":
            del pieces[place]
        else:
            pieces.insert(place, rng.choice(others))
    return " ".join(pieces)


def reordered(text: str, rng: random.Random) -> str:
    """Its sentences (or, where there is one, its halves) in another order."""
    parts = re.split(r"(?<=[.?!])\s+", text.strip())
    if len(parts) < 2:
        pieces = text.split()
        parts = [" ".join(pieces[: len(pieces) // 2]), " ".join(pieces[len(pieces) // 2 :])]
    first = list(parts)
    while len(set(first)) > 1 and parts == first:
        rng.shuffle(parts)
    return " ".join(parts)


Planter = Callable[[Example, random.Random, Sequence[Example]], Example]


def _others(pool: Sequence[Example], rng: random.Random) -> list[str]:
    return [word for example in rng.sample(list(pool), 20) for word in example.prompt.split()]


def exact(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    return example


def relaid(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    return replace(
        example, prompt=layout(example.prompt, rng), completion=layout(example.completion, rng)
    )


def lightly_edited(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    prompt = edited(example.prompt, rng, _others(pool, rng), 20)
    return relaid(replace(example, prompt=prompt), rng, pool)


def embedded(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    before, after = rng.sample(list(pool), 2)
    inside = f"{before.prompt}\n\n{example.prompt}\n{example.completion}\n\n{after.prompt}"
    return replace(example, prompt=inside, completion=after.completion)


def embedded_edited(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    return embedded(lightly_edited(example, rng, pool), rng, pool)


def other_completion(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    return replace(example, completion=rng.choice(list(pool)).completion)


def in_another_order(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
    return replace(example, prompt=reordered(example.prompt, rng))


def reworded(share: float) -> Planter:
    def change(example: Example, rng: random.Random, pool: Sequence[Example]) -> Example:
        others = _others(pool, rng)
        pieces = [
            rng.choice(others) if rng.random() < share else piece
            for piece in example.prompt.split()
        ]
        return replace(example, prompt=" ".join(pieces))

    return change


KINDS: dict[str, Planter] = {
    "exact": exact,
    "case, punctuation, spaces": relaid,
    "that, and one word in 20 changed": lightly_edited,
    "in a longer text": embedded,
    "in a longer text, and one word in 20 changed": embedded_edited,
    "same prompt, another completion": other_completion,
    "sentences in another order": in_another_order,
    "a tenth of the words others": reworded(0.1),
    "a third of the words others": reworded(1 / 3),
}


def planted(
    pool: Sequence[Example], originals: Sequence[Example], kind: str, rng: random.Random
) -> list[Example]:
    """The pool and one more row for each original, at random places."""
    made = [
        replace(KINDS[kind](example, rng, pool), id=f"planted {number}")
        for number, example in enumerate(originals)
    ]
    rows = [*pool, *made]
    rng.shuffle(rows)
    return [replace(example, row=row) for row, example in enumerate(rows)]


# --- the peer ---


def shares_run(pool: Sequence[Example], tests: Sequence[Example], size: int) -> set[str]:
    """Ids of rows that share a run of `size` words with a test example; shorter ones, all words."""
    known = set()
    for example in tests:
        known.update(_runs(example, size))
    return {example.id for example in pool if not known.isdisjoint(_runs(example, size))}


def _runs(example: Example, size: int) -> set[int]:
    found = words(example.prompt) + words(example.completion)
    if len(found) < size:
        return {hash(tuple(found))}
    return {hash(tuple(found[i : i + size])) for i in range(len(found) - size + 1)}


# --- 1. leaks ---


def leak_table(
    draws: Sequence[Sequence[Example]], tests: Sequence[Example], seeds: Sequence[int], count: int
) -> Table:
    rows = []
    for kind in KINDS:
        print(f"leaks: {kind}", flush=True)
        found: dict[str, list[float]] = defaultdict(list)
        for pool, seed in zip(draws, seeds, strict=True):
            rng = random.Random(f"leaks {kind} {seed}")
            originals = rng.sample(list(tests), count)
            mixed = planted(pool, originals, kind, rng)
            leaks = {removal.id for removal in find_leaks(mixed, {"test": originals})}
            found["guard"].append(_recall(leaks, count))
            for size in PEERS:
                found[str(size)].append(_recall(shares_run(mixed, originals, size), count))
        rows.append([kind, *(_percent(found[name]) for name in ("guard", *map(str, PEERS)))])
    return Table(
        "Planted leaks that are found, %",
        ["planted", "guard", *(f"{size}-gram" for size in PEERS)],
        rows,
        f"{count} test rows a seed, planted in the pool and looked for one kind at a time; only "
        "those rows are the test set. The last three kinds are no light edits: they stand in for "
        "paraphrases made by rule. What the 13- and 8-gram rules flag by mistake is below.",
    )


def _recall(ids: set[str], count: int) -> float:
    return sum(each.startswith("planted") for each in ids) / count


def _percent(values: Sequence[float]) -> Spread:
    return Spread([100 * value for value in values], mean, decimals=1)


# --- paraphrases that people wrote ---


def paraphrase_table(pool: Sequence[Example], data: Data) -> Table:
    """T0's own pairs of sentences that mean the same: one is the test example, one is planted."""
    everything = [*data.pool, *data.test, *data.targets, *data.more]
    patterns = {
        "glue_qqp": (r'Are the questions "(.*)" and "(.*)" asking the same thing\?', "yes"),
        "glue_mrpc": (r"Do the following two sentences mean the same thing\?\n(.*)\n(.*)", "yes"),
    }
    rows = []
    for source, (pattern, same) in patterns.items():
        print(f"paraphrases: {source}", flush=True)
        found = (
            re.fullmatch(pattern, example.prompt.strip())
            for example in everything
            if example.source == source and example.completion.strip().lower() == same
        )
        pairs = [match.groups() for match in found if match]
        others = [example for example in pool if example.source != source]
        mixed = others + [Example(f"planted {i}", "", b) for i, (_, b) in enumerate(pairs)]
        mixed = [replace(example, row=row) for row, example in enumerate(mixed)]
        tests = [Example(str(i), "", a) for i, (a, _) in enumerate(pairs)]
        leaks = [r for r in find_leaks(mixed, {"test": tests}) if r.id.startswith("planted")]
        counts = [len(leaks), *(
            sum(each.startswith("planted") for each in shares_run(mixed, tests, size))
            for size in PEERS
        )]  # fmt: skip
        rows.append([source, len(pairs), *(f"{100 * n / len(pairs):.1f}" for n in counts)])
    return Table(
        "True paraphrases that are found, %",
        ["pairs of", "pairs", "guard", *(f"{size}-gram" for size in PEERS)],
        rows,
        "Pairs that people labeled as meaning the same (questions of Quora; news sentences). What "
        "is found are pairs that share most of their words.",
    )


# --- 2. near-duplicates ---


def duplicate_table(draws: Sequence[Sequence[Example]], seeds: Sequence[int], count: int) -> Table:
    rows = []
    for kind in list(KINDS)[:3]:
        print(f"duplicates: {kind}", flush=True)
        recalls, kept = [], []
        for pool, seed in zip(draws, seeds, strict=True):
            rng = random.Random(f"duplicates {kind} {seed}")
            originals = rng.sample(list(pool), count)
            mixed = planted(pool, originals, kind, rng)
            clusters = examine(mixed, {}, leakage="off").settle()[0].clusters
            cluster_of = {row: cluster for cluster in clusters for row in cluster.rows}
            row_of = {example.id: example.row for example in mixed}
            pairs = [
                (row_of[f"planted {number}"], row_of[example.id])
                for number, example in enumerate(originals)
            ]
            together = [a in cluster_of and b in cluster_of[a].rows for a, b in pairs]
            both = [a in cluster_of and {a, b} <= set(cluster_of[a].kept) for a, b in pairs]
            recalls.append(mean(together))
            kept.append(mean(both))
        rows.append([kind, _percent(recalls), _percent(kept)])
    return Table(
        "Planted near-duplicates, %",
        ["planted", "in its original's cluster", "both stay"],
        rows,
        f"{count} copies of pool rows a seed, one kind at a time, in their own pool.",
    )


# --- 3. by mistake ---


@dataclass(frozen=True)
class Judge:
    """Says whether two rows are about the same thing; knows which template made which row.

    A row's content: its words, less those that a fifth of its template's rows have. Two rows of the
    same thing have at least half of the smaller one's content in common.
    """

    content: dict[str, frozenset[str]]  # id -> content

    @classmethod
    def of(cls, data: Data) -> "Judge":
        """The judge of these rows."""
        found = {
            example.id: frozenset(words(example.prompt) + words(example.completion))
            for example in (*data.pool, *data.test)
        }
        groups = defaultdict(list)
        for row in found:
            groups[data.templates[row]].append(row)
        content = {}
        for rows in groups.values():
            counts = Counter(word for row in rows for word in found[row])
            for row in rows:
                content[row] = frozenset(w for w in found[row] if counts[w] <= len(rows) / 5)
        return cls(content)

    def most_shared(self, rows: Sequence[Example], others: Sequence[Example]) -> list[float]:
        """For each row, the most content that it shares with one of the others, 0 to 1."""
        numbers: dict[str, int] = defaultdict(lambda: len(numbers))
        first, second = (self._matrix(part, numbers) for part in (rows, others))
        width = len(numbers)
        first.resize(len(rows), width)
        second.resize(len(others), width)
        shared = (first @ second.T).toarray()
        sizes = [
            np.maximum([len(self.content[example.id]) for example in part], 1)
            for part in (rows, others)
        ]
        return (shared / np.minimum(sizes[0][:, None], sizes[1][None, :])).max(axis=1).tolist()

    def _matrix(self, rows: Sequence[Example], numbers: dict[str, int]) -> csr_array:
        places = [(i, numbers[w]) for i, row in enumerate(rows) for w in self.content[row.id]]
        at = np.array(places, dtype=np.int64).reshape(-1, 2).T
        return csr_array((np.ones(at.shape[1]), (at[0], at[1])), shape=(len(rows), len(numbers)))


def benign_tables(
    draws: Sequence[Sequence[Example]], data: Data, seeds: Sequence[int]
) -> list[Table]:
    return [
        cross_table(draws, data, seeds),
        same_source_table(draws, data),
        unplanted_duplicates(draws, data),
    ]


def cross_table(draws: Sequence[Sequence[Example]], data: Data, seeds: Sequence[int]) -> Table:
    """Pool rows of one source against test rows of another, in corpora of their own."""
    sources = sorted({example.source for example in data.test})
    rates: dict[str, list[float]] = defaultdict(list)
    worst: dict[str, list[float]] = defaultdict(list)
    for pool, seed in zip(draws, seeds, strict=True):
        print(f"benign pairs of sources: seed {seed}", flush=True)
        rng = random.Random(f"pairs {seed}")
        flagged: Counter[str] = Counter()
        most: Counter[str] = Counter()
        looked_at = 0
        for tested in sources:
            unrelated = [s for s in sources if s != tested and not _related(s, tested)]
            tests = [example for example in data.test if example.source == tested]
            for source in rng.sample(unrelated, PARTNERS):
                rows = [example for example in pool if example.source == source]
                looked_at += len(rows)
                counts = {"guard": len(find_leaks(rows, {"test": tests}))}
                counts |= {str(size): len(shares_run(rows, tests, size)) for size in PEERS}
                for name, count in counts.items():
                    flagged[name] += count
                    most[name] = max(most[name], 100 * count / max(len(rows), 1))
        for name in ("guard", *map(str, PEERS)):
            rates[name].append(flagged[name] / looked_at)
            worst[name].append(most[name])
    names = ("guard", *map(str, PEERS))
    return Table(
        "Flagged by mistake: rows of one source against test rows of another, %",
        ["of", "guard", *(f"{size}-gram" for size in PEERS)],
        [
            ["all rows", *(Spread([100 * v for v in rates[n]], mean, decimals=3) for n in names)],
            ["the worst pair", *(Spread(worst[n], mean, decimals=2) for n in names)],
        ],
        f"Each of the {len(sources)} sources' test rows against all pool rows of {PARTNERS} other "
        f"sources drawn by the seed, a run a pair: {PARTNERS * len(sources)} of "
        f"{len(sources) * (len(sources) - 1):,} ordered pairs a seed. Not drawn: sources made from "
        "the same texts (the two DuoRC; the three adversarial QA).",
    )


def _related(first: str, second: str) -> bool:
    return any({first, second} <= group for group in RELATED)


def same_source_table(draws: Sequence[Sequence[Example]], data: Data) -> Table:
    """The whole pool against the whole test split, against what the judge says."""
    print("the same source", flush=True)
    judge = Judge.of(data)
    pool = [replace(example, row=row) for row, example in enumerate(draws[0])]
    flagged = {
        "guard": {removal.id for removal in find_leaks(pool, {"test": data.test})},
        **{f"{size}-gram": shares_run(pool, data.test, size) for size in PEERS},
    }
    best = {}
    for source in sorted({example.source for example in pool}):
        rows = [example for example in pool if example.source == source]
        tests = [e for e in data.test if e.source == source or _related(e.source, source)]
        best |= dict(zip([e.id for e in rows], judge.most_shared(rows, tests), strict=True))
    same = {row for row, share in best.items() if share >= 0.5}
    unrelated = {row for row, share in best.items() if share < 0.5}
    lines = []
    for name, ids in flagged.items():
        lines.append(
            [name, f"{len(ids):,}", f"{100 * len(ids & same) / len(same):.1f}",
             f"{len(ids & unrelated):,}", f"{100 * len(ids & unrelated) / len(unrelated):.2f}"]
        )  # fmt: skip
    return Table(
        "The whole pool against the whole test split",
        ["rule", "rows flagged", "of rows with the same content, %", "of unrelated rows",
         "of unrelated rows, %"],
        lines,
        f"T0 has each text in several templates, and its split is drawn by row: by the judge, "
        f"{len(same):,} of {len(pool):,} pool rows share half of their content words with a test "
        f"row of their source; {len(unrelated):,} do not and count as unrelated. The judge looks "
        "at sets of words: some texts on one subject it takes for the same, and a text that more "
        "than a fifth of a template's rows share for part of the template.",
    )  # fmt: skip


def unplanted_duplicates(draws: Sequence[Sequence[Example]], data: Data) -> Table:
    """What is called a near-duplicate in T0 as it is."""
    print("near-duplicates in T0 as it is", flush=True)
    judge = Judge.of(data)
    pool = [replace(example, row=row) for row, example in enumerate(draws[0])]
    findings = examine(pool, {}, leakage="off")
    report, _ = findings.settle()
    by_id = {example.id: example for example in pool}
    agreed = same_template = 0
    for removal in report.removed:
        pair = [by_id[removal.id]], [by_id[removal.of]]
        agreed += judge.most_shared(*pair)[0] >= 0.5
        same_template += data.templates[removal.id] == data.templates[removal.of]
    count = len(report.removed)
    return Table(
        "Near-duplicates in the pool as it is",
        ["rows removed", "clusters", "of the pool, %", "the judge agrees, %", "same template, %"],
        [[f"{count:,}", f"{len(report.clusters):,}", f"{100 * count / len(pool):.1f}",
          f"{100 * agreed / max(count, 1):.1f}", f"{100 * same_template / max(count, 1):.1f}"]],
        "Nothing is planted: T0 asks for the same completion of the same text in other words.",
    )  # fmt: skip


# --- 4. speed ---


def speed_table(file: Path, repeats: int) -> Table:
    lines = []
    for splits in (["pool"], ["pool", "more"]):
        print(f"speed: {splits}", flush=True)
        task = {"splits": splits}
        found = [_in_worker(file, task) for _ in range(repeats)]
        pool, read = found[0]["pool"], found[0]["read"]
        lines.append(
            [f"{pool:,} + {read - pool:,}", Spread([f["seconds"] for f in found]),
             Spread([pool / f["seconds"] for f in found]),
             Spread([read / f["seconds"] for f in found]),
             Spread([f["mib"] for f in found])]
        )  # fmt: skip
    return Table(
        "Leaks and near-duplicates of a T0 pool, against all targets and test rows, one thread",
        ["pool rows + others", "CPU seconds", "pool rows/s", "all rows/s", "memory, MiB"],
        lines,
        "Median (min–max), each in a process of its own. CPU time, so that other work on the "
        "machine does not count; memory beyond the rows themselves.",
    )


def _in_worker(file: Path, task: dict[str, object]) -> dict[str, float]:
    os.environ["CURATE_BENCH_DATA"] = str(file.parent)
    return run_worker(__file__, task)


def throughput(data: Data, splits: Sequence[str]) -> dict[str, float]:
    """Runs in a process of its own."""
    pool = [example for split in splits for example in getattr(data, split)]
    pool = [replace(example, row=row) for row, example in enumerate(pool)]
    before, start = peak_mib(), time.process_time()
    findings = examine(pool, {"targets": data.targets, "test": data.test})
    findings.settle()
    seconds = time.process_time() - start
    read = len(pool) + len(data.targets) + len(data.test)
    return {"pool": len(pool), "read": read, "seconds": seconds, "mib": peak_mib() - before}


if __name__ == "__main__":
    main()
