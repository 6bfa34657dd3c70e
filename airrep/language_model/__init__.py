"""Causal language models: loading them, tokens of examples, passes of fixed shapes, losses.

Here belongs what needs no AirRep network; gradients have a folder of their own. Sentence encoders
use the same passes (`batching`), and the same checks of a checkpoint's files.
"""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel as LanguageModel

__getattr__, __dir__, __all__ = lazily(__name__, {"airrep.language_model.model": ["LanguageModel"]})
