"""The whitening projector, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from airrep.errors import ArgumentError
from airrep.training import whitening as whitening_module
from airrep.training.whitening import fit_whitening

BLOCKS = [10, 6, 14]
SIZE = sum(BLOCKS)


def features_of(rows, size=SIZE, seed=0):
    """Correlated, of very different scales, far from the origin."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, size)) @ rng.normal(size=(size, size))
    return (mixed * np.geomspace(0.1, 20, size) + rng.normal(size=size) * 30).astype(np.float32)


def embed(projector, features):
    weight, bias = (part.astype(np.float64) for part in projector)
    return features.astype(np.float64) @ weight.T + bias


def by_definition(features, blocks, damping):
    """Each block centered, times (C + λI)^(-1/2), of total variance 1 over the blocks together."""
    centered = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    parts = []
    for part in np.split(centered, np.cumsum(blocks)[:-1], axis=1):
        covariance = part.T @ part / len(part)
        ridge = damping * np.trace(covariance) / min(part.shape)
        values, vectors = np.linalg.eigh(covariance + ridge * np.eye(len(covariance)))
        white = part @ (vectors / np.sqrt(values)) @ vectors.T
        parts.append(white / np.sqrt((white**2).sum(axis=1).mean() * len(blocks)))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("damping", [1e-6, 0.1, 3.0, 100.0])
@pytest.mark.parametrize("rows", [8, 12, 20, 300])
def test_inner_products_are_those_of_the_definition(rows, damping):
    """In all dimensions the embeddings are the whitened features but for a rotation."""
    features = features_of(rows)
    weight, bias = fit_whitening(features, BLOCKS, SIZE, damping)
    assert weight.shape == (SIZE, SIZE)
    assert bias.shape == (SIZE,)
    assert weight.dtype == bias.dtype == np.float32
    found, expected = embed((weight, bias), features), by_definition(features, BLOCKS, damping)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=2e-4)
    assert (found**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("block", range(3))
def test_with_hardly_any_damping_a_block_comes_out_white(block):
    features = features_of(500)
    start = sum(BLOCKS[:block])
    own = features[:, start : start + BLOCKS[block]]
    found = embed(fit_whitening(own, [BLOCKS[block]], BLOCKS[block], 1e-7), own)
    covariance = found.T @ found / len(found)
    np.testing.assert_allclose(covariance, np.eye(BLOCKS[block]) / BLOCKS[block], atol=1e-4)


def test_blocks_count_alike_whatever_their_scale():
    features = features_of(400)
    loud = features.copy()
    loud[:, :10] *= 1000
    plain, scaled = (embed(fit_whitening(f, BLOCKS, SIZE, 3.0), f) for f in (features, loud))
    np.testing.assert_allclose(scaled @ scaled.T, plain @ plain.T, atol=1e-3)


def test_the_main_directions_come_first():
    features = features_of(400)
    all_of_them = embed(fit_whitening(features, BLOCKS, SIZE, 3.0), features)
    variances = all_of_them.var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()
    first = embed(fit_whitening(features, BLOCKS, 7, 3.0), features)
    np.testing.assert_allclose(first, all_of_them[:, :7], atol=1e-4)
    white = by_definition(features, BLOCKS, 3.0)
    best = np.linalg.eigvalsh(white.T @ white / len(white))[::-1]
    np.testing.assert_allclose(variances, best, atol=1e-4)


def test_few_rows_agree_with_many_on_their_span():
    """The same rows once more are no news, but take the other path."""
    few = features_of(20)
    many = np.concatenate([few, few])
    assert len(few) < SIZE < len(many)
    for damping in (0.1, 3.0):
        left = embed(fit_whitening(few, BLOCKS, 19, damping), few)
        right = embed(fit_whitening(many, BLOCKS, 19, damping), few)
        np.testing.assert_allclose(left @ left.T, right @ right.T, atol=1e-3)
        np.testing.assert_allclose(left, right, atol=1e-3)


def test_directions_beyond_the_rows_are_zero():
    few = features_of(20)
    weight, bias = fit_whitening(few, BLOCKS, SIZE, 3.0)
    assert np.abs(weight[:19]).max(axis=1).min() > 1e-4
    assert (weight[19:] == 0).all()
    assert (bias[19:] == 0).all()


@pytest.mark.parametrize("rows", [12, 200])
@pytest.mark.parametrize("noise", [0, 1e-7])
def test_a_constant_block_says_nothing(rows, noise):
    """Nor does one that varies as rounding does."""
    features = features_of(rows)
    rng = np.random.default_rng(1)
    features[:, 10:16] = 3.7 * (1 + noise * rng.normal(size=(rows, 6)))
    weight, bias = fit_whitening(features, BLOCKS, 8, 3.0)
    assert (weight[:, 10:16] == 0).all()
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()
    rest = np.delete(features, np.s_[10:16], axis=1)
    alone = embed(fit_whitening(rest, [10, 14], 8, 3.0), rest)
    np.testing.assert_allclose(embed((weight, bias), features) * np.sqrt(3 / 2), alone, atol=1e-3)


def test_rows_that_are_all_alike_give_zeros():
    weight, bias = fit_whitening(np.full((5, SIZE), 2.5, np.float32), BLOCKS, 4, 3.0)
    assert (weight == 0).all()
    assert (bias == 0).all()


@pytest.mark.parametrize("rows", [20, 200])
def test_the_signs_are_fixed(rows):
    """The order of the rows changes rounding, and would change signs."""
    features = features_of(rows)
    expected, _ = fit_whitening(features, BLOCKS, 5, 3.0)
    assert np.array_equal(fit_whitening(features, BLOCKS, 5, 3.0)[0], expected)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(rows)
        found, _ = fit_whitening(features[order], BLOCKS, 5, 3.0)
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_of_very_many_rows_some_are_drawn(monkeypatch):
    monkeypatch.setattr(whitening_module, "_ROWS", 64)
    features = features_of(1000)
    first, again = (fit_whitening(features, BLOCKS, 5, 3.0) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], fit_whitening(features[:64], BLOCKS, 5, 3.0)[0])
    length = (embed(fit_whitening(features, BLOCKS, SIZE, 3.0), features) ** 2).sum(axis=1)
    assert length.mean() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("rows", "dim", "damping"),
    [(1, 4, 3.0), (0, 4, 3.0), (9, 0, 3.0), (9, SIZE + 1, 3.0), (9, 4, 0.0), (9, 4, -1.0),
     (9, 4, np.nan)],
)  # fmt: skip
def test_what_cannot_be_projected_is_refused(rows, dim, damping):
    with pytest.raises(ArgumentError, match=rf"to {dim} dimensions .*found {rows} rows?"):
        fit_whitening(features_of(rows), BLOCKS, dim, damping)
