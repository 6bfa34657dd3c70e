"""Where to compute, and in what: one rule for encoders and language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from airrep.processes import process_group, processes


def default_device() -> torch.device:
    """The process's GPU if there is one, else the CPU."""
    if processes() > 1:
        return torch.device(process_group().device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it faster than in float32, else float32.

    On CPUs that takes AMX tiles, or AVX-512's bfloat16 dot products on cores that are not Intel's:
    on Intel's, the latter alone are slower than float32 (half its rate on Sapphire Rapids with AMX
    hidden, ten times its rate on Zen 5). A rule, no timing, so that all processes decide alike.
    """
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # releases before 2.13 lack it
        can: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        dots = can.get("avx512_bf16", False) and "Intel" not in str(can.get("cpu_name", ""))
        supported = bool(can.get("amx_bf16", False) or dots)
    else:
        supported = False
    return torch.bfloat16 if supported else torch.float32
