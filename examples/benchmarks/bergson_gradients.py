"""Measure the cost of Bergson's projected gradients; a worker of real_models.py.

It runs in an environment that has Bergson and none of our packages (docs/benchmarks.md), and so it
imports none. Standard input holds the model's directory and the tokens and labels of rows; the
last line of standard output is the measurement. Bergson is used as its `build` command does:
batches of rows of similar length within its default budget of tokens, weights and activations in
bfloat16 where the hardware has it; the gradients stay in memory, and the random matrices are made
before the clock runs.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from bergson import CollectorComputer, GradientProcessor, IndexConfig, InMemoryCollector
from bergson.data import allocate_batches
from bergson.utils.worker_utils import setup_model_and_peft
from datasets import Dataset


def measure(
    model: str, rows: list[dict[str, list[int]]], rank: int, narrow: bool, threads: int
) -> dict[str, object]:
    """Rows a second, after one row that nobody counts.

    Args:
        model: Directory of the language model.
        rows: `input_ids` and `labels` of each.
        rank: Rank of each side's projection.
        narrow: Compute in bfloat16.
        threads: Threads that torch may use.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        config = IndexConfig(
            f"{folder}/index", model=model, precision="bf16" if narrow else "fp32",
            projection_dim=rank, loss_reduction="mean",
        )  # fmt: skip
        config.partial_run_path.mkdir()  # the number of tokens is written there
        network, _ = setup_model_and_peft(config)
        processor = GradientProcessor(projection_dim=rank)

        def compute(some: list[dict[str, list[int]]]) -> int:
            data = Dataset.from_list(some)
            collector = InMemoryCollector(
                model=network.base_model, cfg=config, processor=processor, data=data
            )
            lengths = [len(row["input_ids"]) for row in some]
            batches = allocate_batches(lengths, config.token_batch_size)
            computer = CollectorComputer(
                network, data, collector=collector, batches=batches, cfg=config
            )
            computer.run_with_collector_hooks()
            return sum(made.shape[1] for made in collector.gradients.values())

        compute(rows[:1])
        start, start_cpu = time.perf_counter(), time.process_time()
        width = compute(rows)
        seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {"rate": len(rows) / seconds, "cpu": cpu / len(rows), "width": width,
            "mib": peak_mib(), "version": version("bergson")}  # fmt: skip


def peak_mib() -> float:
    """The most memory that this process has held, of the GPU if it computed there."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


print(json.dumps(measure(**json.load(sys.stdin))))
