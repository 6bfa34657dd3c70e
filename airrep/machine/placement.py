"""The devices of a language model's parts: one device, or several GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from accelerate import dispatch_model, infer_auto_device_map
from transformers import PreTrainedModel

from airrep.errors import ArgumentError
from airrep.machine.hardware import default_device
from airrep.machine.processes import processes

DeviceMap = Literal["auto"] | Mapping[str, str | int]
_SHARE_FOR_WEIGHTS = 0.7  # of a GPU's free memory; passes need the rest


def place(
    network: PreTrainedModel,
    device: str | torch.device | None = None,
    device_map: DeviceMap | None = None,
) -> None:
    """Move a network, in place.

    Args:
        network: A causal language model, on the CPU.
        device: Where to; default the process's GPU if there is one, else the CPU.
        device_map: See `airrep.language_model.model.LanguageModel.from_pretrained`.

    Raises:
        ArgumentError: Both are given, or the GPUs together are too small.
    """
    if device is not None and device_map is not None:
        raise ArgumentError("device and device_map are both given; leave out one.")
    if device_map is None:
        if device is not None or not _exceeds_its_gpu(network):
            network.to(device if device is not None else default_device())
            return
        device_map = "auto"
    if device_map == "auto":
        device_map = _spread(network)
    # hooks even where there is one device, so that all maps take one way
    dispatch_model(network, dict(device_map), force_hooks=True)


def size_in_bytes(network: PreTrainedModel) -> int:
    """Bytes of a network's weights, tied ones counted once."""
    return sum(each.nbytes for part in (network.parameters(), network.buffers()) for each in part)


def _exceeds_its_gpu(network: PreTrainedModel) -> bool:
    """Whether there are several GPUs for this process alone, and one is too small."""
    if processes() > 1 or not torch.cuda.is_available() or torch.cuda.device_count() == 1:
        return False
    return size_in_bytes(network) > _SHARE_FOR_WEIGHTS * torch.cuda.mem_get_info()[0]


def _spread(network: PreTrainedModel) -> dict[str, Any]:
    """A map over all GPUs, or over the CPU where there is none."""
    if not torch.cuda.is_available():
        return {"": "cpu"}
    rooms = {
        gpu: int(_SHARE_FOR_WEIGHTS * torch.cuda.mem_get_info(gpu)[0])
        for gpu in range(torch.cuda.device_count())
    }
    blocks = list(network._no_split_modules or ())
    found = infer_auto_device_map(network, max_memory=rooms, no_split_module_classes=blocks)
    elsewhere = {"cpu", "disk"} & set(found.values())
    if elsewhere:
        raise ArgumentError(
            f"{type(network).__name__}: its weights are {size_in_bytes(network) / 2**30:.1f} GiB, "
            f"and the GPUs have room for {sum(rooms.values()) / 2**30:.1f} GiB beside what passes "
            "take. Hold the weights in fewer bits (--model-dtype int8), or give a device_map."
        )
    return dict(found)
