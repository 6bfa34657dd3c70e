"""Losses of targets to how much each counts in the next selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from airrep.errors import ArgumentError

Float64 = npt.NDArray[np.float64]
Weighting: TypeAlias = "Literal['loss', 'none'] | Callable[[Float64], Sequence[float] | Float64]"

LEVELS_PER_DOUBLING = 2
LEAST_LOSS = 2.0**-6  # nats; what is predicted better than that (98.5% a token) is learned


def loss_weights(losses: Sequence[float] | Float64, power: float = 1.0) -> Float64:
    """Weights in proportion to the losses, on a coarse scale: powers of √2.

    Two processes add up gradients in another order than one, so that their models, and losses,
    differ in the last digits, more so from step to step. Weights that followed those digits would
    make selections that depend on the number of processes. On a coarse scale a weight changes only
    where a loss lies within that noise of one of the few boundaries: seldom, though not never.

    Args:
        losses: (targets,) in nats, finite. Below 1/64 they count as 1/64, so that what is learned
            keeps a small say.
        power: 1 for proportion; 2 stresses what is wrong; 0 makes all alike.

    Returns:
        (targets,) above 0.

    Raises:
        ArgumentError: `power` is negative or not finite.

    Example:
        >>> loss_weights([1.0, 2.0, 2.001]).tolist()
        [0.5, 1.0, 1.0]
    """
    if not 0 <= power < np.inf:
        raise ArgumentError(f"power should be a finite number >= 0, found {power}.")
    found = np.maximum(np.asarray(losses, dtype=np.float64), LEAST_LOSS)
    level = np.round(np.log2(found) * LEVELS_PER_DOUBLING) / LEVELS_PER_DOUBLING
    level -= level.max(initial=-np.inf) if level.size else 0.0  # so that no power overflows
    return np.exp2(power * level)


def weights_by(weighting: Weighting, losses: Float64 | None, targets: int, power: float) -> Float64:
    """(targets,) what `weighting` makes of the losses; without losses all count the same.

    Raises:
        ArgumentError: A function of the user's returned another shape.
    """
    if weighting == "none" or losses is None:
        return np.ones(targets)
    if weighting == "loss":
        return loss_weights(losses, power)
    found = np.asarray(weighting(losses.copy()), dtype=np.float64)
    if found.shape != (targets,):
        raise ArgumentError(
            f"weighting: expected one weight per target ({targets}), found {found.shape}."
        )
    return found


def check_weighting(weighting: Weighting, power: float) -> None:
    """Refuse, before any work, what cannot make weights.

    Raises:
        ArgumentError: An unknown name, or a power that is negative or not finite.
    """
    if not callable(weighting) and weighting not in ("loss", "none"):
        raise ArgumentError(
            f"weighting {weighting!r} is unknown; choose loss or none, or give a function of the "
            "targets' losses."
        )
    loss_weights([1.0], power)
