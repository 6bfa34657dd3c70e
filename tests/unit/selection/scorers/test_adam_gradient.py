"""Scores in the metric of Adam, against explicit gradients and against steps of Adam itself."""

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError
from airrep.gradients.moments import adam_metric, second_moments
from airrep.gradients.random_projections import projected_layers
from airrep.records import Example
from selection.scorers import AdamGradientScorer

POOL = [
    Example("0", "Where do whales live?", "Whales live in the sea."),
    Example("1", "What is 17 + 25?", "42"),
    Example("2", "Name a red fruit.", "An apple."),
    Example("3", "", "The quick brown fox jumps over the lazy dog."),
    Example("4", "Is the sea red?", "No, it is blue."),
    Example("5", "What is 9 + 1?", "It is 10."),
    Example("6", "What is 17 + 25?", "42"),
    Example("7", "Say something.", "Whales, apples, dogs, and 42."),
]
TARGETS = [
    Example("0", "What is 3 + 9?", "12"),
    Example("1", "Do dolphins swim?", "Yes, they swim in the sea."),
    Example("2", "Name a green fruit.", "A pear."),
]
EXACT = {"width": 10**6, "dtype": "float32", "draws": 6, "batch_size": 3}


def _explicit(model, plain_losses, examples):
    """(n, all covered weights) gradients of mean losses, in float64."""
    modules = [model.network.get_submodule(la.name) for la in projected_layers(model.network)]
    found = []
    for loss in plain_losses(model, examples):
        parts = torch.autograd.grad(loss, [m.weight for m in modules], retain_graph=True)
        found.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(found).double()


def test_scores_are_the_formula_written_out(make_lm, plain_losses):
    model = make_lm()
    scorer = AdamGradientScorer(model, **EXACT)
    moments = second_moments(model, POOL, batch_size=3, draws=6, dtype="float32")
    root = torch.cat([adam_metric(m).flatten() for m in moments.values()]).double()
    targets = _explicit(model, plain_losses, TARGETS) * root
    tokens = torch.tensor([len(t.ids) - t.start for t in model.tokenize(POOL)])
    rows = _explicit(model, plain_losses, POOL) * root * tokens[:, None]  # of summed losses
    lengths = rows.norm(dim=1)
    cosines = (targets / targets.norm(dim=1, keepdim=True)) @ (rows / lengths[:, None]).T
    expected = cosines * (lengths / lengths.mean()).sqrt()
    found = scorer.score(TARGETS, POOL)
    np.testing.assert_allclose(found.values(), expected.numpy(), rtol=1e-3, atol=1e-5)
    assert found.method == "gradient_adam"
    np.testing.assert_array_equal(found.values()[:, 1], found.values()[:, 6])


def test_the_metric_is_one_over_the_root_of_the_moments_and_is_bounded():
    found = adam_metric(torch.tensor([[4.0, 16.0], [0.0, 4.0]]))
    floor = (2 + 4 + 0 + 2) / 4 * 1e-3
    expected = torch.tensor([[2 + floor, 4 + floor], [floor, 2 + floor]]).rsqrt()
    torch.testing.assert_close(found, expected)
    assert adam_metric(torch.zeros(2, 2)).isfinite().all()


def test_it_foresees_a_step_of_adam(make_lm, plain_losses):
    """A small step on one row moves each target's loss by -rate · ⟨g_x, D⁻¹ g_z⟩."""
    model = make_lm()
    moments = second_moments(model, POOL, batch_size=3, draws=6, dtype="float32")
    named = dict(model.network.named_parameters())
    before = [loss.item() for loss in plain_losses(model, TARGETS)]
    inner = np.empty((3, len(POOL)))
    measured = np.empty_like(inner)
    scale = {name: adam_metric(m).double().square() for name, m in moments.items()}
    root = torch.cat([adam_metric(m).flatten() for m in moments.values()]).double()
    inner = (_explicit(model, plain_losses, TARGETS) * root) @ (
        _explicit(model, plain_losses, POOL) * root
    ).T
    for z, row in enumerate(POOL):
        layers = [f"{name}.weight" for name in scale]
        (loss,) = plain_losses(model, [row])
        gradients = torch.autograd.grad(loss, [named[name] for name in layers])
        steps = [1e-6 * g * s for g, s in zip(gradients, scale.values(), strict=True)]
        with torch.no_grad():
            for name, step in zip(layers, steps, strict=True):
                named[name] -= step
        after = [loss.item() for loss in plain_losses(model, TARGETS)]
        with torch.no_grad():
            for name, step in zip(layers, steps, strict=True):
                named[name] += step
        measured[:, z] = np.subtract(before, after) / 1e-6
    np.testing.assert_allclose(measured, inner.numpy(), rtol=2e-2, atol=1e-3 * measured.max())


def test_parts_of_the_pool_and_batches_do_not_matter(make_lm, monkeypatch):
    model = make_lm(dtype=torch.float32)
    scorer = AdamGradientScorer(model, width=64, draws=3, dtype="float32")
    whole = scorer.score(TARGETS, POOL).values()
    monkeypatch.setattr("selection.scorers.adam_gradient._BYTES_AT_ONCE", 4 * 64 * 14 * 3)
    parts = AdamGradientScorer(
        model, width=64, draws=3, dtype="float32", tokens_per_batch=8
    ).score(TARGETS, POOL)  # fmt: skip
    np.testing.assert_allclose(parts.values(), whole, rtol=1e-3, atol=1e-5)


def test_the_default_width_keeps_to_the_features_that_there_may_be(make_lm, monkeypatch):
    model = make_lm(dtype=torch.float32)
    assert AdamGradientScorer(model).width == 16384
    monkeypatch.setattr("selection.scorers.adam_gradient.SKETCH_FEATURES", 140)
    scorer = AdamGradientScorer(model)
    (said,) = scorer.score(TARGETS, POOL).provenance
    assert (said["width"], said["features"]) == (10, 140)
    few = AdamGradientScorer(model, modules=["*q_proj"])
    assert few.width == 70
    assert not np.allclose(
        few.score(TARGETS, POOL).values(), scorer.score(TARGETS, POOL).values(), rtol=1e-2
    )


def test_an_encoders_teacher_gets_directions(make_lm):
    model = make_lm(dtype=torch.float32)
    vectors = AdamGradientScorer(model, width=32, draws=2).vectors(POOL)
    assert vectors.shape == (len(POOL), 32 * 14)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("option", ["width", "batch_size", "draws"])
def test_options_below_one_are_refused(make_lm, option):
    with pytest.raises(ArgumentError, match=f"{option} should be >= 1, found 0"):
        AdamGradientScorer(make_lm(dtype=torch.float32), **{option: 0})


def test_nothing_to_score_is_refused(make_lm):
    scorer = AdamGradientScorer(make_lm(dtype=torch.float32))
    with pytest.raises(ArgumentError, match="the pool is empty"):
        scorer.score(TARGETS, [])
    with pytest.raises(ArgumentError, match="no targets"):
        scorer.score([], POOL)
