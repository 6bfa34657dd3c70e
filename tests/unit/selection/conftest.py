from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def influence():
    """f(x, S) = Σ a_i s_i with a = softmax(τ|s|), per target, from scratch in float64."""

    def compute(scores, group, scale):
        chosen = np.asarray(scores, dtype=np.float64)[:, list(group)]
        if not chosen.shape[1]:
            return np.zeros(len(chosen))
        logits = scale * np.abs(chosen)
        attention = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (attention * chosen).sum(axis=1) / attention.sum(axis=1)

    return compute


@pytest.fixture
def normal_scores():
    """Tie-free scores (T, N), float32."""

    def draw(targets=5, pool=40, seed=0):
        rng = np.random.default_rng(seed)
        return rng.standard_normal((targets, pool), dtype=np.float32)

    return draw
