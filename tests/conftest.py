from __future__ import annotations

import pytest

from airrep import AirRep


@pytest.fixture(scope="session")
def encoder() -> AirRep:
    """The encoder that ships with the package; treat it as read-only."""
    return AirRep.default()
