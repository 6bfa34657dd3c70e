"""A chosen set to evidence: fine-tune on it, and measure.

Importing this package does not import torch; what needs it loads on first use. `eval_harness.lds`
and `eval_harness.accuracy` are the functions; the modules of these names are there for
`from eval_harness.lds import …`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

# Now and not on first use: importing a module binds its name here, once. These lines bind the names
# to the functions after that, for good.
from eval_harness.accuracy import accuracy
from eval_harness.lds import lds

if TYPE_CHECKING:
    from eval_harness.accuracy import Accuracy
    from eval_harness.example_loss import completion_losses
    from eval_harness.lds import LdsResult, lds_difference, lds_of_predictions
    from eval_harness.precision import source_precision
    from eval_harness.predictions import group_predictions
    from eval_harness.recipe import Recipe
    from eval_harness.reliability import NoiseCeiling, noise_ceiling
    from eval_harness.runners.stacked import StackedRunner
    from eval_harness.runners.trl import TrlRunner
    from eval_harness.sft import FineTuned, fine_tune
    from eval_harness.standard_suites import lm_eval_tasks
    from eval_harness.subset_runs import run_subsets
    from eval_harness.subsets import draw_plan
    from eval_harness.text_match import exact_match, token_f1

_HOME = {
    "Accuracy": "accuracy",
    "FineTuned": "sft",
    "LdsResult": "lds",
    "NoiseCeiling": "reliability",
    "Recipe": "recipe",
    "StackedRunner": "runners.stacked",
    "TrlRunner": "runners.trl",
    "completion_losses": "example_loss",
    "draw_plan": "subsets",
    "exact_match": "text_match",
    "fine_tune": "sft",
    "group_predictions": "predictions",
    "lds_difference": "lds",
    "lds_of_predictions": "lds",
    "lm_eval_tasks": "standard_suites",
    "noise_ceiling": "reliability",
    "run_subsets": "subset_runs",
    "source_precision": "precision",
    "token_f1": "text_match",
}

__all__ = [
    "Accuracy",
    "FineTuned",
    "LdsResult",
    "NoiseCeiling",
    "Recipe",
    "StackedRunner",
    "TrlRunner",
    "accuracy",
    "completion_losses",
    "draw_plan",
    "exact_match",
    "fine_tune",
    "group_predictions",
    "lds",
    "lds_difference",
    "lds_of_predictions",
    "lm_eval_tasks",
    "noise_ceiling",
    "run_subsets",
    "source_precision",
    "token_f1",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"eval_harness.{_HOME[name]}"), name)
    raise AttributeError(f"module 'eval_harness' has no attribute {name!r}")
