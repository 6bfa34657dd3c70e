"""Layered greedy where the score matrix is never held: time, memory, and whether it is the same.

Half-precision embeddings in a file on disk, made for this: unit vectors around 300 random centers,
targets around 20 of them, scale 15. For each size of the pool: a selection within the memory limit,
in a process of its own; and, where that takes minutes at most, the greedy on the whole matrix.

    python examples/benchmarks/certified_scale.py [--pool 100_000 1_000_000 10_000_000]
    python examples/benchmarks/certified_scale.py --quick
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the library's own threads work on blocks

import json
import time
from pathlib import Path

import numpy as np
from reporting import (
    Report,
    Table,
    machine,
    parser,
    peak_mib,
    resident_mib,
    run_worker,
    usable_cores,
)

from airrep.disk.atomic import atomic_file
from selection import EmbeddingFile, EmbeddingScores
from selection.certified import certified_greedy
from selection.selectors import GroupGreedy

CENTRES, OF_TARGETS = 300, 20
SCALE = 15.0
AT_ONCE = 1 << 16
DENSE = 2_000_000_000_000  # targets · pool · k up to which the whole matrix is compared


def main() -> None:
    options = parser(__doc__, data=False)
    options.add_argument("--pool", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    options.add_argument("--targets", type=int, default=200)
    options.add_argument("--dim", type=int, default=384)
    options.add_argument("--k", type=int, nargs="+", default=[1000, 10_000])
    options.add_argument("--limit", type=float, default=3.0, help="memory limit, GiB")
    options.add_argument("--scratch", type=Path, default=Path("out/benchmarks/scratch"))
    options.add_argument("--quick", action="store_true", help="small sizes")
    args = options.parse_args()
    if args.worker is not None:
        print(json.dumps(work(**args.worker)))
        return
    if args.quick:
        args.pool, args.k, args.targets, args.dim = [20_000, 50_000], [200], 50, 64
    described = machine(usable_cores())
    rows, details = [], []
    for pool in args.pool:
        file = args.scratch / f"{pool}-{args.dim}.npy"
        make(file, pool, args.dim)
        for k in args.k:
            task = {"file": str(file), "targets": args.targets, "k": k, "limit": args.limit}
            found = run_worker(__file__, task)
            dense = None
            if args.targets * pool * k <= DENSE:
                dense = run_worker(__file__, task | {"dense": True})
                found["equal"] = dense["chosen"] == found["chosen"]
            details.append(found)
            print({name: value for name, value in found.items() if name != "chosen"}, flush=True)
            rows.append(
                [f"{pool:,}", f"{k:,}", found["seconds"], 1e6 * found["seconds"] / pool,
                 found["mib"], found["total_mib"], f"{found['candidates']:,}", found["rounds"],
                 "yes" if found["certified"] else f"to rank {found['first_doubt']}",
                 None if dense is None else dense["seconds"],
                 None if dense is None else ("yes" if found["equal"] else "NO")]
            )  # fmt: skip
    table = Table(
        "Certified layered greedy",
        ["pool", "k", "seconds", "µs per row", "MiB", "MiB in all", "candidates", "rounds",
         "certified", "seconds, whole matrix", "the same"],
        rows,
        "MiB: beyond what the process held before, and in all, at the peak. The whole matrix is "
        "only compared where that takes minutes.",
    )  # fmt: skip
    Report(
        "certified_scale",
        "Layered greedy without the score matrix",
        f"{args.targets} targets, {args.dim} dimensions in half precision, read from disk; unit "
        f"vectors around {CENTRES} centers, targets around {OF_TARGETS} of them; scale {SCALE:g}; "
        f"memory_limit {args.limit:g} GiB. One run each.",
        {
            name: value
            for name, value in vars(args).items()
            if name not in ("worker", "scratch", "output")
        },
        described,
        [table],
        {"measured": details},
    ).write(args.output)


def make(file: Path, pool: int, dim: int) -> None:
    """The pool's embeddings, block by block; made once."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(pool)
    centers = np.random.default_rng(0).standard_normal((CENTRES, dim), dtype=np.float32)
    with atomic_file(file) as part:
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(pool, dim))
        for start in range(0, pool, AT_ONCE):
            count = min(AT_ONCE, pool - start)
            out[start : start + count] = around(centers, CENTRES, count, rng)
        out.flush()


def around(centers: np.ndarray, of: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors around the first centers."""
    rows = centers[rng.integers(0, of, count)]
    rows = rows + rng.standard_normal(rows.shape, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def work(file: str, targets: int, k: int, limit: float, dense: bool = False) -> dict[str, object]:
    """Runs in a process of its own."""
    pool = EmbeddingFile(file)
    centers = np.random.default_rng(0).standard_normal((CENTRES, pool.shape[1]), dtype=np.float32)
    queries = around(centers, OF_TARGETS, targets, np.random.default_rng(1))
    scores = EmbeddingScores(queries, pool, scale=SCALE)
    before, start = resident_mib(), time.perf_counter()
    if dense:
        chosen = GroupGreedy().select(scores, k)
    else:
        chosen = certified_greedy(GroupGreedy(), scores, k, memory=int(limit * 2**30))
    seconds = time.perf_counter() - start
    told = {} if chosen.certificate is None else chosen.certificate.to_dict()
    return {
        **told, "seconds": seconds, "mib": peak_mib() - before, "total_mib": peak_mib(),
        "chosen": chosen.indices.tolist(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
