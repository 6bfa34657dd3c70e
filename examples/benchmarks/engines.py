"""Who does the work: one process, two that torchrun started, a Ray cluster of this machine.

    python examples/benchmarks/engines.py

Two jobs, each in processes of their own, a thread for each worker: encoding T0 rows into a new
store; and a certified selection from a pool of made-up embeddings that are in a store already,
whose scores do not fit into the memory limit. The picks of all engines are compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from reporting import Report, Spread, Table, find_data, machine, parser, usable_cores

import curate
from airrep.machine.processes import rank
from airrep.template import TextTemplate

ENGINES = {
    "local, one thread": ("local", 1, 1),
    "local": ("local", 1, 2),
    "accelerate, two processes": ("accelerate", 2, 1),
    "ray, two workers": ("ray", 1, 1),
}  # name to engine, processes, threads of each
CENTRES, SIZE, SCALE = 300, 384, 15.0


class MadeUp:
    """Unit vectors around one of 300 centers, made of the text's digest."""

    name, precision, fingerprint = "made up", "float32", "made up"
    dim, template, attention_scale = SIZE, TextTemplate(), SCALE

    def encode(
        self, texts: Sequence[str], *, tokens_per_batch: int = 0, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """See `airrep.store.FingerprintedEncoder`."""
        centers = np.random.default_rng(0).standard_normal((CENTRES, SIZE), dtype=np.float32)
        made = np.empty((len(texts), SIZE), dtype=np.float32)
        for row, text in zip(made, texts, strict=True):
            seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
            row[:] = centers[seed % CENTRES]
            row += np.random.default_rng(seed).standard_normal(SIZE, dtype=np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=2400, help="to encode")
    options.add_argument("--pool", type=int, default=400_000, help="made-up rows to select from")
    options.add_argument("--targets", type=int, default=200)
    options.add_argument("--k", type=int, default=1000)
    options.add_argument("--limit", default="512MB", help="memory limit of the selection")
    options.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args()
    if args.worker is not None:
        work(**args.worker)
        return
    file = find_data(args.data, "t0.parquet")
    described = machine(usable_cores())
    found: dict[str, dict[str, list[float]]] = {name: {} for name in args.engines}
    picks, certified = set(), True
    with tempfile.TemporaryDirectory() as scratch:
        select = {
            "pool": args.pool, "targets": args.targets, "k": args.k, "limit": args.limit,
            "store": f"{scratch}/made-up",
        }  # fmt: skip
        run("local", scratch, {"select": select})  # makes the store, and warms the disk
        for repeat in range(args.repeats):
            for name in args.engines:
                store = f"{scratch}/{repeat}-{name}"
                embed = {"file": str(file), "rows": args.rows, "store": store}
                for task in ({"embed": embed}, {"select": select}):
                    told = run(name, scratch, task)
                    for stage, seconds in told["seconds"].items():
                        found[name].setdefault(stage, []).append(seconds)
                    picks.add(json.dumps(told.get("picks")))
                    certified = certified and told.get("certified", True)
                print(
                    name, {stage: round(s[-1], 2) for stage, s in found[name].items()}, flush=True
                )
    same = len(picks - {"null"}) == 1
    stages = ["encode", "scores and selection"]
    Report(
        "engines",
        "One process, two, a Ray cluster",
        f"Encoding {args.rows:,} T0 rows; certified selection of {args.k:,} from {args.pool:,} "
        f"made-up rows for {args.targets} targets, memory_limit {args.limit}. Seconds in the verb, "
        f"the start of a cluster included; median (min–max) of {args.repeats} interleaved repeats.",
        {
            name: value
            for name, value in vars(args).items()
            if name not in ("worker", "output", "data", "engines")
        },
        described,
        [
            Table(
                "Seconds", ["engine", *stages],
                [[name, *(Spread(of[stage]) for stage in stages)] for name, of in found.items()],
                f"All chose the same rows: {'yes' if same else 'NO'}. The scores did not fit into "
                f"the limit, and the selections are certified: {'yes' if certified else 'NO'}.",
            )
        ],
    ).write(args.output)  # fmt: skip


def run(name: str, scratch: str, task: dict[str, object]) -> dict[str, object]:
    """Do a task with an engine, in processes of its own."""
    engine, processes, threads = ENGINES[name]
    answer = Path(scratch) / "answer.json"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    done = subprocess.run(
        [
            sys.executable, *(launcher if processes > 1 else []), __file__,
            "--worker", json.dumps({"engine": engine, "answer": str(answer), **task}),
        ],
        check=False, capture_output=True, text=True,
        env={
            **os.environ, "OMP_NUM_THREADS": str(threads), "ACCELERATE_USE_CPU": "true",
            "TOKENIZERS_PARALLELISM": "false",
        },
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-3000:]}")
    return json.loads(answer.read_text())


def work(
    engine: str,
    answer: str,
    embed: dict[str, object] | None = None,
    select: dict[str, object] | None = None,
) -> None:
    """Runs in a process of its own, or in several."""
    start = time.perf_counter()
    if embed is not None:
        rows = pq.read_table(
            embed["file"], filters=[("split", "=", "pool")], columns=["prompt", "completion"]
        )
        rows = rows.slice(0, embed["rows"]).to_pylist()
        start = time.perf_counter()
        curate.embed(rows, embed["store"], engine=engine)
        told = {"seconds": {"encode": time.perf_counter() - start}}
    else:
        pool = [{"text": f"row {i}"} for i in range(select["pool"])]
        targets = [{"text": f"target {i}"} for i in range(select["targets"])]
        chosen = curate.select(
            pool, targets, select["k"], encoder=MadeUp(), selector="layered_greedy",
            store=select["store"], engine=engine, memory_limit=select["limit"], leakage="off",
            duplicates="off",
        )  # fmt: skip
        spent = chosen.manifest.seconds
        told = {
            "seconds": {"scores and selection": spent["score"] + spent["select"]},
            "picks": chosen.selection.indices.tolist(),
            "certified": (chosen.manifest.chosen["certificate"] or {}).get("certified", False),
        }
    if rank() == 0:
        Path(answer).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
