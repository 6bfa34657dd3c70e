"""How fast the built-in encoder is beside sentence-transformers, and whether they agree.

Contenders encode the same texts with the same threads in the same run, one after the other in
every repeat, so that a busy moment of the machine strikes all of them. Texts of mixed length, long
texts, short texts, and one short query alone are timed apart, because a change can help some and
cost others. Memory is measured in a process of its own for each contender.

    python examples/benchmarks/encoder_throughput.py [--rows 1000] [--repeats 3] [--threads N]

The peer is sentence-transformers with the built-in encoder's own weights, exported, or with the
model of the directory given by --peer. Both libraries cut texts after 512 tokens.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
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
    usable_cores,
)

OURS = {"AirRep, as installed": "auto", "AirRep, float32": "float32"}
PEERS = {
    "sentence-transformers, as installed": "float32",
    "sentence-transformers, bfloat16": "bfloat16",
}
KINDS = {"mixed": (0, None), "long": (384, None), "short": (0, 64)}  # fewest, most tokens of a text
LONGEST = 512  # tokens after which both libraries cut a text
WARM_UP = 32
COMPARED = 256
QUERIES = 20  # encoded one at a time in each repeat


@dataclass(frozen=True)
class Peer:
    """A model in the sentence-transformers layout."""

    directory: Path
    name: str
    trusted: bool  # whether this script wrote it, so that the code it names is this package's

    def load(self, dtype: str, device: str) -> Any:
        """The model on a device, cut after as many tokens as the built-in encoder."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        model = SentenceTransformer(
            str(self.directory), device=device, model_kwargs={"dtype": dtype},
            trust_remote_code=self.trusted,
        )  # fmt: skip
        model.max_seq_length = LONGEST
        return model


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=1000, help="texts of each kind to encode")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=usable_cores())
    options.add_argument("--seed", type=int, default=0, help="of the sample")
    options.add_argument("--peer", type=Path, help="directory of a sentence-transformers model")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    args = options.parse_args()
    if args.worker:
        print(json.dumps(memory_of(**args.worker, texts=json.load(sys.stdin))))
        return
    if find_spec("sentence_transformers") is None:
        print("skipped: sentence-transformers is not installed (pip install 'airrep-curate[dev]').")
        return
    file = find_data(args.data, "t0.parquet")
    described = machine(args.threads)
    use_threads(args.threads)
    texts = samples(file, args.rows, args.seed)
    with peer_model(args.peer) as peer:
        memory = {}
        for name in (*OURS, *PEERS):
            print(f"memory: {name}", flush=True)
            task = {"name": name, "peer": str(peer.directory), "trusted": peer.trusted,
                    "threads": args.threads, "device": args.device}  # fmt: skip
            memory[name] = run_worker(__file__, task, [*texts["long"], *texts["mixed"]])
        contenders = {name: load(name, peer, args.device) for name in (*OURS, *PEERS)}
        rates, latencies, busy = race(contenders, texts, args.repeats)
        tables = [
            rate_table(contenders, rates, latencies),
            *(ratio_table(name, rates, latencies) for name in PEERS),
            cost_table(memory, busy),
            agreement_table(contenders, peer, texts["mixed"][:COMPARED]),
        ]
    Report(
        "encoder_throughput",
        "Encoder: throughput, memory, agreement",
        f"Rows of T0, a random sample of each kind, rendered by the text template: "
        f"{described_texts(texts)}. Both libraries cut a text after {LONGEST} tokens. "
        f"Peer: sentence-transformers with {peer.name}.",
        {"rows": args.rows, "repeats": args.repeats, "seed": args.seed, "peer": peer.name},
        described,
        tables,
    ).write(args.output)


# --- texts and contenders ---


def samples(file: Path, rows: int, seed: int) -> dict[str, list[str]]:
    """For each kind, texts drawn from the whole file, as the encoder reads them."""
    from airrep import TextTemplate, normalize

    table = pq.read_table(file, columns=["prompt", "completion"])
    order = np.random.default_rng(seed).permutation(len(table))
    template = TextTemplate()
    texts = [template.render(normalize(row)) for row in table.take(order).to_pylist()]
    lengths = token_counts(texts)
    found = {}
    for kind, (least, most) in KINDS.items():
        fits = (lengths >= least) & (lengths <= (most or np.inf))
        found[kind] = [texts[i] for i in np.flatnonzero(fits)[:rows]]
        if not found[kind]:
            raise SystemExit(
                f"{file}: expected {kind} texts ({least} to {most} tokens), found none."
            )
    return found


def described_texts(texts: dict[str, list[str]]) -> str:
    """How many texts of each kind there are, and how long they are."""
    lengths = {kind: np.minimum(token_counts(given), LONGEST) for kind, given in texts.items()}
    return "; ".join(
        f"{len(counts):,} {kind} (median {np.median(counts):.0f} tokens, {counts.min()} to "
        f"{counts.max()})"
        for kind, counts in lengths.items()
    )


@contextmanager
def peer_model(given: Path | None) -> Iterator[Peer]:
    """The model that sentence-transformers reads; ours is exported for as long as it is needed."""
    if given is not None:
        yield Peer(given, given.name, trusted=False)
        return
    from airrep import AirRep

    with TemporaryDirectory() as directory:
        AirRep.default(dtype="float32").export_sentence_transformers(directory)
        yield Peer(Path(directory), "the built-in encoder, exported", trusted=True)


def use_threads(threads: int) -> None:
    """For torch, and for the tokenizers of both libraries."""
    import torch

    os.environ["RAYON_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def load(name: str, peer: Peer, device: str) -> Any:
    """A contender, on a device; both kinds have `encode`."""
    from airrep import AirRep

    if name in OURS:
        return AirRep.default(device=device, dtype=OURS[name])
    return peer.load(PEERS[name], device)


def precision(model: Any) -> str:
    network = getattr(model, "model", model)
    return str(next(network.parameters()).dtype).removeprefix("torch.")


def token_counts(texts: list[str]) -> npt.NDArray[np.int64]:
    """Tokens of each text, uncut, in the vocabulary of the built-in encoder."""
    from airrep import AirRep

    backend = AirRep.default(device="cpu").tokenizer.backend_tokenizer
    backend.no_truncation()
    return np.array([len(found.ids) for found in backend.encode_batch(texts)])


# --- measuring ---


def memory_of(
    name: str, peer: str, trusted: bool, threads: int, device: str, texts: list[str]
) -> dict[str, float]:
    """Runs in a process of its own: load one contender, encode everything once."""
    use_threads(threads)
    model = load(name, Peer(Path(peer), "", trusted), device)
    before = resident_mib()
    model.encode(texts)
    return {"loaded": before, "peak": peak_mib()}


Rates = dict[str, dict[str, list[float]]]


def race(
    contenders: dict[str, Any], texts: dict[str, list[str]], repeats: int
) -> tuple[Rates, dict[str, list[float]], dict[str, list[float]]]:
    """What each contender did in each repeat.

    Returns:
        Rows per second by kind of text and contender; milliseconds of one query, the median of
        those asked; processors kept busy over all texts.
    """
    for model in contenders.values():
        for given in texts.values():
            model.encode(given[:WARM_UP])
    rates: Rates = {kind: {name: [] for name in contenders} for kind in texts}
    latencies: dict[str, list[float]] = {name: [] for name in contenders}
    busy: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat, (name, model) in product(range(repeats), contenders.items()):
        wall, processor = 0.0, 0.0
        for kind, given in texts.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            model.encode(given)
            seconds = time.perf_counter() - start
            rates[kind][name].append(len(given) / seconds)
            wall, processor = wall + seconds, processor + time.process_time() - start_cpu
        busy[name].append(processor / wall)
        latencies[name].append(latency(model, texts["short"][:QUERIES]))
        done = ", ".join(f"{kind} {rates[kind][name][-1]:.1f} rows/s" for kind in texts)
        print(f"repeat {repeat + 1}: {name}: {done}, {latencies[name][-1]:.1f} ms", flush=True)
    return rates, latencies, busy


def latency(model: Any, queries: list[str]) -> float:
    """Milliseconds of one short text encoded alone, the median over the queries."""
    taken = []
    for query in queries:
        start = time.perf_counter()
        model.encode([query])
        taken.append((time.perf_counter() - start) * 1000)
    return float(np.median(taken))


def rate_table(
    contenders: dict[str, Any], rates: Rates, latencies: dict[str, list[float]]
) -> Table:
    rows = [
        [name, precision(model), *(Spread(rates[kind][name]) for kind in rates),
         Spread(latencies[name])]
        for name, model in contenders.items()
    ]  # fmt: skip
    return Table(
        "Throughput and latency",
        ["encoder", "computes in", *(f"{kind}, rows/s" for kind in rates), "one query, ms"],
        rows,
        "Median (min–max) over repeats. *One query*: one short text encoded alone.",
    )


def ratio_table(peer: str, rates: Rates, latencies: dict[str, list[float]]) -> Table:
    def ratios(ours: list[float], theirs: list[float]) -> Spread:
        return Spread([a / b for a, b in zip(ours, theirs, strict=True)], decimals=2)

    rows = [
        [ours, *(ratios(rates[kind][ours], rates[kind][peer]) for kind in rates),
         ratios(latencies[peer], latencies[ours])]
        for ours in OURS
    ]  # fmt: skip
    return Table(
        f"How many times as fast as {peer}",
        ["encoder", *rates, "one query"],
        rows,
        "Ratio within one repeat: median (min–max) over repeats.",
    )


def cost_table(memory: dict[str, dict[str, float]], busy: dict[str, list[float]]) -> Table:
    rows = [
        [name, Spread(busy[name]), memory[name]["loaded"], memory[name]["peak"]] for name in memory
    ]
    return Table(
        "Memory and processors",
        ["encoder", "cores busy", "loaded, MiB", "peak, MiB"],
        rows,
        "*Cores busy*: processor time over wall time; less than the number of threads means "
        "waiting, or other work on the machine. *Loaded* and *peak*: resident memory of a fresh "
        "process with the model in it, and the most it held while it encoded the long and the "
        "mixed texts.",
    )


def agreement_table(contenders: dict[str, Any], peer: Peer, texts: list[str]) -> Table:
    """The same weights through both libraries."""
    from airrep import AirRep

    fast, exact = (contenders[name].encode(texts) for name in OURS)
    read_by_us = AirRep.from_pretrained(peer.directory, device="cpu", dtype="float32").encode(texts)
    read_by_peer = contenders["sentence-transformers, as installed"].encode(texts)
    rows = [
        ["the peer's model, float32: AirRep and sentence-transformers",
         *cosines(read_by_us, read_by_peer)],
        ["built-in encoder: as installed and float32", *cosines(fast, exact)],
    ]  # fmt: skip
    return Table(
        "Agreement",
        ["the same weights, twice", "smallest cosine", "mean cosine"],
        rows,
        f"Cosine of the two embeddings of a text, over {len(texts)} texts.",
    )


def cosines(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> tuple[str, str]:
    a, b = left.astype(np.float64), right.astype(np.float64)
    values = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return f"{values.min():.7f}", f"{values.mean():.7f}"


if __name__ == "__main__":
    main()
