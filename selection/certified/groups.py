"""Decisions that are alike, put together."""

from __future__ import annotations

import numpy as np

from selection.certified.trajectory import Float64, Int64, Trajectory

_STEPS = 8  # of the power iteration; any direction is valid, a long one is better


def alike(trajectory: Trajectory, groups: int, among: Int64) -> list[Int64]:
    """Cut decisions into so many groups of nearly equal size, each of decisions that are alike.

    Args:
        trajectory: The decisions.
        groups: How many groups; fewer if there are fewer decisions.
        among: (n,) which decisions.
    """
    values = trajectory.values[among]
    features = np.hstack([values, trajectory.log_denominators[among] * values.std()])
    return [among[part] for part in _halved(features, np.arange(len(among)), groups)]


def _halved(features: Float64, members: Int64, groups: int) -> list[Int64]:
    """Cut across the direction in which they differ most, again and again."""
    if groups <= 1 or len(members) <= 1:
        return [members]
    left = groups // 2
    middle = max(1, len(members) * left // groups)
    order = members[np.argsort(_along(features[members]), kind="stable")]
    return _halved(features, np.sort(order[:middle]), left) + _halved(
        features, np.sort(order[middle:]), groups - left
    )


def _along(rows: Float64) -> Float64:
    """Where rows lie along their first principal component."""
    centered = rows - rows.mean(axis=0)
    direction = centered[np.argmax(np.einsum("nt,nt->n", centered, centered))]
    for _ in range(_STEPS):
        direction = centered.T @ (centered @ direction)
        length = np.linalg.norm(direction)
        if not length:
            break
        direction = direction / length
    return centered @ direction
