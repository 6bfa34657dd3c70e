"""The sentence-transformers layout, against that library itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from airrep import AirRep
from airrep.errors import OutputError

sentence_transformers = pytest.importorskip("sentence_transformers")


def by_the_library(directory, texts):
    model = sentence_transformers.SentenceTransformer(str(directory), device="cpu")
    return model.encode(texts, convert_to_numpy=True, show_progress_bar=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"projection_dim": 20, "normalize": True},
        {"token_pooling": "cls"},
        {"template": {"max_tokens": 20}},
    ],
    ids=["projected cosines", "first token", "cut early"],
)
def test_an_export_computes_the_same_in_the_library_and_here(
    make_encoder, tmp_path, texts, settings
):
    encoder = make_encoder(**settings)
    encoder.export_sentence_transformers(tmp_path / "export")
    expected = encoder.encode(texts)
    np.testing.assert_allclose(by_the_library(tmp_path / "export", texts), expected, atol=1e-5)
    if "template" not in settings:  # which that layout has no place for
        back = AirRep.from_pretrained(tmp_path / "export", dtype="float32")
        np.testing.assert_allclose(back.encode(texts), expected, rtol=0, atol=1e-6)


def test_the_default_encoder_can_be_exported(tmp_path):
    encoder = AirRep.default(dtype="float32")
    encoder.export_sentence_transformers(tmp_path / "export")
    texts = [encoder.template.render(e) for e in _examples()]
    np.testing.assert_allclose(
        by_the_library(tmp_path / "export", texts), encoder.encode(texts), atol=1e-5
    )


def _examples():
    from airrep import Example

    return [
        Example("0", "Name a river in France.", "The Loire."),
        Example("1", "", "Plain text, without a question."),
        Example("2", "Count. " * 300, "One, two, three."),
    ]


def test_a_backbone_that_is_not_bert_can_be_exported(tmp_path, make_tokenizer, tiny_size, texts):
    from transformers import MPNetConfig, MPNetModel

    tokenizer = make_tokenizer(pad_id=1)
    MPNetModel(MPNetConfig(**tiny_size(tokenizer))).save_pretrained(tmp_path / "mpnet")
    tokenizer.save_pretrained(tmp_path / "mpnet")
    encoder = AirRep.from_pretrained(tmp_path / "mpnet", dtype="float32")
    encoder.export_sentence_transformers(tmp_path / "export")
    np.testing.assert_allclose(
        by_the_library(tmp_path / "export", texts), encoder.encode(texts), atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("dense", [False, True])
def test_what_the_library_saves_is_read_here(make_encoder, tmp_path, texts, pooling, dense):
    """Whatever names its current version gives the modules and their settings."""
    modules = sentence_transformers.sentence_transformer.modules
    make_encoder().export_sentence_transformers(tmp_path / "plain")
    transformer = modules.Transformer(str(tmp_path / "plain"))
    pipeline = [transformer, modules.Pooling(32, pooling_mode=pooling)]
    if dense:
        pipeline.append(modules.Dense(32, 20, activation_function=torch.nn.Identity()))
    pipeline.append(modules.Normalize())
    model = sentence_transformers.SentenceTransformer(modules=pipeline, device="cpu")
    model.save_pretrained(str(tmp_path / "saved"))
    short = [text for text in texts if len(text.split()) < 50]
    expected = model.encode(short, convert_to_numpy=True, show_progress_bar=False)
    found = AirRep.from_pretrained(tmp_path / "saved", dtype="float32").encode(short)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_an_export_holds_nothing_that_only_this_project_knows(make_encoder, tmp_path):
    make_encoder(projection_dim=20, normalize=True).export_sentence_transformers(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config.keys().isdisjoint({"template", "attention_scale", "normalize", "projection_dim"})
    kinds = [
        m["type"].rsplit(".", 1)[-1] for m in json.loads((tmp_path / "modules.json").read_text())
    ]
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]


def test_an_export_that_cannot_be_written_names_the_place(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/file"):
        tiny.export_sentence_transformers(tmp_path / "file")
