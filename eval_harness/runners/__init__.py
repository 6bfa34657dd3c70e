"""Runners: rows to fine-tuned models. Each loads on first use."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval_harness.runners.base import Runner, TrainedModels, TrainingRun
    from eval_harness.runners.stacked import StackedRunner
    from eval_harness.runners.trl import TrlRunner

_HOME = {
    "Runner": "base",
    "StackedRunner": "stacked",
    "TrainedModels": "base",
    "TrainingRun": "base",
    "TrlRunner": "trl",
}

__all__ = ["Runner", "StackedRunner", "TrainedModels", "TrainingRun", "TrlRunner"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"eval_harness.runners.{_HOME[name]}"), name)
    raise AttributeError(f"module 'eval_harness.runners' has no attribute {name!r}")
