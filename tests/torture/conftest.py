from __future__ import annotations

import pytest
from stages import make_inputs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory, tiny_lm):
    """A folder with a language model, a sentence encoder, rows and configs."""
    folder = tmp_path_factory.mktemp("torture")
    make_inputs(folder, tiny_lm)
    return folder
