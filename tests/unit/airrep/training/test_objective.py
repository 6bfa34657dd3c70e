"""Labels, predictions and the loss between them, each against plain loops."""

from __future__ import annotations

from math import exp, log1p

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError, SupervisionError
from airrep.pooling import group_influence
from airrep.training import objective as objective_module
from airrep.training.objective import group_scores, influence_labels, pairwise_loss


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def loss_by_hand(predicted, labels, weighting, least, most):
    losses = weights = 0.0
    for target in range(predicted.shape[1]):
        p, y = predicted[:, target].tolist(), labels[:, target].tolist()
        for i in range(len(p)):
            for j in range(len(p)):
                if y[i] - y[j] > least:
                    weight = min(y[i] - y[j], most) if weighting == "difference" else 1.0
                    losses += weight * log1p(exp(p[j] - p[i]))
                    weights += weight
    return losses / weights


def test_labels_are_the_formula():
    losses = np.random.default_rng(0).normal(2, 0.3, (7, 3, 5))
    found = influence_labels(losses)
    assert found.shape == (7, 5)
    assert found.dtype == np.float32
    for example in range(5):
        means = [sum(losses[s, :, example]) / 3 for s in range(7)]
        mean = sum(means) / 7
        deviation = (sum((m - mean) ** 2 for m in means) / 7) ** 0.5
        expected = [(mean - m) / deviation for m in means]
        np.testing.assert_allclose(found[:, example], expected, rtol=1e-6)


def test_the_subset_with_the_lowest_loss_has_the_largest_label():
    losses = np.array([2.0, 1.0, 3.0]).reshape(3, 1, 1)
    assert influence_labels(losses)[:, 0].argsort().tolist() == [2, 0, 1]


def test_labels_know_neither_level_nor_unit_of_a_loss():
    losses = np.random.default_rng(0).normal(size=(6, 2, 4))
    found = influence_labels(losses * [1, 10, 0.01, 3] + [0, 5, 1, -2])
    np.testing.assert_allclose(found, influence_labels(losses), rtol=1e-5)


def test_labels_are_clipped():
    losses = np.zeros((401, 1, 2))
    losses[0, 0], losses[1:, 0, 1] = [-1, 1], 0
    assert influence_labels(losses)[0].tolist() == [10, -10]


def test_an_example_that_nothing_changed_has_labels_of_zero():
    """Also where rounding tells means over repeats apart."""
    losses = np.random.default_rng(0).normal(size=(3, 3, 3))
    losses[:, :, 1] = 0.1
    losses[:, :, 2] = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.3, 0.1]]
    found = influence_labels(losses)
    assert np.ptp(losses[:, :, 2].mean(axis=1)) > 0
    assert not found[:, 1:].any()
    assert found[:, 0].all()


@pytest.mark.parametrize("shape", [(5,), (5, 4), (1, 3, 4), (0, 3, 4), (5, 0, 4), (5, 1, 4, 1)])
def test_losses_of_another_shape_are_refused(shape):
    with pytest.raises(ArgumentError, match=r"expected \(subsets, repeats, examples\)"):
        influence_labels(np.zeros(shape))


def test_losses_that_are_no_numbers_are_refused():
    losses = np.zeros((4, 2, 3))
    losses[2, 1, 0], losses[3, 1, 0] = np.nan, np.inf
    with pytest.raises(SupervisionError, match=r"2 of 24 .* example 0 after subset 2, repeat 1"):
        influence_labels(losses)


SUBSETS = [[0, 3, 4], [5], [1, 2], [4, 3, 8], [2, 7], [], [0, 1, 2, 3, 4, 5, 6, 7, 8]]


@pytest.mark.parametrize("pooling", ["attention", "sum", "mean"])
@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_subsets_of_several_sizes_score_as_they_do_one_by_one(pooling, kind):
    targets, pool = draw(5, 3), draw(9, 3, seed=1)
    subsets = [kind(subset) for subset in SUBSETS]
    found = group_scores(targets, pool, subsets, pooling=pooling, scale=1.7)
    assert found.shape == (7, 5)
    for row, subset in zip(found, SUBSETS, strict=True):
        one = group_influence(targets @ pool[subset].T, pooling=pooling, scale=1.7)
        torch.testing.assert_close(row, one, rtol=1e-12, atol=1e-12)


def test_read_only_arrays_of_any_integers_are_positions():
    """As a plan that was read from disk may hold."""
    targets, pool = draw(2, 3), draw(9, 3, seed=1)
    array = np.array([1, 8], dtype=np.uint16)
    array.flags.writeable = False
    assert group_scores(targets, pool, [array]).equal(group_scores(targets, pool, [[1, 8]]))


def test_scores_have_gradients_in_targets_and_pool():
    inputs = draw(3, 2).requires_grad_(), draw(9, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, p: group_scores(t, p, SUBSETS), inputs)


@pytest.mark.parametrize(
    "subset", [[[0, 1]], [0.0, 1.0], [True, False], [0, 9], [-1, 2], torch.tensor([9])]
)
def test_what_is_no_pool_position_is_refused(subset):
    with pytest.raises(ArgumentError, match="subset 1: expected positions in a pool of 9 rows"):
        group_scores(draw(2, 3), draw(9, 3), [[0], subset])


def test_no_subsets_or_an_unknown_pooling_are_refused():
    with pytest.raises(ArgumentError, match="subsets: expected at least one"):
        group_scores(draw(2, 3), draw(9, 3), [])
    with pytest.raises(ArgumentError, match="pooling 'max' is unknown"):
        group_scores(draw(2, 3), draw(9, 3), [[0]], pooling="max")


@pytest.mark.parametrize("weighting", ["difference", "none"])
@pytest.mark.parametrize(("least", "most"), [(0.1, 5.0), (0.5, 0.8), (0.0, 10.0)])
def test_the_loss_is_a_weighted_mean_over_pairs(weighting, least, most):
    predicted, labels = 3 * draw(9, 6), draw(9, 6, seed=1)
    labels[2] = labels[5]  # ties
    options = {"weighting": weighting, "least": least, "most": most}
    found = pairwise_loss(predicted, labels, **options)
    expected = loss_by_hand(predicted, labels, **options)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    single = pairwise_loss(predicted.float(), labels.float(), **options)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_predictions_far_apart_neither_overflow_nor_round():
    labels = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    for distance, expected in [(-1e4, 1e4), (1e4, 0.0), (-25.0, 25 + log1p(exp(-25)))]:
        predicted = torch.tensor([[distance], [0.0]], dtype=torch.float64)
        assert pairwise_loss(predicted, labels).item() == pytest.approx(expected, rel=1e-15)


def test_the_order_of_subsets_and_targets_does_not_matter():
    predicted, labels = draw(9, 6), draw(9, 6, seed=1)
    expected = pairwise_loss(predicted, labels).item()
    rows, columns = torch.tensor([3, 8, 0, 1, 7, 2, 6, 5, 4]), torch.tensor([5, 1, 0, 3, 2, 4])
    shuffled = pairwise_loss(predicted[rows][:, columns], labels[rows][:, columns])
    assert shuffled.item() == pytest.approx(expected, rel=1e-12)


def test_a_constant_added_to_a_targets_predictions_does_not_matter():
    predicted, labels = draw(9, 6), draw(9, 6, seed=1)
    moved = pairwise_loss(predicted + 10 * draw(6, seed=2), labels).item()
    assert moved == pytest.approx(pairwise_loss(predicted, labels).item(), rel=1e-12)


@pytest.mark.parametrize("pairs", [1, 81, 4 * 81 + 1, 1 << 30])
def test_how_many_targets_are_compared_at_once_does_not_matter(pairs, monkeypatch):
    predicted, labels = draw(9, 6).requires_grad_(), draw(9, 6, seed=1)

    def loss_and_gradient():
        loss = pairwise_loss(predicted, labels)
        return loss, *torch.autograd.grad(loss, predicted)

    expected = loss_and_gradient()
    monkeypatch.setattr(objective_module, "_PAIRS_AT_ONCE", pairs)
    torch.testing.assert_close(loss_and_gradient(), expected, rtol=1e-12, atol=1e-15)


def test_the_graph_holds_no_pairs(monkeypatch):
    """Also where gradients are wanted."""
    held = []

    def keep(tensor):
        held.append(tensor.numel())
        return tensor

    monkeypatch.setattr(objective_module, "_PAIRS_AT_ONCE", 1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        pairwise_loss(draw(30, 8).requires_grad_(), draw(30, 8, seed=1))
    assert sum(held) < 30 * 30


def test_without_pairs_the_loss_is_zero_and_so_is_its_gradient():
    for shape, labels in [((4, 3), torch.tensor([[0.0], [0.03], [0.05], [0.01]])), ((4, 0), None)]:
        predicted = draw(*shape).requires_grad_()
        given = torch.zeros(shape) if labels is None else labels.expand(shape)
        loss = pairwise_loss(predicted, given)
        loss.backward()
        assert loss.item() == 0
        assert not predicted.grad.any()


@pytest.mark.parametrize("weighting", ["difference", "none"])
def test_the_loss_has_gradients_in_the_predictions_alone(weighting):
    predicted, labels = draw(6, 4).requires_grad_(), draw(6, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: pairwise_loss(p, labels, weighting=weighting), predicted
    )
    pairwise_loss(predicted, labels).backward()
    assert labels.grad is None
    better = labels.argmax(dim=0)
    assert (predicted.grad[better, range(4)] < 0).all(), "descent raises the best subset"


def test_other_arguments_are_refused():
    values = draw(4, 3)
    with pytest.raises(ArgumentError, match=r"one shape .* found \(4, 3\) and \(3, 4\)"):
        pairwise_loss(values, values.T)
    with pytest.raises(ArgumentError, match="weighting 'x' is unknown; choose difference or none"):
        pairwise_loss(values, values, weighting="x")
    with pytest.raises(ArgumentError, match="0 <= least < most, found 2 and 1"):
        pairwise_loss(values, values, least=2, most=1)
