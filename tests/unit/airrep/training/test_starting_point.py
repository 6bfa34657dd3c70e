"""What training starts from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import MPNetConfig, MPNetModel

from airrep import AirRep
from airrep.errors import ArgumentError, CheckpointError, MissingInputError
from airrep.training.starting_point import starting_point

TEXTS = ["Question: why\nAnswer: two", "Question: what is it\nAnswer: a stone", "green river"]


@pytest.fixture
def mpnet(tmp_path, make_tokenizer, tiny_size):
    """Directory of a tiny sentence encoder that is no BERT."""
    tokenizer = make_tokenizer(pad_id=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MPNetModel(MPNetConfig(**tiny_size(tokenizer))).save_pretrained(tmp_path / "mpnet")
    tokenizer.save_pretrained(tmp_path / "mpnet")
    return tmp_path / "mpnet"


@pytest.mark.parametrize("kind", ["checkpoint of ours", "sentence encoder"])
def test_a_sentence_encoder_looks_at_segments(tiny_directory, mpnet, kind):
    directory = tiny_directory if kind == "checkpoint of ours" else mpnet
    known = AirRep.from_pretrained(directory, dtype="float32")
    encoder = starting_point(directory)
    config = encoder.model.config
    assert (config.token_pooling, encoder.model.feature_blocks) == ("segments", [32, 32])
    assert encoder.model.projector.in_features == 64
    assert known.template.completion_share is None
    assert encoder.template == replace(known.template, completion_share=0.5)
    assert encoder.name == str(directory)
    plain = encoder.features(["green river"])[:, 32:]  # all of its tokens are the completion's
    pooled = starting_point(directory, token_pooling="mean").features(["green river"])
    assert np.array_equal(plain, pooled)
    assert np.array_equal(pooled, known.features(["green river"]))


@pytest.mark.parametrize("pooling", ["mean", "cls", "segments", "levels"])
def test_any_pooling_of_sentence_encoders_can_be_asked_for(tiny_directory, tmp_path, pooling):
    encoder = starting_point(tiny_directory, token_pooling=pooling, max_tokens=17)
    assert encoder.model.config.token_pooling == pooling
    assert encoder.reader.longest == 17
    encoder.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert np.array_equal(loaded.features(TEXTS), encoder.features(TEXTS))
    assert loaded.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_language_model_predicts(make_reading_model, kind):
    encoder = make_reading_model(kind, separator=" => ", max_tokens=99)
    config = encoder.model.config
    assert config.token_pooling == "prediction"
    assert config.separator == " => "
    assert config.backbone["model_type"] == kind
    assert encoder.template.max_tokens == 99
    assert encoder.template.prompt_words is None
    assert np.isfinite(encoder.features(["why\x1etwo"])).all()


@pytest.mark.parametrize("pooling", [None, "prediction"])
def test_a_checkpoint_of_ours_that_reads_as_a_language_model(make_reading_model, tmp_path, pooling):
    texts = ["why\x1etwo", "what is it\x1ea stone", "green river", "why\x1estone"]
    trained = make_reading_model(separator=" => ", texts=texts)
    with torch.no_grad():
        trained.model.prediction.inputs.mul_(2)
    trained.save_pretrained(tmp_path / "trained")
    again = starting_point(tmp_path / "trained", token_pooling=pooling)
    assert np.array_equal(again.features(texts), trained.features(texts))
    assert again.model.config.separator == " => ", "the checkpoint's own"
    with pytest.raises(ArgumentError, match=r"'segments' is not for .*trained; choose pred"):
        starting_point(tmp_path / "trained", token_pooling="segments")


def test_it_is_the_same_every_time(tiny_directory, mpnet, make_reading_model, tmp_path):
    """A training run is known by its start, also to a process that takes it up."""
    make_reading_model().save_pretrained(tmp_path / "reading")
    for directory in (tiny_directory, mpnet, tmp_path / "reading"):
        first, second = starting_point(directory), starting_point(directory)
        assert first.fingerprint == second.fingerprint


def test_it_is_in_float32_and_in_evaluation_mode(make_encoder, tmp_path):
    narrow = make_encoder()
    narrow.model.to(torch.bfloat16)
    narrow.save_pretrained(tmp_path / "narrow")
    encoder = starting_point(tmp_path / "narrow")
    assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}
    assert not any(module.training for module in encoder.model.modules())


def test_poolings_that_a_backbone_does_not_have(tiny_directory, tiny_lm):
    for pooling in ("prediction", "max"):
        with pytest.raises(
            ArgumentError, match=f"'{pooling}' is not for .*; choose mean or cls or"
        ):
            starting_point(tiny_directory, token_pooling=pooling)
    for pooling in ("mean", "segments", "max"):
        with pytest.raises(ArgumentError, match=f"'{pooling}' is not for .*; choose prediction"):
            starting_point(tiny_lm, token_pooling=pooling)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json: not valid JSON"),
        ("[]", "config.json: expected a JSON object, found list"),
        ('"bert"', "config.json: expected a JSON object, found str"),
        ("{}", "the weights could not be loaded"),
    ],
)
def test_a_config_that_says_nothing(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        starting_point(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        starting_point(tmp_path)
    with pytest.raises(MissingInputError, match="is not a directory"):
        starting_point(tmp_path / "nowhere")


def test_what_is_no_language_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(CheckpointError):
        starting_point(tmp_path)


def test_a_template_that_marks_nothing_cannot_be_told_apart(make_encoder, tmp_path):
    make_encoder(template={"completion_prefix": " | "}).save_pretrained(tmp_path / "old")
    with pytest.raises(CheckpointError, match="'segments' needs a template"):
        starting_point(tmp_path / "old")
    assert (
        starting_point(tmp_path / "old", token_pooling="mean").template.completion_prefix == " | "
    )
