"""Features from gradients, against autograd on one text at a time, and what may not change them."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.pytorch_utils import Conv1D

from airrep import AirRep, EmbeddingStore
from airrep.errors import ArgumentError
from airrep.gradients.moments import second_moments
from airrep.network import gradient_pooling as gradient_pooling_module
from airrep.network.reading import LanguageModelReader
from airrep.records import Example
from airrep.training.config import TrainConfig
from airrep.training.directions import fit_directions
from airrep.training.loop import train_encoder

WORDS = ["what", "is", "the", "river", "stone", "question", "answer", "why", "two", "green"]
QUICK = TrainConfig(
    dim=64, damping=3.0, steps=12, evaluate_every=6, learning_rate=5e-2, pooling="mean",
    subsets=24, targets=16, distil=0.0,
)  # fmt: skip


def examples_of(count, longest=24):
    """Prompts and completions of many lengths; every seventh is plain text."""
    rng = np.random.default_rng(0)

    def say(least):
        return " ".join(rng.choice(WORDS, rng.integers(least, longest)))

    return [Example(str(i), say(1) if i % 7 else "", say(1), row=i) for i in range(count)]


EXAMPLES = examples_of(24)
pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def fitted(few_draws, make_reading_model):
    """One whose directions are those of the examples; treat it as read-only."""
    made = make_reading_model(token_pooling="gradient")
    fit_directions(made, EXAMPLES)
    return made


def rendered(encoder, examples=EXAMPLES):
    return [encoder.template.render(e) for e in examples]


def weight_gradients(encoder, plain_losses, examples=EXAMPLES):
    """Of each example's summed loss, a list of (outputs, inputs) in float64, layer by layer."""
    given = encoder.reader.model
    model = replace(given, network=copy.deepcopy(given.network).double().requires_grad_())
    modules = [model.network.get_submodule(layer.name) for layer in encoder.model.gradient.layers]
    tokens = model.tokenize(examples)
    found = []
    for loss, read in zip(plain_losses(model, examples), tokens, strict=True):
        total = loss * (len(read.ids) - read.start)
        parts = torch.autograd.grad(total, [m.weight for m in modules], retain_graph=True)
        found.append(
            [
                (g.T if isinstance(m, Conv1D) else g).numpy()
                for m, g in zip(modules, parts, strict=True)
            ]
        )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "width"),
    [
        pytest.param(64, 1024, marks=pytest.mark.slow),
        pytest.param(5, 1024, marks=pytest.mark.slow),
        pytest.param(64, 100, marks=pytest.mark.slow),
        (5, 7),
    ],
)
def test_they_are_reduced_gradients_over_the_root_of_their_length(
    make_reading_model, plain_losses, monkeypatch, rank, width
):
    monkeypatch.setattr(gradient_pooling_module, "_RANK", rank)
    monkeypatch.setattr(gradient_pooling_module, "_WIDTH", width)
    for kind in ("llama", "gpt2"):
        encoder = make_reading_model(kind, token_pooling="gradient")
        pooling = encoder.model.gradient
        expected = []
        for gradients in weight_gradients(encoder, plain_losses):
            parts = []
            for number, gradient in enumerate(gradients):
                out_of, into, signs = (
                    kept[number].double().numpy()
                    for kept in (pooling.out_of, pooling.into, pooling.signs)
                )
                signed = (out_of @ gradient @ into.T).ravel() * signs
                room = np.zeros(-(-len(signed) // width) * width)
                room[: len(signed)] = signed
                small = len(signed) <= width
                parts.append(signed if small else room.reshape(-1, width).sum(axis=0))
            whole = np.concatenate(parts)
            expected.append(whole / np.sqrt(np.linalg.norm(whole)))
        found = encoder.features(rendered(encoder))
        assert found.shape == (24, encoder.model.gradient.width)
        assert encoder.model.feature_blocks == [found.shape[1]]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=2e-4 * scale)


@pytest.mark.slow
def test_fitted_inner_products_are_those_in_adams_metric(fitted, plain_losses):
    """So small a model's gradients are kept whole, so that nothing but the metric is left."""
    moments = second_moments(fitted.reader.model, EXAMPLES, draws=4)
    scaled = []
    for gradients in weight_gradients(fitted, plain_losses):
        parts = []
        for layer, gradient in zip(fitted.model.gradient.layers, gradients, strict=True):
            moment = moments[layer.name].double().numpy()
            rows, columns = moment.mean(axis=1), moment.mean(axis=0)
            parts.append(
                (gradient / np.outer(rows, columns) ** 0.25 * moment.mean() ** 0.25).ravel()
            )
        scaled.append(np.concatenate(parts))
    scaled = np.stack(scaled)
    scaled /= np.sqrt(np.linalg.norm(scaled, axis=1, keepdims=True))
    expected = scaled @ scaled.T
    features = fitted.features(rendered(fitted)).astype(np.float64)
    found = features @ features.T
    # the factors have a floor, and moments are of bfloat16 on some CPUs
    share = (found * expected).sum() / np.sqrt((found**2).sum() * (expected**2).sum())
    assert share > 0.999
    plain = np.stack([np.concatenate([g.ravel() for g in gs]) for gs in
                      weight_gradients(fitted, plain_losses)])  # fmt: skip
    plain /= np.sqrt(np.linalg.norm(plain, axis=1, keepdims=True))
    unscaled = plain @ plain.T
    assert (found * unscaled).sum() / np.sqrt((found**2).sum() * (unscaled**2).sum()) < 0.99


@pytest.mark.slow
def test_the_main_directions_are_kept(make_reading_model, monkeypatch, fitted):
    """Of a few directions a side: those that carry most, and more than random ones do."""
    monkeypatch.setattr(gradient_pooling_module, "_RANK", 6)
    few, random = (make_reading_model(token_pooling="gradient") for _ in range(2))
    fit_directions(few, EXAMPLES)
    for side in ("out_of", "into"):
        for own, every in zip(
            getattr(few.model.gradient, side), getattr(fitted.model.gradient, side), strict=True
        ):
            largest = every[-6:]  # a direction has no sign
            turned = torch.sign((own * largest).sum(dim=1, keepdim=True))
            torch.testing.assert_close(
                own * turned, largest, rtol=1e-3, atol=1e-3 * every.abs().max()
            )

    def likeness(encoder):
        found = encoder.features(rendered(encoder))
        return (found @ found.T)[np.triu_indices(len(EXAMPLES), 1)]

    kept, drawn = (np.corrcoef(likeness(e), likeness(fitted))[0, 1] for e in (few, random))
    assert kept > max(drawn, 0.8)


def test_fitting_is_repeatable_and_leaves_the_model_alone(make_reading_model, fitted):
    again = make_reading_model(token_pooling="gradient")
    before = {n: p.clone() for n, p in again.model.bert.state_dict().items()}
    fit_directions(again, EXAMPLES)
    assert again.fingerprint == fitted.fingerprint
    for name, parameter in again.model.bert.state_dict().items():
        assert before[name].equal(parameter)


def test_other_encoders_have_no_directions(make_encoder, make_reading_model):
    for other in (make_encoder(token_pooling="segments"), make_reading_model()):
        with pytest.raises(ArgumentError, match=r"token_pooling is '.*', expected 'gradient'"):
            fit_directions(other, EXAMPLES)
    with pytest.raises(ArgumentError, match="expected examples"):
        fit_directions(make_reading_model(token_pooling="gradient"), [])


@pytest.mark.isa
def test_neighbors_and_batch_size_change_no_bit(fitted):
    texts = rendered(fitted)
    together = fitted.features(texts)
    alone = np.concatenate([fitted.features([text]) for text in texts])
    order = np.random.default_rng(1).permutation(len(texts))
    mixed = np.empty_like(together)
    mixed[order] = fitted.features([texts[i] for i in order], tokens_per_batch=100)
    for other in (alone, mixed):
        np.testing.assert_array_equal(other, together)


def test_the_model_is_left_as_it_was_found(make_reading_model):
    encoder = make_reading_model(token_pooling="gradient")
    network = encoder.model.bert
    network.lm_head.weight.requires_grad_(False)
    encoder.encode(EXAMPLES)
    assert all(parameter.grad is None for parameter in encoder.model.parameters())
    assert network.model.norm.weight.requires_grad
    assert not network.lm_head.weight.requires_grad


@pytest.mark.parametrize("tied", [True, False])
def test_it_is_saved_and_loaded(make_reading_model, planted, tmp_path, tied):
    encoder = make_reading_model(tied=tied, token_pooling="gradient")
    fit_directions(encoder, EXAMPLES)  # from the file, then, not from a seed
    encoder.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert np.array_equal(loaded.features(rendered(loaded)), encoder.features(rendered(encoder)))
    assert loaded.fingerprint == encoder.fingerprint
    store = EmbeddingStore(tmp_path / "store")
    np.testing.assert_allclose(
        store.embed(EXAMPLES, loaded)[:], encoder.encode(EXAMPLES), rtol=0, atol=1e-5
    )
    assert isinstance(loaded.reader, LanguageModelReader)
    with pytest.raises(ArgumentError, match="'gradient' cannot be exported"):
        encoder.export_sentence_transformers(tmp_path / "exported")


def test_in_bfloat16_it_is_close(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "saved")
    rounded = AirRep.from_pretrained(tmp_path / "saved", dtype="bfloat16")
    near, exact = (e.features(rendered(e)) for e in (rounded, fitted))
    assert not np.array_equal(near, exact)
    cosines = (near * exact).sum(axis=1)
    cosines /= np.linalg.norm(near, axis=1) * np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.95


# --- training ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_was_planted_is_learned(make_reading_model, planted, tmp_path):
    splits, validation, _ = planted(make_reading_model(token_pooling="gradient"))
    encoder = make_reading_model(token_pooling="gradient")
    started = []

    def look(untrained):
        started.append(untrained.encode(validation.pool))

    outcome = train_encoder(
        encoder, splits, QUICK, tmp_path / "run", validation=validation, on_start=look
    )
    unchanged = make_reading_model(token_pooling="gradient").fingerprint
    assert AirRep(encoder.model, encoder.tokenizer).fingerprint == unchanged
    encoder = outcome.encoder
    assert max(v.lds for v in outcome.history) > outcome.history[0].lds + 0.1
    (before,) = started
    after = encoder.encode(validation.pool)
    assert before.shape == after.shape
    assert not np.allclose(before, after, atol=0.01)
    # lengths differ: they say how far a row moves the model
    assert not encoder.model.config.normalize
    assert np.ptp(np.linalg.norm(before, axis=1)) > 0.05
    # what comes out is what validation saw
    predicted = np.stack(
        [encoder.similarity(validation.targets, after[rows], "mean") for rows in validation.subsets]
    )
    best = max(v.lds for v in outcome.history)
    assert validation.measure(predicted) == pytest.approx(best, abs=1e-3)
    again = make_reading_model(token_pooling="gradient")
    found = train_encoder(again, splits, QUICK, tmp_path / "run", validation=validation)
    assert found.encoder.fingerprint == encoder.fingerprint, "found again, not trained again"


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "lora:2"])
def test_the_model_below_cannot_be_trained(make_reading_model, planted, tmp_path, trainable):
    encoder = make_reading_model(token_pooling="gradient")
    splits, validation, _ = planted(encoder)
    with pytest.raises(ArgumentError, match="train the 'projector'"):
        train_encoder(
            encoder, splits, replace(QUICK, trainable=trainable), tmp_path, validation=validation
        )
