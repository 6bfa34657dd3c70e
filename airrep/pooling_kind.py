"""The ways to pool a group's scores, by name; `airrep.pooling` computes them, in torch."""

from __future__ import annotations

from typing import Literal, get_args

Pooling = Literal["attention", "sum", "mean"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
