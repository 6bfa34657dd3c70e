"""Records to group influence: the AirRep encoder and what it needs.

Everything here loads on first use, so that importing a light name (an error, a record)
does not import torch.
"""

from typing import TYPE_CHECKING

from airrep.machine.lazy import lazily

if TYPE_CHECKING:
    from airrep.encoder import AirRep as AirRep
    from airrep.errors import CurateError as CurateError
    from airrep.network.modeling import AirRepConfig as AirRepConfig
    from airrep.network.modeling import AirRepModel as AirRepModel
    from airrep.pooling import group_influence as group_influence
    from airrep.records import Example as Example
    from airrep.records import normalize as normalize
    from airrep.store import EmbeddingStore as EmbeddingStore
    from airrep.template import TextTemplate as TextTemplate
    from airrep.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {
        "airrep.encoder": ["AirRep"],
        "airrep.errors": ["CurateError"],
        "airrep.network.modeling": ["AirRepConfig", "AirRepModel"],
        "airrep.pooling": ["group_influence"],
        "airrep.records": ["Example", "normalize"],
        "airrep.store": ["EmbeddingStore"],
        "airrep.template": ["TextTemplate"],
        "airrep.version": ["__version__"],
    },
)
