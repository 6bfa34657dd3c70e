"""Choose the training examples that help a language model most, with the evidence that they do.

    import curate

    chosen = curate.select("pool.jsonl", "targets.jsonl", k=1000)
    chosen.dataset      # your rows, plus why each one is in
    chosen.to_trl()     # ready for trl.SFTTrainer
    chosen.save("out")

    curate.harmful("pool.jsonl", "targets.jsonl", k=100, model="…")  # rows that hurt the targets
    curate.check("pool.jsonl", test="test.jsonl")               # leaks and copies, nothing chosen
    curate.record("pool.jsonl", "heldout.jsonl", model, "runs")  # what training on subsets does
    curate.lds("runs", "pool.jsonl", "heldout.jsonl")           # and whether scores foresee it
    curate.benchmark("config.yaml", "results")                  # methods against each other
    curate.train("train.yaml", "trained")                       # a scorer for your own model
    curate.fit("pool.jsonl", model, "encoder")                  # one of its gradients, no runs
    curate.verify("out")                                        # is it still what was written?

Everything loads on first use: importing this package imports neither torch nor datasets.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airrep.errors import CurateError
    from airrep.version import __version__
    from curate.api import embed, select
    from curate.benchmarks import benchmark
    from curate.checking import check
    from curate.demo_data import demo_pool, demo_targets
    from curate.evidence import lds, record
    from curate.fitting import fit
    from curate.harm import harmful
    from curate.training import train
    from curate.training_set import TrainingSet
    from curate.verification import verify
    from selection.constraints import Constraints

_HOME = {
    "Constraints": "selection.constraints",
    "CurateError": "airrep.errors",
    "TrainingSet": "curate.training_set",
    "__version__": "airrep.version",
    "benchmark": "curate.benchmarks",
    "check": "curate.checking",
    "demo_pool": "curate.demo_data",
    "demo_targets": "curate.demo_data",
    "embed": "curate.api",
    "fit": "curate.fitting",
    "harmful": "curate.harm",
    "lds": "curate.evidence",
    "record": "curate.evidence",
    "select": "curate.api",
    "train": "curate.training",
    "verify": "curate.verification",
}

__all__ = [
    "Constraints",
    "CurateError",
    "TrainingSet",
    "__version__",
    "benchmark",
    "check",
    "demo_pool",
    "demo_targets",
    "embed",
    "fit",
    "harmful",
    "lds",
    "record",
    "select",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")
