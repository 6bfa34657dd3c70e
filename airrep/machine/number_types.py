"""The number types that the weights of a language model can be held in while it scores."""

from __future__ import annotations

from typing import Literal

# int8 and int4 are those of the linear layers in the blocks; all else is bfloat16 then.
ModelDtype = Literal["float32", "bfloat16", "int8", "int4"]
