"""The encoder: parity with an independent computation, and what must not change a result."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from airrep import AirRep
from airrep import encoder as encoder_module
from airrep.errors import ArgumentError, EmbeddingError, RecordError
from airrep.pooling import group_influence
from airrep.records import Example, normalize

ROWS = [
    {"prompt": "what is the river", "completion": "green"},
    {"instruction": "why", "input": "two", "output": "stone"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {"text": "the green stone is the answer"},
]


def plain_bert(encoder: AirRep) -> BertModel:
    """The encoder's backbone as transformers knows it, rebuilt from its weights."""
    known = BertConfig().to_dict()
    config = {k: v for k, v in encoder.model.config.to_dict().items() if k in known}
    bert = BertModel(BertConfig(**{**config, "dtype": None}), add_pooling_layer=False).eval()
    bert.load_state_dict({k: v.float() for k, v in encoder.model.bert.state_dict().items()})
    return bert


def projector(encoder: AirRep) -> dict[str, np.ndarray]:
    return {
        "weight": encoder.model.projector.weight.detach().float().numpy(),
        "bias": encoder.model.projector.bias.detach().float().numpy(),
    }


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


# --- parity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [False, True])
def test_it_agrees_with_an_independent_computation(
    make_encoder, reference, texts, pooling, normalize
):
    encoder = make_encoder(projection_dim=20, token_pooling=pooling, normalize=normalize)
    expected = reference(
        plain_bert(encoder), encoder.tokenizer, texts, **projector(encoder), pooling=pooling,
        normalize=normalize,
    )  # fmt: skip
    found = encoder.encode(texts)
    assert found.shape == (len(texts), 20)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_bfloat16_agrees_with_float32(make_encoder, texts):
    exact = make_encoder(projection_dim=20).encode(texts)
    rounded = make_encoder(projection_dim=20)
    rounded.model.to(torch.bfloat16)
    assert rounded.precision == "bfloat16"
    found = rounded.encode(texts)
    assert found.dtype == np.float32
    assert not np.array_equal(found, exact)  # so that the next line can fail
    assert cosine(found, exact).min() >= 0.999


def test_texts_are_cut_where_the_template_says(make_encoder, reference, texts):
    encoder = make_encoder(template={"max_tokens": 10})
    expected = reference(
        plain_bert(encoder), encoder.tokenizer, texts, **projector(encoder), longest=10
    )
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=0, atol=1e-5)


def test_the_tail_is_what_is_cut(tiny):
    start = " ".join(["river"] * 62)  # with the two special tokens, all that fits
    assert np.array_equal(tiny.encode(start), tiny.encode(start + " stone stone"))


# --- what must not matter ---------------------------------------------------------------------


@pytest.fixture(params=["built-in", "tiny"])
def either(request, encoder, tiny) -> AirRep:
    """A real model, and one whose projector is no identity."""
    return {"built-in": encoder, "tiny": tiny}[request.param]


@pytest.mark.isa
@pytest.mark.parametrize("tokens_per_batch", [1, 100, 1000, 100_000])
def test_the_batch_size_changes_no_bit(either, texts, tokens_per_batch):
    found = either.encode(texts, tokens_per_batch=tokens_per_batch)
    assert np.array_equal(found, either.encode(texts))


@pytest.mark.isa
def test_the_order_changes_no_bit(either, texts):
    order = np.random.default_rng(0).permutation(len(texts))
    found = either.encode([texts[i] for i in order])
    assert np.array_equal(found, either.encode(texts)[order])


@pytest.mark.isa
def test_the_neighbors_change_no_bit(either, texts):
    alone = np.concatenate([either.encode([text]) for text in texts])
    assert np.array_equal(alone, either.encode(texts))


@pytest.mark.isa
def test_in_bfloat16_too_the_neighbors_change_no_bit():
    """Where the hardware has it not, it is emulated."""
    encoder = AirRep.default(dtype="bfloat16")
    texts = ["river", "stone " * 13, "green " * 30, "why " * 100]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(encoder.encode(texts * 2), np.tile(alone, (2, 1)))


@pytest.mark.isa
@pytest.mark.parametrize(
    "words", [9, *(pytest.param(n, marks=pytest.mark.slow) for n in (25, 60, 120, 180))]
)
def test_the_place_in_a_pass_changes_no_bit(encoder, words):
    """Rows of a product that stand in other tiles of it."""
    draw = random.Random(words)
    count = -(-1024 // words)
    texts = [" ".join(draw.choices(["river", "stone", "green"], k=words)) for _ in range(count)]
    expected = encoder.encode(texts)
    for turn in (1, 2, 3, count // 2):
        turned = encoder.encode(texts[turn:] + texts[:turn])
        np.testing.assert_array_equal(np.roll(turned, turn, axis=0), expected)


def test_results_come_in_the_order_of_the_inputs(tiny, texts):
    distinct = list(dict.fromkeys(texts))
    together = tiny.encode(distinct)
    for i, text in enumerate(distinct):
        distances = np.abs(together - tiny.encode([text])).max(axis=1)
        assert distances.argmin() == i


def test_equal_texts_get_equal_embeddings(tiny, texts):
    first, second = np.split(tiny.encode([*texts, *texts]), 2)
    assert np.array_equal(first, second)


def test_what_was_encoded_before_does_not_matter(tiny, texts):
    before = tiny.encode(texts[:5])
    tiny.encode(["a much longer text " * 50])
    assert np.array_equal(tiny.encode(texts[:5]), before)


def test_dropout_is_off_after_loading(tiny_directory, texts):
    loaded = AirRep.from_pretrained(tiny_directory, dtype="float32")
    assert np.array_equal(loaded.encode(texts), loaded.encode(texts))


# --- what can be encoded ----------------------------------------------------------------------


def test_rows_examples_and_rendered_texts_agree(tiny):
    examples = [normalize(row, index=i) for i, row in enumerate(ROWS)]
    rendered = tiny.encode([tiny.template.render(example) for example in examples])
    assert np.array_equal(tiny.encode(ROWS), rendered)
    assert np.array_equal(tiny.encode(examples), rendered)


def test_the_checkpoints_own_template_is_used(make_encoder):
    encoder = make_encoder(template={"prompt_prefix": "", "completion_prefix": " so "})
    found = encoder.encode([{"prompt": "what", "completion": "river"}])
    assert np.array_equal(found, encoder.encode(["what so river"]))


@pytest.mark.parametrize("one", ["what is it", ROWS[0], Example("0", "why", "two")])
def test_a_single_input_is_a_list_of_one(tiny, one):
    found = tiny.encode(one)
    assert found.shape == (1, 24)
    assert np.array_equal(found, tiny.encode([one]))


def test_nothing_gives_nothing_in_the_right_shape(tiny):
    found = tiny.encode([])
    assert found.shape == (0, 24)
    assert found.dtype == np.float32


def test_an_empty_text_has_an_embedding(tiny):
    assert np.isfinite(tiny.encode("")).all()


def test_a_row_that_cannot_be_read_is_named(tiny):
    with pytest.raises(RecordError, match=r"^inputs, row 1 \(counting from 0\): no known record"):
        tiny.encode(["fine", {"unknown": "x"}])


@pytest.mark.parametrize("broken", ["\ud800", Example("0", "", "\ud800"), {"text": "\ud800"}])
def test_a_text_that_cannot_be_encoded_is_named(tiny, broken):
    with pytest.raises(RecordError, match=r"^inputs, row 1 .*half of a surrogate pair"):
        tiny.encode(["fine", broken])


def test_a_senseless_batch_size_is_an_error(tiny):
    with pytest.raises(ArgumentError, match="tokens_per_batch should be >= 1, found 0"):
        tiny.encode(["x"], tokens_per_batch=0)


def test_the_keywords_of_sentence_transformers_do_what_they_do_there(tiny, texts, capfd):
    expected = tiny.encode(texts[:5])
    found = tiny.encode(texts[:5], batch_size=2, show_progress_bar=False, device="cpu")
    np.testing.assert_array_equal(found, expected)
    tensor = tiny.encode(texts[:5], convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), expected)
    scaled = tiny.encode(texts[:5], normalize_embeddings=True)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(scaled, expected / lengths, rtol=1e-6)


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ({"batch_size": 0}, "batch_size should be >= 1, found 0"),
        ({"batch_size": "8"}, "batch_size should be a whole number, found '8'"),
        ({"device": "cuda"}, "this encoder is on cpu; load it where it is to compute"),
        ({"prompt_name": "query"}, "this encoder has no prompts"),
    ],
)
def test_keywords_that_it_cannot_obey_are_refused(tiny, keyword, message):
    with pytest.raises(ArgumentError, match=message):
        tiny.encode(["x"], **keyword)


def test_softmax_is_another_name_of_two_poolings(tiny, texts):
    for softmax, pooling in ((True, "attention"), (False, "mean")):
        found = tiny.similarity(texts[:3], texts[3:9], softmax=softmax)
        np.testing.assert_array_equal(found, tiny.similarity(texts[:3], texts[3:9], pooling))


def test_a_text_without_any_token_is_an_error_that_names_it(make_encoder):
    """As of a tokenizer that adds no special tokens: there is nothing to take a mean of."""
    encoder = make_encoder()
    encoder.tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(EmbeddingError, match=r"NaN or infinity for 1 of 2 texts.*number 1: ''"):
        encoder.encode(["river", ""])


def test_an_output_that_is_not_finite_is_an_error_that_names_the_text(make_encoder):
    encoder = make_encoder()
    poisoned = encoder.tokenizer.convert_tokens_to_ids("stone")
    with torch.no_grad():
        encoder.model.bert.embeddings.word_embeddings.weight[poisoned] = float("nan")
    texts = ["river", "the stone", "stone"]
    with pytest.raises(EmbeddingError, match=r"for 2 of 3 texts, the first is number 1: 'the st"):
        encoder.encode(texts)
    assert np.isfinite(encoder.encode(["river"])).all()


def test_one_number_that_is_not_finite_is_enough(make_encoder):
    encoder = make_encoder()
    with torch.no_grad():
        encoder.model.projector.bias[3] = float("inf")
    with pytest.raises(EmbeddingError, match="NaN or infinity for 1 of 1 text,"):
        encoder.encode("river")


def test_progress_is_silent_unless_asked_for(tiny, capfd, monkeypatch):
    monkeypatch.setattr("airrep.console.progress._FIRST", 0.0)
    tiny.encode(["x"])
    assert capfd.readouterr() == ("", "")
    tiny.encode(["x"], progress=True)
    assert "encode" in capfd.readouterr().err


# --- scores and groups ------------------------------------------------------------------------


def test_scores_are_inner_products_targets_by_pool(tiny, texts):
    queries, corpus = tiny.encode(texts[:3]), tiny.encode(texts[3:10])
    found = tiny.scores(texts[:3], texts[3:10])
    assert found.shape == (3, 7)
    np.testing.assert_allclose(found, queries.astype(float) @ corpus.T.astype(float), rtol=1e-4)
    assert np.array_equal(found, tiny.scores(queries, corpus))


def test_cosines_are_what_normalized_embeddings_give(make_encoder, texts):
    encoder = make_encoder(normalize=True)
    same = encoder.scores(texts, texts)
    np.testing.assert_allclose(np.diag(same), 1, atol=1e-5)
    assert np.abs(same).max() <= 1 + 1e-5


@pytest.mark.parametrize("pooling", ["attention", "sum", "mean"])
def test_similarity_pools_the_scores_at_the_checkpoints_scale(make_encoder, texts, pooling):
    encoder = make_encoder(normalize=True, attention_scale=4.0)
    scores = torch.from_numpy(encoder.scores(texts[:4], texts[4:]))
    expected = group_influence(scores, pooling=pooling, scale=4.0).numpy()
    found = encoder.similarity(texts[:4], texts[4:], pooling)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_released_convention_is_a_softmax_of_raw_absolute_scores(tiny, texts):
    """arXiv 2505.18513, eq. 4, by NumPy: no temperature, no normalization."""
    assert tiny.attention_scale == 1.0
    scores = tiny.scores(texts[:4], texts[4:]).astype(np.float64)
    weights = np.exp(np.abs(scores) - np.abs(scores).max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    expected = (weights * scores).sum(axis=1)
    np.testing.assert_allclose(tiny.similarity(texts[:4], texts[4:]), expected, rtol=1e-4)


def test_a_group_of_one_is_its_score(tiny, texts):
    found = tiny.similarity(texts[:4], texts[4:5])
    np.testing.assert_allclose(found, tiny.scores(texts[:4], texts[4:5])[:, 0], rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 5, 40])
def test_pooling_in_blocks_changes_nothing(tiny, texts, monkeypatch, at_once):
    queries, corpus = tiny.encode(texts[:7]), tiny.encode(texts[7:])
    whole = tiny.similarity(queries, corpus)
    monkeypatch.setattr(encoder_module, "_SCORES_AT_ONCE", at_once)
    np.testing.assert_allclose(tiny.similarity(queries, corpus), whole, rtol=1e-5)


def test_an_empty_group_has_no_influence_and_no_queries_have_no_answers(tiny):
    assert tiny.similarity(["x", "y"], []).tolist() == [0.0, 0.0]
    assert tiny.similarity([], ["x"]).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (3, 23), (2, 3, 24)])
def test_embeddings_of_the_wrong_shape_are_refused(tiny, shape):
    with pytest.raises(EmbeddingError, match=r"corpus: expected \(n, 24\), found"):
        tiny.scores(["x"], np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(tiny, value):
    with pytest.raises(EmbeddingError, match="queries: the embeddings hold NaN or infinity"):
        tiny.similarity(np.full((1, 24), value, dtype=np.float32), ["x"])


# --- identity ---------------------------------------------------------------------------------


def test_equal_encoders_have_equal_fingerprints(make_encoder):
    assert make_encoder(seed=1).fingerprint == make_encoder(seed=1).fingerprint


def test_using_an_encoder_does_not_change_its_fingerprint(make_encoder, texts):
    used = make_encoder(seed=1)
    used.encode(texts)
    assert used.fingerprint == make_encoder(seed=1).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"seed": 1, "projection_dim": 16},
        {"seed": 1, "token_pooling": "cls"},
        {"seed": 1, "normalize": True},
        {"seed": 1, "template": {"max_tokens": 9}},
    ],
)
def test_whatever_changes_an_embedding_changes_the_fingerprint(make_encoder, changes):
    assert make_encoder(**changes).fingerprint != make_encoder(seed=1).fingerprint


def test_so_do_one_weight_the_precision_and_the_tokenizer(make_encoder, make_tokenizer):
    nudged, rounded, cased = (make_encoder(seed=1) for _ in range(3))
    with torch.no_grad():
        nudged.model.projector.bias[3] += 1e-6
    rounded.model.to(torch.bfloat16)
    cased.tokenizer = make_tokenizer(lowercase=False)
    prints = {e.fingerprint for e in (make_encoder(seed=1), nudged, rounded, cased)}
    assert len(prints) == 4
