"""The projector that starts from a teacher's vectors, against ridge regression by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from airrep.errors import ArgumentError
from airrep.training.regression import fit_regression


def rows_of(count, size=24, numbers=12, seed=0):
    """Features of very different scales, and unit vectors that some of them tell of."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, size)) @ rng.normal(size=(size, size))
    told = features @ rng.normal(size=(size, numbers)) + 8 * rng.normal(size=(count, numbers))
    features = features * np.geomspace(0.01, 30, size) + rng.normal(size=size) * 5
    vectors = told / np.linalg.norm(told, axis=1, keepdims=True)
    return features.astype(np.float32), vectors.astype(np.float32)


def embed(projector, features):
    weight, bias = (part.astype(np.float64) for part in projector)
    return features.astype(np.float64) @ weight.T + bias


def foreseen(features, vectors, ridge):
    """What an independent regression predicts of the vectors, but for their mean."""
    standard = StandardScaler().fit_transform(features.astype(np.float64))
    fitted = Ridge(alpha=ridge * len(features)).fit(standard, vectors.astype(np.float64))
    return fitted.predict(standard) - fitted.intercept_


def of_unit_length(rows):
    return rows / np.sqrt(np.square(rows).sum(axis=1).mean())


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 5.0])
@pytest.mark.parametrize("count", [10, 20, 300])
def test_inner_products_are_those_of_the_predictions(count, ridge):
    """Whether rows or features are fewer."""
    features, vectors = rows_of(count)
    weight, bias = fit_regression(features, vectors, 12, ridge)
    assert weight.shape == (12, 24)
    assert bias.shape == (12,)
    assert weight.dtype == bias.dtype == np.float32
    found, expected = (
        of_unit_length(rows)
        for rows in (embed((weight, bias), features), foreseen(features, vectors, ridge))
    )
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=0, atol=2e-3)
    assert np.square(embed((weight, bias), features)).sum(axis=1).mean() == pytest.approx(
        1, rel=1e-4
    )


def test_fewer_dimensions_are_the_main_directions_of_the_predictions():
    features, vectors = rows_of(200)
    found = embed(fit_regression(features, vectors, 3, 0.1), features)
    u, s, _ = np.linalg.svd(foreseen(features, vectors, 0.1), full_matrices=False)
    expected = of_unit_length(u[:, :3] * s[:3])
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, rtol=0, atol=2e-3)


def test_new_rows_are_foreseen():
    """Of cosines that the teacher would give rows it was not asked about."""
    features, vectors = rows_of(600, seed=1)
    found = embed(fit_regression(features[:500], vectors[:500], 12, 0.01), features[500:])
    pairs = np.triu_indices(100, 1)
    mine, theirs = (rows @ rows.T for rows in (found, vectors[500:]))
    assert np.corrcoef(mine[pairs], theirs[pairs])[0, 1] > 0.8


def test_a_feature_that_never_changes_is_left_out():
    features, vectors = rows_of(50)
    weight, bias = fit_regression(features, vectors, 8, 0.1)
    constant = np.concatenate([features, np.full((50, 1), 1234.5, np.float32)], axis=1)
    wider, same = fit_regression(constant, vectors, 8, 0.1)
    assert np.array_equal(wider[:, -1], np.zeros(8))
    np.testing.assert_allclose(wider[:, :-1], weight, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(same, bias, rtol=1e-4, atol=1e-5)


def test_features_that_tell_nothing_give_embeddings_of_nothing():
    vectors = rows_of(20)[1]
    weight, bias = fit_regression(np.full((20, 6), 2.5, np.float32), vectors, 4, 0.1)
    assert not weight.any()
    assert not bias.any()


def test_the_scale_of_features_does_not_matter():
    features, vectors = rows_of(80)
    loud = features * np.float32(2.0) ** np.arange(-6, 6).repeat(2)
    plain, scaled = (embed(fit_regression(f, vectors, 5, 0.1), f) for f in (features, loud))
    np.testing.assert_allclose(np.abs(plain), np.abs(scaled), rtol=0, atol=1e-3)


def test_it_is_deterministic():
    features, vectors = rows_of(60)
    first, second = (fit_regression(features, vectors, 5, 0.1) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


@pytest.mark.parametrize(
    ("rows", "given", "dim", "ridge"),
    [(1, 1, 1, 0.1), (9, 8, 2, 0.1), (9, 9, 0, 0.1), (9, 9, 13, 0.1), (9, 9, 2, 0.0)],
)
def test_what_cannot_be_regressed_is_refused(rows, given, dim, ridge):
    features, vectors = rows_of(9)
    with pytest.raises(ArgumentError, match=r"a regression to .*teacher's vectors have 12 numbers"):
        fit_regression(features[:rows], vectors[:given], dim, ridge)
