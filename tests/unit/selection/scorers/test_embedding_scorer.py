"""Scores by embeddings: AirRep, other encoders, with a store and without."""

from dataclasses import dataclass

import numpy as np
import pytest

from airrep.errors import ArgumentError, EmbeddingError
from airrep.records import Example
from airrep.store import EmbeddingStore
from airrep.template import TextTemplate
from selection.scorers import EmbeddingScorer
from selection.selectors import make_selector

POOL = [
    Example("whales", "Where do whales live?", "Whales live in the sea."),
    Example("sum", "What is 17 + 25?", "42"),
    Example("fruit", "Name a red fruit.", "An apple."),
    Example("plain", "", "The quick brown fox jumps over the lazy dog."),
    Example("sum again", "What is 17 + 25?", "42"),
]
TARGETS = [Example("t0", "What is 3 + 9?", "12"), Example("t1", "Do dolphins swim?", "Yes.")]


class CountingLetters:
    """As much of a sentence encoder as is needed; keeps the texts it was given."""

    def __init__(self, dim=26):
        self.dim = dim
        self.texts = []

    def encode(self, texts, **options):
        self.texts.append((list(texts), options))
        return [[float(text.lower().count(chr(97 + i))) for i in range(self.dim)] for text in texts]


@dataclass
class Returning:
    """An encoder that returns what it was made with."""

    embeddings: object

    def encode(self, texts):
        return self.embeddings


def test_scores_are_inner_products_of_the_encoders_embeddings(encoder):
    matrix = EmbeddingScorer(encoder).score(TARGETS, POOL)
    expected = encoder.encode(TARGETS) @ encoder.encode(POOL).T
    np.testing.assert_allclose(matrix.values(), expected, rtol=1e-4, atol=1e-5)
    assert matrix.pool_ids == [example.id for example in POOL]
    assert matrix.target_ids == ["t0", "t1"]
    assert matrix.method == "airrep"


def test_the_checkpoints_scale_comes_along(encoder):
    assert EmbeddingScorer(encoder).score(TARGETS, POOL).scale == encoder.attention_scale


def test_a_sum_helps_with_sums_and_whales_with_dolphins(encoder):
    values = EmbeddingScorer(encoder).score(TARGETS, POOL).values()
    assert POOL[values[0].argmax()].id == "sum"
    assert POOL[values[1].argmax()].id == "whales"


def test_copies_of_a_row_score_exactly_the_same(encoder):
    """So that the first of them is chosen first."""
    matrix = EmbeddingScorer(encoder).score(TARGETS, POOL * 7)
    copies = matrix.values().reshape(2, 7, len(POOL))
    np.testing.assert_array_equal(copies, np.broadcast_to(copies[:, :1], copies.shape))
    best = int(make_selector("top_k_max").select(matrix, 1).indices[0])
    assert best == matrix.values().max(axis=0).argmax() < len(POOL)


def test_a_store_changes_no_score(encoder, tmp_path):
    without = EmbeddingScorer(encoder).score(TARGETS, POOL).values()
    for _ in range(2):  # filling it, and reading from it
        store = EmbeddingStore(tmp_path / "store")
        stored = EmbeddingScorer(encoder, store).score(TARGETS, POOL)
        np.testing.assert_array_equal(stored.values(), without)
    assert stored.embeddings[1].reused == len(POOL)


def test_targets_are_not_kept_in_the_pools_store(encoder, tmp_path):
    store = EmbeddingStore(tmp_path / "store")
    EmbeddingScorer(encoder, store).score(TARGETS, POOL)
    assert len(store) == len({(e.prompt, e.completion) for e in POOL})


def test_any_encoder_will_do():
    """It gets the default template's texts, and is pooled at scale 1."""
    letters = CountingLetters()
    matrix = EmbeddingScorer(letters, name="letters").score(TARGETS, POOL)
    expected = np.array(CountingLetters().encode([TextTemplate().render(e) for e in TARGETS]))
    pool = np.array(CountingLetters().encode([TextTemplate().render(e) for e in POOL]))
    np.testing.assert_array_equal(matrix.values(), expected @ pool.T)
    assert (matrix.scale, matrix.method) == (1.0, "letters")
    assert any("Question: What is 17 + 25?\nAnswer: 42" in texts for texts, _ in letters.texts)


def test_an_encoders_own_template_is_used():
    letters = CountingLetters()
    letters.template = TextTemplate(prompt_prefix="Q ", completion_prefix=" A ")
    EmbeddingScorer(letters).score(TARGETS, POOL)
    assert {texts[0] for texts, _ in letters.texts} == {
        "Q What is 3 + 9? A 12",
        "Q Where do whales live? A Whales live in the sea.",
    }


def test_a_template_of_another_kind_is_not_mistaken_for_ours():
    letters = CountingLetters()
    letters.template = "{{ messages }}"
    assert EmbeddingScorer(letters).score(TARGETS, POOL).shape == (2, 5)


def test_options_are_for_the_pool():
    letters = CountingLetters()
    EmbeddingScorer(letters, options={"batch_size": 3}).score(TARGETS, POOL)
    assert {len(texts): options for texts, options in letters.texts} == {
        5: {"batch_size": 3},
        2: {},
    }


def test_a_store_needs_a_fingerprint(tmp_path):
    scorer = EmbeddingScorer(CountingLetters(), EmbeddingStore(tmp_path / "store"))
    with pytest.raises(ArgumentError, match=r"CountingLetters has none\. Leave out the store"):
        scorer.score(TARGETS, POOL)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (5, 3, 2), ()])
def test_an_encoder_that_returns_another_shape(shape):
    with pytest.raises(EmbeddingError, match=r"mine: expected embeddings \(5, D\), found \("):
        EmbeddingScorer(Returning(np.zeros(shape)), name="mine").score(TARGETS, POOL)


def test_an_encoder_that_returns_nan_is_told_for_which_row():
    broken = np.zeros((5, 3))
    broken[3] = np.nan
    with pytest.raises(EmbeddingError, match="row 3 "):
        EmbeddingScorer(Returning(broken)).score(POOL, POOL).values()


# --- tokens that the encoder does not know ----------------------------------------------------

UNREAD = "วันนี้อากาศร้อนมาก"  # one unknown token


def known(count):
    return [Example(str(i), "two and two", f"row {i}") for i in range(count)]


def unread(count):
    return [Example(f"u{i}", f"{UNREAD} {UNREAD}", f"{UNREAD} {i}") for i in range(count)]


def test_what_is_unknown_is_counted_and_kept(encoder):
    scores = EmbeddingScorer(encoder).score(TARGETS, POOL)
    assert scores.provenance[0]["unknown"] == {"pool": 0.0, "targets": 0.0}


def test_some_unknown_tokens_are_a_warning(encoder):
    pool = known(18) + unread(3)
    with pytest.warns(
        UserWarning, match=r"airrep: 9% of the tokens of the pool are unknown to the"
    ):
        scores = EmbeddingScorer(encoder).score(TARGETS, pool)
    assert scores.provenance[0]["unknown"] == {"pool": 0.0882, "targets": 0.0}


@pytest.mark.parametrize("name", ["pool", "targets"])
def test_mostly_unknown_tokens_are_an_error_before_anything_is_encoded(encoder, monkeypatch, name):
    monkeypatch.setattr(type(encoder), "encode", lambda *_, **__: pytest.fail("it was encoded"))
    given = {"targets": known(2), "pool": known(3), name: unread(3)}
    with pytest.raises(
        ArgumentError, match=f'75% of the tokens of the {name} .*Take scorer="tfidf"'
    ):
        EmbeddingScorer(encoder).score(**given)


def test_a_template_s_words_are_no_known_tokens(encoder):
    assert encoder.unknown_share([Example("0", UNREAD, UNREAD)]) == 1
    assert encoder.unknown_share([]) == 0


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Plain English, with café and naïve.", 0, 0),
        ("Привет мир", 0, 0),
        ("الطقس جميل اليوم", 0, 0),
        ("天气很好我们一起去公园散步吧", 0.5, 0.9),
        ("今日はとても天気がいいので", 0.1, 0.5),
        ("आज मौसम अच्छा है", 0.2, 0.6),
        (UNREAD, 1, 1),
        ("🎉🌧", 1, 1),
    ],
)
def test_unknown_tokens_of_the_built_in_encoder_by_script(encoder, text, least, most):
    assert least <= encoder.unknown_share([Example("0", "", text)]) <= most


def test_the_share_depends_neither_on_a_store_nor_on_an_engine(encoder, tmp_path):
    """It is of the same rows, whoever encoded them and when."""
    pool = known(18) + unread(3)
    found = []
    for _ in range(2):
        scorer = EmbeddingScorer(encoder, EmbeddingStore(tmp_path / "store"))
        with pytest.warns(UserWarning, match="9% of the tokens"):
            found.append(scorer.score(TARGETS, pool).provenance[0])
    assert [each["encoded"] for each in found] == [21, 0]
    assert found[0]["unknown"] == found[1]["unknown"] == {"pool": 0.0882, "targets": 0.0}


def test_of_a_large_pool_as_many_rows_are_looked_at_as_of_any(encoder, monkeypatch):
    seen = []
    scorer = EmbeddingScorer(encoder)
    monkeypatch.setattr(type(encoder), "unknown_share", lambda _, rows: seen.append(rows) or 0.0)
    scorer._unknown(TARGETS, known(5000))
    places = [int(row.id) for row in seen[0]]
    assert len(places) == 1024
    assert (places[0], places[-1]) == (0, 4999)
    assert max(np.diff(places)) == 5


def test_tokenizers_that_know_every_byte_know_everything(tiny_lm):
    from airrep.training.starting_point import starting_point

    assert starting_point(tiny_lm).unknown_share([Example("0", UNREAD, "🎉")]) == 0
