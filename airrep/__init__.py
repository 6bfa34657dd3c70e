"""Records to group influence: the AirRep encoder and what it needs.

Everything here loads on first use, so that importing a light name (an error, a record)
does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airrep.encoder import AirRep
    from airrep.errors import CurateError
    from airrep.modeling import AirRepConfig, AirRepModel
    from airrep.pooling import group_influence
    from airrep.records import Example, normalise
    from airrep.store import EmbeddingStore
    from airrep.template import TextTemplate
    from airrep.version import __version__

_HOME = {
    "AirRep": "encoder",
    "AirRepConfig": "modeling",
    "AirRepModel": "modeling",
    "CurateError": "errors",
    "EmbeddingStore": "store",
    "Example": "records",
    "TextTemplate": "template",
    "__version__": "version",
    "group_influence": "pooling",
    "normalise": "records",
}

__all__ = [
    "AirRep",
    "AirRepConfig",
    "AirRepModel",
    "CurateError",
    "EmbeddingStore",
    "Example",
    "TextTemplate",
    "__version__",
    "group_influence",
    "normalise",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"airrep.{_HOME[name]}"), name)
    raise AttributeError(f"module 'airrep' has no attribute {name!r}")
