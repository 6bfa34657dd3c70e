"""Engines share work: this process, those that a launcher started with it, or a Ray cluster.

The result is the same, bit for bit, as long as all of them compute alike (docs/scale.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from airrep.engines.base import Engine
from airrep.engines.launched import Launched
from airrep.errors import ArgumentError
from airrep.machine.processes import processes

EngineName = Literal["local", "accelerate", "ray"]

__all__ = ["Engine", "EngineName", "Launched", "check_engine", "started"]


def check_engine(name: str) -> None:
    """Refuse an engine that is unknown or not there.

    Raises:
        ArgumentError: "accelerate" without other processes, "ray" with them or without Ray.
    """
    if name not in get_args(EngineName):
        raise ArgumentError(
            f"engine {name!r} is unknown; choose from {', '.join(get_args(EngineName))}."
        )
    if name == "accelerate" and processes() == 1:
        raise ArgumentError(
            "engine 'accelerate' shares the work between processes, and there is only this one. "
            "Start them with: accelerate launch --num_processes N -m curate …, or torchrun; or "
            "leave engine out."
        )
    if name == "ray":
        if processes() > 1:
            raise ArgumentError(
                f"engine 'ray' finds its workers itself, and a launcher started {processes()} "
                "processes. Start one; or leave engine out, and they share the work."
            )
        from airrep.engines.cluster import check_ray  # the one module that knows Ray

        check_ray()


@contextmanager
def started(name: str) -> Iterator[Engine]:
    """The engine of this name; a cluster that it had to start is gone afterwards.

    Raises:
        ArgumentError: See `check_engine`.
    """
    check_engine(name)
    if name != "ray":
        yield Launched()
        return
    from airrep.engines.cluster import connected

    with connected() as engine:
        yield engine
