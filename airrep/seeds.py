"""What numbers of one's own draws may start from."""

from __future__ import annotations

import numpy as np

from airrep.errors import ArgumentError


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        ArgumentError: It is not a whole number >= 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed should be a whole number >= 0, found {seed!r}.")
