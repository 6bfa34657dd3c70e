"""RDS+ against each example's hidden states, pooled with NumPy."""

import numpy as np
import pytest
import torch

from airrep.errors import ArgumentError, EmbeddingError
from airrep.language_model.hidden_states import hidden_state_features
from airrep.records import Example
from selection.features import KnownFeatures
from selection.scorers import RdsScorer

POOL = [
    Example("0", "Where do whales live?", "Whales live in the sea."),
    Example("1", "What is 17 + 25?", "42"),
    Example("2", "", "The quick brown fox jumps over the lazy dog. " * 4),
    Example("3", "What is 17 + 25?", "42"),
]
TARGETS = [Example("0", "What is 3 + 9?", "12"), Example("1", "Do dolphins swim?", "Yes.")]


@pytest.fixture(scope="module")
def model(make_lm):
    """Treat as read-only."""
    return make_lm(dtype=torch.float32)


def _pooled(model, examples, tokens):
    """From the network's own list of hidden states, one example at a time, in float64."""
    rows = []
    for example in model.tokenize(examples):
        with torch.no_grad():
            output = model.network(torch.tensor([example.ids]), output_hidden_states=True)
        states = output.hidden_states[-1][0].double().numpy()
        weights = np.arange(1.0, len(example.ids) + 1)
        if tokens == "completion":
            weights = (np.arange(len(example.ids)) >= example.start).astype(float)
        mean = weights @ states / weights.sum()
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize(("tokens", "name"), [("all", "rds+"), ("completion", "rds completion")])
def test_scores_are_cosines_of_pooled_last_hidden_states(make_lm, kind, tokens, name):
    model = make_lm(kind, dtype=torch.float32)
    scorer = RdsScorer(model, tokens=tokens, dtype="float32")
    matrix = scorer.score(TARGETS, POOL)
    expected = _pooled(model, POOL, tokens)
    np.testing.assert_allclose(scorer.features(POOL), expected, atol=1e-5)
    np.testing.assert_allclose(
        matrix.values(), _pooled(model, TARGETS, tokens) @ expected.T, atol=1e-5
    )
    assert (matrix.method, scorer.name, matrix.scale) == (name, name, 5.0)
    assert (matrix.target_ids, matrix.pool_ids) == (["0", "1"], ["0", "1", "2", "3"])
    assert np.abs(matrix.values()).max() <= 1 + 1e-6
    assert scorer.dim == 32


def test_the_last_hidden_state_is_after_the_final_norm(make_lm):
    model = make_lm(dtype=torch.float32)
    before = hidden_state_features(model, POOL)
    with torch.no_grad():
        model.network.model.norm.weight[:16] = 0
    after = hidden_state_features(model, POOL)
    assert not after[:, :16].any()
    assert before[:, :16].any()


@pytest.mark.isa
def test_batches_and_order_do_not_matter(model):
    together = hidden_state_features(model, POOL, dtype="float32")
    single = hidden_state_features(model, POOL, tokens_per_batch=1, dtype="float32")
    backwards = hidden_state_features(model, POOL[::-1], dtype="float32")[::-1]
    np.testing.assert_array_equal(single, together)
    np.testing.assert_array_equal(backwards, together)
    np.testing.assert_array_equal(together[1], together[3])


def test_a_row_scores_highest_for_itself(model):
    values = RdsScorer(model).score(POOL[:3], POOL[:3]).values()
    np.testing.assert_allclose(values.diagonal(), 1, atol=1e-6)
    assert values.argmax(axis=1).tolist() == [0, 1, 2]


def test_known_features_are_not_computed_again(model, monkeypatch):
    rows = RdsScorer(model).features(POOL)
    asked = []
    monkeypatch.setattr(
        "selection.scorers.hidden_states.hidden_state_features",
        lambda model, examples, **_: asked.extend(examples) or rows[: len(examples)],
    )
    scorer = RdsScorer(model, known=KnownFeatures(POOL, rows))
    np.testing.assert_array_equal(scorer.features(POOL[::-1]), rows[::-1])
    assert asked == []
    scorer.features([*POOL, *TARGETS])
    assert asked == TARGETS  # their ids are those of pool rows; what they say is not


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "prompt"}, "tokens 'prompt' is unknown; choose all or completion"),
        ({"dtype": "int8"}, "dtype 'int8' is unknown"),
        ({"tokens_per_batch": 0}, "tokens_per_batch should be >= 1"),
    ],
)
def test_options_that_cannot_be(model, options, message):
    with pytest.raises(ArgumentError, match=message):
        RdsScorer(model, **options)
    with pytest.raises(ArgumentError, match=message):
        hidden_state_features(model, POOL, **options)


def test_nothing_to_score(model):
    with pytest.raises(ArgumentError, match="the pool is empty"):
        RdsScorer(model).score(TARGETS, [])
    with pytest.raises(ArgumentError, match="no targets"):
        RdsScorer(model).score([], POOL)


def test_broken_weights_are_told(make_lm):
    model = make_lm()
    with torch.no_grad():
        model.network.model.norm.weight[0] = torch.nan
    with pytest.raises(EmbeddingError, match="hidden states: NaN or infinity for 4 of 4"):
        RdsScorer(model).features(POOL)
