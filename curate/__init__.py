"""Choose the training examples that help a language model most, with the evidence that they do.

    import curate

    chosen = curate.select("pool.jsonl", "targets.jsonl", k=1000)
    chosen.dataset      # your rows, plus why each one is in
    chosen.to_trl()     # ready for trl.SFTTrainer
    chosen.save("out")

    curate.harmful("pool.jsonl", "targets.jsonl", k=100, model="…")  # rows that hurt the targets
    curate.check("pool.jsonl", test="test.jsonl")               # leaks and copies, nothing chosen
    curate.convert("rows.jsonl", "openai", "out.jsonl")         # rows in another trainer's format
    curate.record("pool.jsonl", "heldout.jsonl", model, "runs")  # what training on subsets does
    curate.lds("runs", "pool.jsonl", "heldout.jsonl")           # and whether scores foresee it
    curate.export("runs", "pool.jsonl", "heldout.jsonl", "out")  # runs for AirRep's own code
    curate.trial("pool.jsonl", "targets.jsonl", model)          # does selecting help? ten minutes
    curate.benchmark("config.yaml", "results")                  # methods against each other
    curate.train("train.yaml", "trained")                       # a scorer for your own model
    curate.fit("pool.jsonl", model, "encoder")                  # one of its gradients, no runs
    curate.compare("out", "other")                              # two selections of one pool
    curate.verify("out")                                        # is it still what was written?

Everything loads on first use: importing this package imports neither torch nor datasets.
"""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from airrep.errors import CurateError as CurateError
    from airrep.version import __version__ as __version__
    from curate.demo_data import demo_pool as demo_pool
    from curate.demo_data import demo_targets as demo_targets
    from curate.training_set import TrainingSet as TrainingSet
    from curate.verbs.benchmark import benchmark as benchmark
    from curate.verbs.check import check as check
    from curate.verbs.compare import compare as compare
    from curate.verbs.convert import convert as convert
    from curate.verbs.embed import embed as embed
    from curate.verbs.export import export as export
    from curate.verbs.fit import fit as fit
    from curate.verbs.harmful import harmful as harmful
    from curate.verbs.lds import lds as lds
    from curate.verbs.record import record as record
    from curate.verbs.select import select as select
    from curate.verbs.train import train as train
    from curate.verbs.trial import trial as trial
    from curate.verification import verify as verify
    from selection.constraints import Constraints as Constraints

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "airrep.errors": ["CurateError"],
        "airrep.version": ["__version__"],
        "curate.demo_data": ["demo_pool", "demo_targets"],
        "curate.training_set": ["TrainingSet"],
        "curate.verbs.benchmark": ["benchmark"],
        "curate.verbs.check": ["check"],
        "curate.verbs.compare": ["compare"],
        "curate.verbs.convert": ["convert"],
        "curate.verbs.embed": ["embed"],
        "curate.verbs.export": ["export"],
        "curate.verbs.fit": ["fit"],
        "curate.verbs.harmful": ["harmful"],
        "curate.verbs.lds": ["lds"],
        "curate.verbs.record": ["record"],
        "curate.verbs.select": ["select"],
        "curate.verbs.train": ["train"],
        "curate.verbs.trial": ["trial"],
        "curate.verification": ["verify"],
        "selection.constraints": ["Constraints"],
    },
)
