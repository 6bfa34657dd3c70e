"""A chosen set to evidence: fine-tune on it, and measure."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval_harness.precision import source_precision
    from eval_harness.sft import FineTuned, fine_tune

_HOME = {"FineTuned": "sft", "fine_tune": "sft", "source_precision": "precision"}

__all__ = ["FineTuned", "fine_tune", "source_precision"]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"eval_harness.{_HOME[name]}"), name)
    raise AttributeError(f"module 'eval_harness' has no attribute {name!r}")
