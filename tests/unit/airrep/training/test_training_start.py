"""Where training starts: whitened features, or what they tell of a teacher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airrep import AirRep
from airrep.errors import ArgumentError
from airrep.training.config import TrainConfig
from airrep.training.loop import train_encoder
from airrep.training.regression import fit_regression

SETTINGS = TrainConfig(start="teacher", dim=2, damping=0.1, steps=0, scale=7.0)


@pytest.fixture(scope="module")
def problem(make_encoder, planted):
    """(splits, validation, teacher of two numbers), planted in a tiny encoder's features."""
    return planted(make_encoder(token_pooling="segments"))


def started(encoder, problem, directory, config=SETTINGS, *, taught=True):
    """The encoder after no step, and the fingerprint of what it is compared with."""
    splits, validation, teacher = problem
    untrained = []
    outcome = train_encoder(
        encoder, splits, config, directory, validation=validation,
        teacher=teacher if taught else None, on_start=lambda e: untrained.append(e.fingerprint),
    )  # fmt: skip
    return outcome, untrained[0]


@pytest.mark.parametrize("trainable", ["projector", "all"])
def test_it_starts_from_what_features_tell_of_the_teacher(
    make_encoder, problem, tmp_path, trainable
):
    encoder = make_encoder(token_pooling="segments")
    config = replace(SETTINGS, trainable=trainable, ridge=0.5)
    outcome, untrained = started(encoder, problem, tmp_path / "taught", config)
    encoder = outcome.encoder
    teacher = problem[2]
    features = encoder.features([encoder.template.render(e) for e in teacher.examples])
    weight, bias = fit_regression(features, teacher.vectors, 2, 0.5)
    np.testing.assert_allclose(encoder.model.projector.weight.detach(), weight, atol=1e-4)
    np.testing.assert_allclose(encoder.model.projector.bias.detach(), bias, atol=1e-3)
    assert encoder.model.config.normalize
    assert encoder.attention_scale == pytest.approx(7)

    other = make_encoder(token_pooling="segments")
    config = replace(config, start="whitened")
    blind, same = started(other, problem, tmp_path / "blind", config)
    assert untrained != encoder.fingerprint == AirRep(encoder.model, encoder.tokenizer).fingerprint
    assert untrained == same, "on_start shows what has learned nothing"
    assert blind.encoder.attention_scale == pytest.approx(7)
    assert outcome.history[0].lds > blind.history[0].lds + 0.2


def test_what_is_shared_with_the_source_is_started_from(make_encoder, problem, tmp_path):
    splits, validation, teacher = problem
    named = [replace(e, source=f"s{i % 4}") for i, e in enumerate(teacher.examples)]
    taught = splits, validation, replace(teacher, examples=named)
    encoder = make_encoder(token_pooling="segments")
    outcome, _ = started(encoder, taught, tmp_path, replace(SETTINGS, source_share=0.7))
    encoder = outcome.encoder
    features = encoder.features([encoder.template.render(e) for e in named])
    shared = taught[2].shared(0.7).vectors
    weight, _ = fit_regression(features, shared, 2, SETTINGS.ridge)
    np.testing.assert_allclose(encoder.model.projector.weight.detach(), weight, atol=1e-4)
    assert not np.allclose(shared, teacher.vectors, atol=0.1)


def test_gradients_are_their_own_teachers(make_reading_model, problem, tmp_path):
    encoder = make_reading_model(token_pooling="gradient")
    with pytest.raises(ArgumentError, match=r"start 'teacher'.*gradients themselves.*'whitened'"):
        started(encoder, problem, tmp_path)


def test_a_teacher_who_is_not_there(make_encoder, problem, tmp_path):
    encoder = make_encoder(token_pooling="segments")
    with pytest.raises(ArgumentError, match="start is 'teacher', and there is no teacher"):
        started(encoder, problem, tmp_path, taught=False)


def test_more_dimensions_than_the_teacher_has(make_encoder, problem, tmp_path):
    with pytest.raises(ArgumentError, match=r"to 3 dimensions .*teacher's vectors have 2 numbers"):
        started(make_encoder(token_pooling="segments"), problem, tmp_path, replace(SETTINGS, dim=3))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"start": "somewhere"},
            r"training\.start: expected one of whitened, teacher, found 'somewhere'",
        ),
        ({"ridge": 0.0}, r"training\.ridge: expected float > 0\.0, found 0\.0"),
        ({"ridge": float("nan")}, r"training\.ridge: expected float > 0\.0, found nan"),
    ],
)
def test_a_start_that_is_none(setting, message):
    with pytest.raises(ArgumentError, match=message):
        replace(SETTINGS, **setting)
