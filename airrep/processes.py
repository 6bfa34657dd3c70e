"""Which of several processes this is, as `accelerate launch` or torchrun started them."""

from __future__ import annotations

import os


def processes() -> int:
    """How many processes work together; 1 unless a launcher started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number, from 0; process 0 writes and reports."""
    return int(os.environ.get("RANK", "0")) if processes() > 1 else 0


def wait_for_everyone() -> None:
    """Return once every process has come here."""
    if processes() > 1:
        from accelerate import PartialState  # brings torch, which one process may not need

        PartialState().wait_for_everyone()
