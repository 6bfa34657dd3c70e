"""What scoring rows costs: the encoder against gradients of the language model, by model size.

    python examples/benchmarks/attribution_cost.py --model DIRECTORY --data DIRECTORY_OF_T0

Three ways to get what a row's influence is computed from, for the language model given and for
others of random weights (cost does not depend on what the weights are):

    built-in        the encoder that ships with the package; it never sees the language model
    model's own     an encoder made of the language model itself: one forward pass, or (--pooling
                    gradient) a backward pass, too
    gradients       the features of `GradientScorer` at its defaults (a pass forth and back, random
                    projections), and their whitening over the pool

Every contender is a process of its own, which loads its model once and then waits for its turn;
turns are interleaved, so that a busy moment of the machine strikes all of them. Rows are T0's, or
made-up ones where there is no T0.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from reporting import (
    Report,
    Spread,
    Table,
    machine,
    number,
    parser,
    peak_mib,
    resident_mib,
    usable_cores,
)
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from airrep import AirRep, Example, normalize
from airrep.language_model.model import LanguageModel
from airrep.machine.hardware import fastest_dtype
from airrep.network.token_pooling import LANGUAGE_MODEL_POOLINGS
from airrep.training.config import TrainConfig
from airrep.training.loop import start_whitened
from airrep.training.starting_point import starting_point
from curate.demo_data import demo_pool
from selection.scorers.gradient import GradientScorer, whiten

BUILT_IN, OWN, GRADIENTS = "built-in encoder", "model's own encoder", "gradients"
LONGEST = 96
GROUP = 16  # rows of like length, so that batches are filled as they are in a large pool
WANTED = 80.0  # times as fast as gradients

# Shapes of random models; a vocabulary of None is the tokenizer's.
SHAPES: dict[str, dict[str, int | None]] = {
    "1M": {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
           "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": None},
    "25M": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12,
            "num_attention_heads": 6, "num_key_value_heads": 6, "vocab_size": None},
    # as SmolLM2-135M, Qwen2.5-0.5B and Llama-3.2-1B
    "135M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
             "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    "500M": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
             "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936},
    "1.2B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
             "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256},
}  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", help="directory of a causal language model")
    options.add_argument("--sizes", nargs="*", choices=SHAPES, default=["25M", "135M", "500M"])
    options.add_argument(
        "--pooling", choices=LANGUAGE_MODEL_POOLINGS, default=LANGUAGE_MODEL_POOLINGS[0],
        help="how the model's own encoder makes features",
    )  # fmt: skip
    options.add_argument("--rows", type=int, default=256, help="in a pass, at most")
    options.add_argument(
        "--work", type=float, default=3e9, help="rows times parameters in a pass, about"
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=usable_cores())
    options.add_argument(
        "--training-seconds", type=float, default=3600.0,
        help="what supervision and training of the encoder took, for the model given",
    )  # fmt: skip
    args = options.parse_args()
    if args.worker:
        serve(**args.worker)
        return
    if args.model is None:
        options.error("name the language model with --model")
    described = machine(args.threads)
    torch.set_num_threads(args.threads)
    rows, origin = find_rows(args.data, args.model)
    measured = []
    with TemporaryDirectory() as folder, worker(BUILT_IN, None, args.threads) as built_in:
        for size in (None, *args.sizes):
            place = Path(folder) / "model"
            examples = [r.example for r in rows]
            parameters = prepare(size, args.model, place, examples, args.pooling)
            count = max(GROUP, min(args.rows, int(args.work / parameters)))
            chosen = groups(rows, count)
            name = size or own_name(args.model)
            print(f"{name}: {parameters:,} parameters, {len(chosen)} rows", flush=True)
            tokens = float(np.mean([row.tokens for row in chosen]))
            measured.append(Size(name, parameters, tokens, race(built_in, place, chosen, args)))
            shutil.rmtree(place)
    measured.sort(key=lambda size: size.parameters)
    Report(
        "attribution_cost",
        "What scoring costs: the encoder against gradients",
        f"From rows to what their influence is computed from, tokenization included; {origin} of "
        f"at most {LONGEST} tokens. *{own_name(args.model)}* is the model given, the others are "
        "random. "
        f"Median (min–max) of {args.repeats} interleaved repeats after a warm-up.",
        {"pooling": args.pooling, "repeats": args.repeats, "rows in a pass, at most": args.rows,
         "work": f"{args.work:g}",
         "training seconds": args.training_seconds,
         "allocator": os.environ.get("LD_PRELOAD", "").rpartition("/")[2] or "glibc"},
        described,
        [speed_table(measured), ratio_table(measured), size_table(measured),
         break_even_table(measured, args.model, args.training_seconds)],
        {"passes": {size.name: size.found for size in measured}},
    ).write(args.output)  # fmt: skip


# --- rows and models ---


@dataclass(frozen=True)
class Row:
    """A row, and how many tokens it has for the model given."""

    example: Example
    tokens: int


def find_rows(data: Path, model: str) -> tuple[list[Row], str]:
    """Short rows, sorted by length, and where they are from."""
    file, origin = data / "t0.parquet", "rows of T0"
    if file.is_file():
        given = pq.read_table(file, filters=[("split", "=", "pool")]).slice(0, 3000).to_pylist()
    else:
        given, origin = demo_pool(3000), "made-up rows"
    examples = [normalize(row, index=i) for i, row in enumerate(given)]
    tokens = LanguageModel.from_pretrained(model).tokenize(examples)
    rows = [Row(e, len(t.ids)) for e, t in zip(examples, tokens, strict=True)]
    return sorted((r for r in rows if r.tokens <= LONGEST), key=lambda r: r.tokens), origin


def groups(rows: Sequence[Row], count: int) -> list[Row]:
    """About `count` rows: GROUP of like length from each of as many places of the distribution."""
    places = max(1, count // GROUP)
    chosen = []
    for place in range(places):
        middle = int((place + 0.5) / places * len(rows))
        start = min(max(0, middle - GROUP // 2), max(0, len(rows) - GROUP))
        chosen += rows[start : start + GROUP]
    return chosen


def prepare(
    size: str | None, model: str, place: Path, examples: Sequence[Example], pooling: str
) -> int:
    """Write the language model and an encoder made of it; how many parameters the former has."""
    directory = Path(model)
    if size is not None:
        directory = place / "language_model"
        tokenizer = AutoTokenizer.from_pretrained(model)
        torch.manual_seed(0)
        shape = {**SHAPES[size], "vocab_size": SHAPES[size]["vocab_size"] or len(tokenizer)}
        config = LlamaConfig(
            **shape, tie_word_embeddings=True, max_position_embeddings=1024,
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    encoder = starting_point(directory, token_pooling=pooling)
    parameters = sum(p.numel() for p in encoder.model.bert.parameters())
    encoder.model.to(fastest_dtype(encoder.model.device))
    # The projector's values do not matter for its cost, but a few hundred rows are what it takes.
    some = examples[:: max(1, len(examples) // max(GROUP, min(256, int(1e9 / parameters))))]
    texts = [encoder.template.render(example) for example in some]
    features = encoder.features(texts)
    start_whitened(encoder, features, TrainConfig(dim=min(TrainConfig.dim, features.shape[1])))
    encoder.save_pretrained(place / "encoder")
    if size is None:
        (place / "language_model").symlink_to(directory.resolve())
    return parameters


# --- contenders, each a process ---


class Worker:
    """A process that measures whenever it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: object) -> dict[str, Any]:
        """Its answer."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"a worker ended before its answer (status {self._process.wait()})")
        return json.loads(answer)


@contextmanager
def worker(kind: str, place: Path | None, threads: int) -> Iterator[Worker]:
    """A contender's process, which ends with the block."""
    task = {"kind": kind, "place": place and str(place), "threads": threads}
    with subprocess.Popen(
        [sys.executable, __file__, "--worker", json.dumps(task)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Worker(process)
        finally:
            process.stdin.close()
            process.stdout.close()


def serve(kind: str, place: str | None, threads: int) -> None:
    """What such a process does: for each list of rows on its standard input, one pass."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print is no answer
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    compute, describe = load(kind, place and Path(place))
    loaded = resident_mib()
    for line in sys.stdin:
        question = json.loads(line)
        if question == "ready?":
            answer: dict[str, Any] = {}
        elif question == "describe":
            answer = {"loaded": loaded, "peak": peak_mib(), **describe()}
        else:
            answer = one_pass(compute, [Example(str(i), *row) for i, row in enumerate(question)])
        print(json.dumps(answer), file=answers, flush=True)


def one_pass(
    compute: Callable[[Sequence[Example]], Any], examples: Sequence[Example]
) -> dict[str, float]:
    """Seconds for no rows at all, and for each of these beyond that."""
    start = time.perf_counter()
    compute([])
    middle = time.perf_counter()
    compute(examples)
    once, whole = middle - start, time.perf_counter() - middle
    return {"once": once, "per_row": (whole - once) / len(examples), "rows": len(examples)}


def load(
    kind: str, place: Path | None
) -> tuple[Callable[[Sequence[Example]], Any], Callable[[], dict[str, float]]]:
    """A contender: examples to what is stored of them, and what is to be said of it."""
    if kind == GRADIENTS:
        model = LanguageModel.from_pretrained(place / "language_model", device="cpu")
        scorer = GradientScorer(model)
        widths = [layer.width for layer in scorer.blocks]
        return (
            scorer.features,
            lambda: {"bytes": 4 * scorer.dim, **whitening(widths, scorer.damping)},
        )
    if kind == BUILT_IN:
        encoder = AirRep.default(device="cpu")
    else:
        encoder = AirRep.from_pretrained(place / "encoder", device="cpu")
    return encoder.encode, lambda: {"bytes": 2 * encoder.dim}


def whitening(widths: Sequence[int], damping: float) -> dict[str, float]:
    """Seconds once per pool, and per row, that whitening takes: one block of each width, scaled.

    Two numbers of rows tell the two apart.
    """
    once, per_row = 0.0, 0.0
    rng = np.random.default_rng(0)
    nobody = np.zeros((0, max(widths)), dtype=np.float32)
    for width in set(widths):
        counts, seconds = (256, 2048), []
        for count in counts:
            pool = rng.standard_normal((count, width), dtype=np.float32)
            timed = []
            for _ in range(3):
                start = time.perf_counter()
                whiten(nobody[:, :width], pool, [width], damping)
                timed.append(time.perf_counter() - start)
            seconds.append(min(timed))
        slope = max(0.0, (seconds[1] - seconds[0]) / (counts[1] - counts[0]))
        per_row += slope * widths.count(width)
        once += max(0.0, seconds[0] - slope * counts[0]) * widths.count(width)
    return {"whiten_once": once, "whiten_per_row": per_row}


def race(built_in: Worker, place: Path, rows: Sequence[Row], args: Any) -> dict[str, Any]:
    """What each contender says of itself, with its passes."""
    given = [(row.example.prompt, row.example.completion) for row in rows]
    with ExitStack() as stack:
        workers = {BUILT_IN: built_in}
        for kind in (OWN, GRADIENTS):
            workers[kind] = stack.enter_context(worker(kind, place, args.threads))
        for contender in workers.values():  # they load side by side, and work one by one
            contender.ask("ready?")
        for contender in workers.values():
            contender.ask(given[: len(given) // 4])
        passes: dict[str, list[dict[str, float]]] = {kind: [] for kind in workers}
        for _ in range(args.repeats):
            for kind, contender in workers.items():
                passes[kind].append(contender.ask(given))
        return {
            kind: {**contender.ask("describe"), "passes": passes[kind]}
            for kind, contender in workers.items()
        }


# --- tables ---


@dataclass(frozen=True)
class Size:
    """A language model's measurements."""

    name: str
    parameters: int
    tokens: float
    found: dict[str, Any]

    def seconds(self, kind: str) -> list[float]:
        """Per row, in each repeat; whitening included."""
        found = self.found[kind]
        return [p["per_row"] + found.get("whiten_per_row", 0.0) for p in found["passes"]]

    def once(self, kind: str) -> float:
        """Seconds that do not depend on how many rows there are."""
        found = self.found[kind]
        middle = float(np.median([p["once"] for p in found["passes"]]))
        return middle + found.get("whiten_once", 0.0)

    def ratios(self, kind: str) -> list[float]:
        """How many times as fast as gradients, in each repeat."""
        pairs = zip(self.seconds(GRADIENTS), self.seconds(kind), strict=True)
        return [slow / fast for slow, fast in pairs]


def own_name(model: str) -> str:
    return Path(model).resolve().name


def speed_table(sizes: Sequence[Size]) -> Table:
    rows = [
        [f"{size.name}: {kind}", f"{size.parameters:,}", size.found[kind]["passes"][0]["rows"],
         size.tokens, Spread([1 / s for s in size.seconds(kind)]),
         Spread([1000 * s for s in size.seconds(kind)]),
         1000 * size.found[kind]["whiten_per_row"] if kind == GRADIENTS else None, size.once(kind),
         size.found[kind]["loaded"], size.found[kind]["peak"]]
        for size in sizes for kind in size.found
    ]  # fmt: skip
    return Table(
        "Speed and memory",
        ["contender", "parameters", "rows in a pass", "tokens of a row", "rows/s", "ms per row",
         "of it whitening", "once, s", "loaded, MiB", "peak, MiB"],
        rows,
        "*Parameters* and *tokens* are the language model's. *Once*: what does not grow with the "
        "rows (drawing projections, factoring the Fisher matrices); it is not in *ms per row*. "
        "Whitening is timed on random numbers, one block of 256 and of 2,048 rows, and scaled to "
        "all blocks. *Loaded* and *peak*: resident memory of the process with its model in it, and "
        "the most it held; whitening, which needs the whole pool's features, is not in it. The "
        "built-in encoder is one process throughout.",
    )  # fmt: skip


def ratio_table(sizes: Sequence[Size]) -> Table:
    rows = [
        [size.name, f"{size.parameters:,}", *(Spread(size.ratios(k)) for k in (BUILT_IN, OWN))]
        for size in sizes
    ]
    said = [f"{kind}: {crossing(sizes, kind, WANTED)}" for kind in (BUILT_IN, OWN)]
    return Table(
        "How many times as fast as gradients",
        ["language model", "parameters", BUILT_IN, OWN],
        rows,
        f"Ratio of rows/s within one repeat. Where it passes {WANTED:.0f}: {'; '.join(said)}.",
    )


def crossing(sizes: Sequence[Size], kind: str, wanted: float) -> str:
    """At which number of parameters the ratio first passes a value, in words."""
    found = [(size.parameters, float(np.median(size.ratios(kind)))) for size in sizes]
    if found[0][1] >= wanted:
        return f"already at {found[0][0]:,} parameters ({number(found[0][1])})"
    for (small, low), (large, high) in pairwise(found):
        if high >= wanted:
            share = math.log(wanted / low) / math.log(high / low)
            place = math.exp(math.log(small) + share * math.log(large / small))
            return f"at about {float(f'{place:.2g}'):,.0f} parameters (interpolated)"
    largest = max(found)
    return (
        f"beyond the largest measured ({number(largest[1])} at {largest[0]:,} parameters), if ever"
    )


def size_table(sizes: Sequence[Size]) -> Table:
    stored = [{kind: size.found[kind]["bytes"] for kind in size.found} for size in sizes]
    rows = [
        [size.name, f"{of[BUILT_IN]:,}", f"{of[OWN]:,}", f"{of[GRADIENTS]:,}",
         of[GRADIENTS] / of[OWN]]
        for size, of in zip(sizes, stored, strict=True)
    ]  # fmt: skip
    return Table(
        "Bytes per row",
        ["language model", BUILT_IN, OWN, GRADIENTS, "gradients / own"],
        rows,
        "Embeddings at half precision, gradient features (rank 32 on both sides) at float32.",
    )


def break_even_table(sizes: Sequence[Size], model: str, training: float) -> Table:
    given = next(size for size in sizes if size.name == own_name(model))
    reference = float(np.median(given.seconds(GRADIENTS)))
    rows = []
    for size in sizes:
        scaled = training * float(np.median(size.seconds(GRADIENTS))) / reference
        rows.append(
            [size.name, f"{size.parameters:,}",
             *(break_even(size, kind, training) for kind in (BUILT_IN, OWN)),
             scaled, *(break_even(size, kind, scaled) for kind in (BUILT_IN, OWN))]
        )  # fmt: skip
    return Table(
        "After how many rows the encoder has paid for itself",
        ["language model", "parameters", f"{BUILT_IN}, as given", f"{OWN}, as given",
         "training, scaled, s", f"{BUILT_IN}, scaled", f"{OWN}, scaled"],
        rows,
        f"Supervision and training cost {training:,.0f} s for the model given. *As given*: the "
        "same for all, as when an encoder is trained once and serves other models. *Scaled*: "
        "supervision by the larger model itself, its cost growing as a row's gradient does. Rows "
        "are rows that are scored, in one pool or in several.",
    )  # fmt: skip


def break_even(size: Size, kind: str, training: float) -> str:
    """Rows from which training, then encoding, takes less time than gradients."""
    slow, fast = (float(np.median(size.seconds(k))) for k in (GRADIENTS, kind))
    if fast >= slow:
        return "never"
    rows = (training + size.once(kind) - size.once(GRADIENTS)) / (slow - fast)
    return f"{max(0, math.ceil(rows)):,}"


if __name__ == "__main__":
    main()
