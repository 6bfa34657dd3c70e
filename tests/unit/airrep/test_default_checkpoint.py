"""The encoder that ships with the package."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from airrep import AirRep, Example
from airrep.encoder import DEFAULT_CHECKPOINT


def test_it_loads_without_a_network(no_network):
    encoder = AirRep.default()
    assert encoder.encode("a text").shape == (1, 384)
    assert encoder.name == "the built-in encoder"


def test_it_is_what_its_model_card_says(encoder):
    config = encoder.model.config
    assert config.normalize is True
    assert config.token_pooling == "levels"
    assert encoder.attention_scale == pytest.approx(5.920, abs=1e-3)
    assert encoder.dim == 384
    assert encoder.template.to_dict() == {
        "prompt_prefix": "Question: ",
        "completion_prefix": "\nAnswer: ",
        "prompt_words": 256,
        "max_tokens": 512,
        "completion_share": 0.5,
    }


def test_its_embeddings_have_unit_length(encoder):
    lengths = np.linalg.norm(encoder.encode(["a text", "another one"]), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_it_tells_related_text_from_unrelated(encoder):
    target = Example("t", "Translate to French: good morning", "bonjour")
    pool = [
        Example("0", "What is the boiling point of water?", "100 degrees Celsius"),
        Example("1", "Translate to French: good night", "bonne nuit"),
        Example("2", "Sort these numbers: 3, 1, 2", "1, 2, 3"),
    ]
    assert encoder.scores([target], pool).argmax() == 1


def test_it_agrees_with_an_independent_computation():
    """From the files on disk, with a plain BERT and NumPy."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, BertConfig, BertModel

    tensors = {k: v.float() for k, v in load_file(DEFAULT_CHECKPOINT / "model.safetensors").items()}
    shape = json.loads((DEFAULT_CHECKPOINT / "config.json").read_text())
    fields = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
              "intermediate_size")  # fmt: skip
    bert = BertModel(BertConfig(**{k: shape[k] for k in fields}), add_pooling_layer=False).eval()
    bert.load_state_dict(
        {k.removeprefix("bert."): v for k, v in tensors.items() if k.startswith("bert.")}
    )
    tokenizer = AutoTokenizer.from_pretrained(DEFAULT_CHECKPOINT)
    prompt, completion = "Question: why is the sky blue?", "because of " * 40 + "light"
    weight, bias = tensors["projector.weight"].numpy(), tensors["projector.bias"].numpy()
    ids = tokenizer(f"{prompt}\nAnswer: {completion}", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = bert(input_ids=ids, output_hidden_states=True).hidden_states
    # "[CLS]" and the prompt with "Answer:"; the completion and "[SEP]"
    start = len(tokenizer(f"{prompt}\nAnswer:")["input_ids"]) - 1
    levels = [states[i][0].numpy() for i in (0, 2, 3, 4, 6)]
    parts = [part.mean(axis=0) for level in levels for part in (level[:start], level[start:])]
    features = np.concatenate(parts)
    expected = weight @ features + bias
    expected /= np.linalg.norm(expected)
    row = {"prompt": "why is the sky blue?", "completion": completion}
    exact = AirRep.default(dtype="float32").encode(row)[0]
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-5)
    rounded = AirRep.default(dtype="bfloat16").encode(row)[0]
    assert rounded @ expected >= 0.999


def test_its_weights_are_in_half_precision():
    with safe_open(DEFAULT_CHECKPOINT / "model.safetensors", "np") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds == {"F16"}


def test_it_is_small_enough_to_ship():
    assert sum(f.stat().st_size for f in DEFAULT_CHECKPOINT.iterdir()) < 60e6


def test_it_holds_no_pickles_and_no_code():
    kinds = {file.suffix for file in DEFAULT_CHECKPOINT.iterdir()}
    assert kinds == {".json", ".safetensors", ".md"}


@pytest.mark.parametrize("word", ["Apache-2.0", "Limits", "untrained", "LDS", "unseen sources"])
def test_its_model_card_is_frank(word):
    assert word in (DEFAULT_CHECKPOINT / "README.md").read_text("utf-8")
