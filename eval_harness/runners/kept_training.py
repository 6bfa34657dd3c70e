"""Weights and the optimizer's moments, kept while a run trains, so that a killed one goes on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from airrep.disk.parts import Steps

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of the optimizer


def take_up(
    kept: Steps, weights: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> int:
    """Put weights and moments where the work was left; returns the steps that were done."""
    done, arrays = kept.find()
    found = iter(map(torch.from_numpy, arrays))
    for weight in weights.values() if done else ():
        with torch.no_grad():
            weight.copy_(next(found))
        moments = {name: next(found).to(weight.device) for name in _MOMENTS}
        optimizer.state[weight] = {"step": torch.tensor(float(done)), **moments}
    return done


def keep(
    kept: Steps, done: int, weights: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """So many steps are done; what they made is written if it is time."""
    size = sum((1 + len(_MOMENTS)) * weight.nbytes for weight in weights.values())

    def arrays() -> list[npt.NDArray[np.float32]]:
        return [
            tensor.detach().cpu().numpy()
            for weight in weights.values()
            for tensor in (weight, *(optimizer.state[weight][name] for name in _MOMENTS))
        ]

    kept.put(done, size, arrays)
