"""The device and the precision to compute in: one rule for encoders and language models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from airrep.errors import ArgumentError
from airrep.machine.processes import process_group, processes

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_NO_LIMIT = ("ALL", "DEFAULT")  # values of ONEDNN_MAX_CPU_ISA
_WITHOUT_BFLOAT16 = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
)


def default_device() -> torch.device:
    """The process's GPU if there is one, else the CPU."""
    if processes() > 1:
        return torch.device(process_group().device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_dtype(name: str) -> None:
    """Refuse the name of a precision that nothing computes in.

    Raises:
        ArgumentError: It is neither "auto" nor "float32" nor "bfloat16".
    """
    if name not in ("auto", *_DTYPES):
        raise ArgumentError(f"dtype {name!r} is unknown; choose auto, {' or '.join(_DTYPES)}.")


def dtype_named(name: str, device: torch.device) -> torch.dtype:
    """What a name stands for: for "auto" the fastest of the device.

    Raises:
        ArgumentError: See `check_dtype`.
    """
    check_dtype(name)
    return fastest_dtype(device) if name == "auto" else _DTYPES[name]


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it faster than in float32, else float32.

    On CPUs that takes AMX tiles, or AVX-512's bfloat16 dot products on cores that are not Intel's:
    on Intel's, the latter alone are slower than float32 (half its rate on Sapphire Rapids with AMX
    hidden, ten times its rate on Zen 5). A rule, no timing, so that all processes decide alike.
    What ONEDNN_MAX_CPU_ISA forbids, the hardware has not: without it, bfloat16 is emulated, slowly.
    """
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # releases before 2.13 lack it
        can: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        most = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
        tiles = can.get("amx_bf16", False) and ("AMX" in most or most in _NO_LIMIT)
        dots = (
            can.get("avx512_bf16", False)
            and "Intel" not in str(can.get("cpu_name", ""))
            and most not in _WITHOUT_BFLOAT16
        )
        supported = bool(tiles or dots)
    else:
        supported = False
    return torch.bfloat16 if supported else torch.float32
