"""Where to compute, and in what: one rule for encoders and language models."""

from __future__ import annotations

import torch

from airrep.processes import process_group, processes


def default_device() -> torch.device:
    """The process's GPU if there is one, else the CPU."""
    if processes() > 1:
        return torch.device(process_group().device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it, else float32."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # oneDNN emulates bfloat16 slowly on CPUs without the instructions, so ask for those.
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        supported = device.type == "cpu" and bool(probe())
    return torch.bfloat16 if supported else torch.float32
