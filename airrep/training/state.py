"""A training run on disk, so that a killed one goes on and ends where it would have ended.

    training.json           what the run is (a fingerprint) and the figures so far
    training.safetensors    weights, optimizer moments and the best weights, at the last validation
                            or, if validations are far apart, since; with a digest of them

The random draws of a step depend on the seed and the step's number alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from airrep.disk.atomic import atomic_file
from airrep.disk.digests import content_digest
from airrep.disk.sealed import ALTERED, check_format, reading, write_sealed
from airrep.errors import OutputError, SupervisionError

STATE_FILE = "training.safetensors"
FIGURES_FILE = "training.json"
_FORMAT = 2  # 1 had no losses since the last validation, and was written at validations alone
_ADAM = ("step", "exp_avg", "exp_avg_sq")  # what the optimizer knows of a weight


@dataclass(frozen=True)
class Validated:
    """One validation: step, training loss since the last one (None at the start), and the LDS."""

    step: int
    loss: float | None
    lds: float


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: Steps done.
        history: Validations, in order.
        best: Step of the best validation.
        weights: Weights of that step, by name.
        losses: Losses of the steps since the last validation.
    """

    step: int = 0
    history: list[Validated] = field(default_factory=list)
    best: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)


def save_state(
    directory: Path,
    fingerprint: str,
    progress: Progress,
    trained: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the run, whole or not at all."""
    tensors = {f"weight.{name}": p.detach() for name, p in trained.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.weights.items()}
    for name, parameter in trained.items():
        if state := optimizer.state.get(parameter):
            tensors |= {f"{part}.{name}": state[part] for part in _ADAM}
    described = {
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "step": progress.step,
        "best": progress.best,
        "history": [asdict(v) for v in progress.history],
        "losses": progress.losses,
    }
    kept = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
    # In this order: a run killed in between does the last steps again and writes both.
    write_sealed(directory / FIGURES_FILE, described)
    sealed = [described, _digest(kept, described)]
    with atomic_file(directory / STATE_FILE) as temporary:
        # one entry: safetensors writes several in any order
        save_file(kept, temporary, {"state": json.dumps({"sealed": sealed})})


def write_figures(directory: Path) -> None:
    """Write `training.json` anew, as the state has it.

    Raises:
        SupervisionError: The state is damaged, or of a later version.
    """
    write_sealed(directory / FIGURES_FILE, check_state(directory)[0])


def load_state(
    directory: Path,
    fingerprint: str,
    trained: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Take up the directory's run, or begin one if there is none.

    Raises:
        OutputError: The directory holds a run on other data or with other settings.
        SupervisionError: The file is damaged, or of a later version.
    """
    file = directory / STATE_FILE
    if not file.exists():
        return Progress()
    described, tensors = check_state(directory)
    with _reading(file):
        if described["fingerprint"] != fingerprint:
            raise OutputError(
                "holds a training run on other data or with other settings",
                where=directory,
                remedy="use another directory, or delete this one",
            )
        history = [Validated(**v) for v in described["history"]]
        best = {name: tensors[f"best.{name}"] for name in trained}
        losses = [float(loss) for loss in described.get("losses", [])]
        found = Progress(int(described["step"]), history, int(described["best"]), best, losses)
        with torch.no_grad():
            for name, parameter in trained.items():
                if parameter.shape != tensors[f"weight.{name}"].shape:
                    raise ValueError(f"weight {name!r}")
                parameter.copy_(tensors[f"weight.{name}"])
                if f"step.{name}" in tensors:
                    step, *moments = (tensors[f"{part}.{name}"] for part in _ADAM)
                    average, square = (moment.to(parameter.device) for moment in moments)
                    optimizer.state[parameter] = {
                        "step": step,
                        "exp_avg": average,
                        "exp_avg_sq": square,
                    }
        return found


def check_state(directory: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The directory's state as it was written: figures, and tensors by name.

    Raises:
        SupervisionError: The file is damaged, or of a later version.
    """
    file = directory / STATE_FILE
    with _reading(file):
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        described: dict[str, Any] = json.loads(metadata["state"])
        if "fingerprint" not in described:  # else of a version before there were digests
            described, digest = described["sealed"]
            if digest != _digest(tensors, described):
                raise ValueError(ALTERED)
        check_format(described.get("format", _FORMAT), _FORMAT, file, SupervisionError)
    return described, tensors


def _reading(file: Path) -> AbstractContextManager[None]:
    remedy, problem = "delete the file to train anew", "the training run is damaged"
    return reading(file, remedy, SupervisionError, problem)


def _digest(tensors: Mapping[str, torch.Tensor], described: Mapping[str, Any]) -> str:
    parts: list[Any] = [json.dumps(described, sort_keys=True).encode()]
    for name, tensor in sorted(tensors.items()):
        parts.append(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        parts.append(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content_digest(*parts)
