"""The rank of this process among those that `accelerate launch` or torchrun started."""

from __future__ import annotations

import atexit
import os
from functools import cache
from typing import Any

from airrep.errors import ArgumentError


def processes() -> int:
    """How many processes work together; 1 unless a launcher started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number, from 0; process 0 writes and reports."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def wait_for_everyone() -> None:
    """Return once every process has come here."""
    if processes() > 1:
        process_group().wait_for_everyone()


def process_group() -> Any:  # noqa: ANN401 (accelerate's PartialState)
    """The group of all processes, joined now unless the caller's program did so before.

    It is left when the program ends.

    Raises:
        ArgumentError: The caller's program set accelerate up for fewer processes.
    """
    import torch  # here and not above, because one process may not need it
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    # Without a GPU, accelerate joins the others only if it is told to use the CPU.
    cpu = not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    group = PartialState(cpu=cpu)
    if group.num_processes != processes():
        raise ArgumentError(
            f"the launcher started {processes()} processes, but accelerate was set up for "
            f"{group.num_processes}. Create its state after the encoder, or on CPUs with cpu=True."
        )
    _leave_at_exit()
    return group


@cache
def _leave_at_exit() -> None:
    """Register, once, what leaves the group.

    A group that is still joined while the interpreter goes down can abort the process: its threads
    then ask for an interpreter that is no more ("terminate called without an active exception").
    """
    atexit.register(_leave)


def _leave() -> None:
    import torch.distributed as group

    # Unless the program has left itself. NCCL's own threads are no danger, and leaving would have a
    # process that failed wait for the others, so that the launcher would not hear of it.
    if group.is_initialized() and group.get_backend() == "gloo":
        group.destroy_process_group()
