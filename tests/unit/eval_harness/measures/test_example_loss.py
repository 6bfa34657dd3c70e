from dataclasses import replace

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError, EmbeddingError, RecordError
from airrep.language_model.losses import completion_losses, evaluation_mode
from airrep.language_model.tokens import LanguageModelFormat
from airrep.records import Example


def hf_losses(model, examples):
    """One at a time, without padding, by the loss that transformers computes from labels."""
    losses = []
    for tokens in model.tokenize(examples):
        labels = [-100] * tokens.start + tokens.completion
        with torch.no_grad():
            out = model.network(input_ids=torch.tensor([tokens.ids]), labels=torch.tensor([labels]))
        losses.append(float(out.loss))
    return np.array(losses)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_loss_is_that_of_transformers(kind, make_lm, questions):
    model = make_lm(kind, dtype=torch.float32)
    found = completion_losses(model, questions, dtype="float32")
    assert found.shape == (40,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, hf_losses(model, questions), atol=1e-5, rtol=1e-5)


def test_the_sum_is_the_mean_times_the_number_of_tokens(small_lm, questions):
    counts = [len(tokens.completion) for tokens in small_lm.tokenize(questions)]
    mean = completion_losses(small_lm, questions)
    total = completion_losses(small_lm, questions, reduction="sum")
    np.testing.assert_allclose(total, mean * counts, rtol=1e-12)


@pytest.mark.isa
@pytest.mark.parametrize("tokens_per_batch", [1, 64, 300, 10**6])
def test_neighbors_do_not_matter(tokens_per_batch, make_lm, questions):
    model = make_lm(dtype=torch.float32)
    expected = completion_losses(model, questions, dtype="float32")
    order = np.random.default_rng(tokens_per_batch).permutation(40)
    found = completion_losses(
        model, [questions[i] for i in order], dtype="float32", tokens_per_batch=tokens_per_batch
    )
    np.testing.assert_array_equal(found, expected[order])


def test_bfloat16_is_near(make_lm, questions):
    model = make_lm(dtype=torch.float32)
    exact = completion_losses(model, questions, dtype="float32")
    near = completion_losses(model, questions, dtype="bfloat16")
    assert 0 < np.abs(near - exact).max() < 0.1
    assert next(model.network.parameters()).dtype == torch.float32


def test_modes_are_restored_and_dropout_is_off(make_lm, questions):
    model = make_lm("gpt2", dtype=torch.float32)  # it has dropout
    expected = completion_losses(model, questions)
    model.network.train()
    model.network.transformer.h[0].eval()
    before = {name: module.training for name, module in model.network.named_modules()}
    np.testing.assert_array_equal(completion_losses(model, questions), expected)
    assert {name: m.training for name, m in model.network.named_modules()} == before
    with pytest.raises(KeyError), evaluation_mode(model.network):
        raise KeyError
    assert model.network.training
    assert not model.network.transformer.h[0].training


def test_long_examples_are_cut_as_tokenize_cuts_them(make_lm):
    model = make_lm(dtype=torch.float32)
    model = replace(model, format=LanguageModelFormat(max_tokens=20))
    examples = [Example("0", "one two three " * 30, "yes"), Example("1", "why?", "because " * 30)]
    found = completion_losses(model, examples, dtype="float32")
    np.testing.assert_allclose(found, hf_losses(model, examples), atol=1e-5)


def test_no_examples_no_losses(small_lm):
    assert completion_losses(small_lm, []).shape == (0,)


def test_broken_weights_are_named_with_the_example(make_lm, questions):
    model = make_lm(dtype=torch.float32)
    unique = Example("odd one", "Q", "~", row=77)
    token = model.tokenize([unique])[0].completion[0]
    with torch.no_grad():
        model.network.get_input_embeddings().weight[token] = float("nan")
    rows = [e for e, t in zip(questions, model.tokenize(questions), strict=True)
            if token not in t.ids]  # fmt: skip
    assert len(rows) > 10
    with pytest.raises(EmbeddingError, match=r"example 5 \(id 'odd one', row 77\).*found nan"):
        completion_losses(model, [*rows[:5], unique, *rows[5:]], dtype="float32")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "max"}, "reduction 'max' is unknown"),
        ({"dtype": "int8"}, "dtype 'int8' is unknown"),
        ({"tokens_per_batch": 0}, "tokens_per_batch"),
    ],
)
def test_wrong_options(options, message, small_lm, questions):
    with pytest.raises(ArgumentError, match=message):
        completion_losses(small_lm, questions, **options)


def test_an_empty_completion_is_refused(small_lm):
    with pytest.raises(RecordError, match="completion is empty"):
        completion_losses(small_lm, [Example("0", "why?", " ")])


def test_progress_goes_to_standard_error(small_lm, questions, capfd, monkeypatch):
    monkeypatch.setattr("airrep.console.progress._FIRST", 0.0)
    completion_losses(small_lm, questions, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "losses: 40 of 40 rows (100%)" in err
    completion_losses(small_lm, questions)
    assert capfd.readouterr().err == ""
