"""Labels and a teacher's vectors, mixed with the means of their source."""

from __future__ import annotations

import numpy as np
import pytest

from airrep import Example
from airrep.errors import ArgumentError
from airrep.template import TextTemplate
from airrep.training.config import TrainConfig
from airrep.training.objective import influence_labels
from airrep.training.rows import Supervision, Teacher, Texts
from airrep.training.source_share import share_labels, share_vectors

SOURCES = ["a", "b", "a", "", "b", "", "a", "alone"]


@pytest.fixture
def labels():
    losses = np.random.default_rng(0).normal(size=(30, 1, len(SOURCES)))
    return influence_labels(losses)


@pytest.fixture
def vectors():
    made = np.random.default_rng(1).normal(size=(len(SOURCES), 6)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_no_share_changes_nothing(labels, vectors):
    assert share_labels(labels, SOURCES, 0.0) is labels
    assert share_vectors(vectors, SOURCES, 0.0) is vectors


def test_a_whole_share_is_the_same_for_all_of_a_source(labels, vectors):
    found, moved = share_labels(labels, SOURCES, 1.0), share_vectors(vectors, SOURCES, 1.0)
    for values, given in ((found.T, labels.T), (moved, vectors)):
        for members in ([0, 2, 6], [1, 4]):
            mean = given[members].mean(axis=0)
            for member in members:
                assert np.corrcoef(values[member], mean)[0, 1] == pytest.approx(1, abs=1e-5)
                np.testing.assert_allclose(values[member], values[members[0]], atol=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_who_has_no_siblings_keeps_what_is_its_own(labels, vectors, share):
    alone = [3, 5, 7]
    np.testing.assert_allclose(
        share_labels(labels, SOURCES, share)[:, alone], labels[:, alone], atol=1e-5
    )
    np.testing.assert_allclose(
        share_vectors(vectors, SOURCES, share)[alone], vectors[alone], atol=1e-6
    )


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_half_way_is_between_and_keeps_its_scale(labels, vectors, share):
    found = share_labels(labels, SOURCES, share)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-5)
    common = labels[:, [1, 4]].mean(axis=1)
    by_hand = (1 - share) * labels[:, 1] + share * common / common.std()
    np.testing.assert_allclose(found[:, 1], by_hand / by_hand.std(), atol=1e-5)
    moved = share_vectors(vectors, SOURCES, share)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    by_hand = (1 - share) * vectors[4] + share * vectors[[1, 4]].mean(axis=0)
    np.testing.assert_allclose(moved[4], by_hand / np.linalg.norm(by_hand), atol=1e-6)


def test_what_cancels_out_leaves_no_broken_numbers():
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    assert np.array_equal(share_vectors(opposite, ["a", "a"], 1.0), opposite)
    labels = np.array([[1, -1], [-1, 1]], dtype=np.float32)
    assert not share_labels(labels, ["a", "a"], 1.0).any()
    assert np.array_equal(share_labels(labels * 0, ["a", "a"], 0.5), labels * 0)


def test_labels_stay_clipped():
    labels = np.zeros((200, 2), dtype=np.float32)
    labels[0] = 10
    assert share_labels(labels, ["a", "a"], 0.5).max() == 10


def test_training_is_given_the_shared_ones(labels, vectors):
    rows = [Example(str(i), f"p{i}", "c", source) for i, source in enumerate(SOURCES)]
    losses = np.random.default_rng(0).normal(size=(30, 1, len(SOURCES)))
    supervision = Supervision(rows, rows, [np.arange(3)] * 30, losses)
    part = Texts(TextTemplate()).part(supervision, 0.5)
    assert np.array_equal(part.labels, share_labels(labels, SOURCES, 0.5))
    teacher = Teacher(rows, vectors).shared(0.5)
    assert np.array_equal(teacher.vectors, share_vectors(vectors, SOURCES, 0.5))


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_from_0_to_1(share):
    with pytest.raises(ArgumentError, match=r"training\.source_share: expected float [<>]= "):
        TrainConfig(source_share=share)
