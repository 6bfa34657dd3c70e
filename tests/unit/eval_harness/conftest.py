from __future__ import annotations

import pytest

from airrep.records import Example


@pytest.fixture(scope="session")
def questions():
    """Forty examples of many lengths, with completions of one to twenty words."""
    text = "the river is a stone and what does green mean for two of them"
    words = text.split()
    return [
        Example(
            str(100 + i),
            " ".join(words[(i + j) % len(words)] for j in range(1 + (7 * i) % 45)) + "?",
            " ".join(words[(3 * i + j) % len(words)] for j in range(1 + (5 * i) % 20)),
            source=f"task{i % 3}",
            row=i,
        )
        for i in range(40)
    ]


@pytest.fixture(scope="session")
def small_lm(tiny_lm):
    """`tiny_lm` in float32 on the CPU; treat it as read-only."""
    from airrep.language_model.model import LanguageModel

    return LanguageModel.from_pretrained(tiny_lm, device="cpu")


@pytest.fixture(scope="session")
def random_lm(make_lm):
    """Weights large enough that its answers differ from prompt to prompt; float32, read-only."""
    import torch

    return make_lm(dtype=torch.float32, seed=3)
