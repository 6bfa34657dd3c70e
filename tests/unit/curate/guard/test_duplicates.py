"""Which pool rows are near-duplicates of one another, and which of them stay."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.records import Example
from curate.guard import examine
from curate.guard.corpus import read_corpus
from curate.guard.duplicates import DUPLICATE_SHARE, find_links, settle
from curate.guard.likeness import Texts, near_duplicate
from curate.guard.overlap import find_overlap
from curate.guard.sketches import may_be_near

QUESTION = "Which of the two bridges that cross the river at Arnstadt was built by the monks?"


def near_duplicates(pool):
    return examine(pool, {}, leakage="off").settle()[0].clusters


def _rows(pool):
    return [cluster.rows for cluster in near_duplicates(pool)]


def _settled(pool, order=None):
    corpus = read_corpus(pool)
    every = np.ones(len(corpus), dtype=bool)
    may_be = may_be_near(corpus, DUPLICATE_SHARE)
    overlap = find_overlap(corpus, every, ~every, may_be)
    links = find_links(corpus, overlap, every, may_be, DUPLICATE_SHARE)
    order = np.arange(len(pool)) if order is None else np.array(order)
    return corpus, links, *settle(pool, corpus.texts[0], links, order)


@pytest.mark.parametrize(
    "again",
    [
        (QUESTION, "the older one"),
        (QUESTION.upper(), "The older one."),
        (f" {QUESTION.replace(' ', '  ')}\n", "the — older — one"),
        (QUESTION.replace("built", "erected"), "the older one"),
        (QUESTION.replace("two", "two old"), "the older one"),
        (QUESTION.replace(" of the", ""), "the older one"),
    ],
    ids=["exact", "case", "layout", "replaced", "added", "dropped"],
)
def test_a_row_that_is_there_twice_is_found(as_examples, prose, again):
    pool = as_examples([prose(0, 20), (QUESTION, "the older one"), prose(1, 20), again])
    (cluster,) = near_duplicates(pool)
    assert (cluster.rows, cluster.ids, cluster.kept) == ((1, 3), ("1", "3"), (1,))


@pytest.mark.parametrize(
    "other",
    [
        (QUESTION, "the newer one"),
        (QUESTION.replace("was built by the monks", "fell in the great flood"), "the older one"),
        (f"{QUESTION} And what became of the other one, after the war?", "the older one"),
        ("Which bridge?", "the older one"),
    ],
    ids=["another completion", "another question", "one question more", "a shorter one"],
)
def test_a_row_that_asks_or_teaches_something_else_is_not(as_examples, other):
    assert _rows(as_examples([(QUESTION, "the older one"), other])) == []


def test_long_completions_may_differ_in_a_word(as_examples, prose):
    answer = prose(2, 30)
    edited = answer.replace(answer.split()[10], "bridge")
    assert _rows(as_examples([(QUESTION, answer), (QUESTION, edited)])) == [(0, 1)]


def test_numbers_and_signs_make_another_task(as_examples):
    tasks = ["What is 12 + 7 * 3?", "What is 12 - 7 * 3?", "What is 12 + 7 * 4?"]
    assert _rows(as_examples([(task, "33") for task in tasks])) == []


def test_rows_of_one_template_are_no_duplicates(as_examples, prose):
    template = "Read the following review and say whether whoever wrote it liked the film: "
    assert _rows(as_examples([(template + prose(i, 8), "yes") for i in range(30)])) == []


def test_a_row_in_a_longer_one_is_no_duplicate_of_it(as_examples, prose):
    text = prose(3, 30)
    assert _rows(as_examples([text, f"{text} {prose(4, 30)}"])) == []


def test_repetitive_texts_are_compared_too(as_examples):
    refrain = "row row row your boat gently down the stream " * 12
    pool = as_examples([refrain + "merrily merrily", refrain + "sadly sadly"])
    assert _rows(pool) == [(0, 1)]


def _chain(prose, links=6, step=3):
    """Texts each of which differs from the one before in a few words more, and at last in all."""
    first, other = prose(5, 40).split(), prose(6, 40).split()
    places = list(range(1, 40, 5)) + list(range(3, 40, 5))
    texts = [list(first)]
    for link in range(links):
        text = list(texts[-1])
        for place in places[link * step : (link + 1) * step]:
            text[place] = other[place]
        texts.append(text)
    return [" ".join(text) for text in texts]


def test_a_row_only_goes_if_one_that_stays_is_its_own_near_duplicate(as_examples, prose):
    pool = as_examples([*_chain(prose, step=1), prose(7, 12)])
    corpus, links, (cluster,), gone = _settled(pool)
    texts = corpus.texts[0]
    assert cluster.rows == tuple(range(7))
    assert len(cluster.kept) > 1
    assert set(cluster.kept) | set(gone) == set(cluster.rows)
    assert not set(cluster.kept) & set(gone)
    for row, removal in gone.items():
        assert int(removal.of) in cluster.kept
        assert texts[int(removal.of)] in links[texts[row]]
    for a in cluster.kept:
        assert not any(texts[b] in links[texts[a]] for b in cluster.kept if b != a)


def test_clusters_do_not_depend_on_the_order_of_the_pool(as_examples, prose):
    texts = [*_chain(prose), *_chain(prose, step=1)[1:], QUESTION, QUESTION.lower(), prose(9, 9)]
    pool = as_examples(texts)
    clusters = {cluster.rows for cluster in near_duplicates(pool)}
    assert clusters
    for seed in range(4):
        mixed = random.Random(seed).sample(pool, len(pool))
        found = near_duplicates(mixed)
        assert {tuple(sorted(cluster.rows)) for cluster in found} == clusters


def test_the_first_in_the_given_order_stays(as_examples, prose):
    pool = as_examples([prose(1, 9), QUESTION, QUESTION.upper(), QUESTION.replace("two", "2")])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        _, _, (cluster,), gone = _settled(pool, order)
        first = next(row for row in order if row)
        assert cluster.kept == (first,)
        assert list(gone) == [row for row in (1, 2, 3) if row != first]
        assert {removal.of for removal in gone.values()} == {str(first)}


def test_rows_left_out_of_the_order_count_for_nothing(as_examples, prose):
    pool = as_examples([QUESTION, prose(1, 9), QUESTION, QUESTION])
    _, _, (cluster,), gone = _settled(pool, [1, 2, 3])
    assert cluster.rows == (2, 3)
    assert list(gone) == [3]


def test_the_shared_passage_is_quoted_from_the_removed_row_or_the_one_that_stays(as_examples):
    again = QUESTION.replace("two bridges", "three bridges")
    for texts in ([QUESTION, again], [again, QUESTION]):
        _, _, _, gone = _settled(as_examples(texts))
        assert gone[1].reason == "duplicate"
        assert gone[1].span == "bridges that cross the river at Arnstadt was built by the monks"
        assert 0.8 <= gone[1].share < 1


@pytest.mark.parametrize("texts", [[], ["one row"], ["one row", "another one"], ["?", "!"]])
def test_rows_that_have_nothing_in_common_form_no_cluster(as_examples, texts):
    assert near_duplicates(as_examples(texts)) == ()


def test_texts_of_a_word_or_none_are_duplicates_only_if_equal(as_examples):
    assert _rows(as_examples(["yes", "no", "Yes!", "👍", "👎", "👍", "", " "])) == [
        (0, 2), (3, 5), (6, 7)
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([5, 40, 2000]))
def test_no_near_duplicate_is_passed_over_by_what_is_looked_at_first(rng, size):
    first = [f"w{rng.randrange(size)}" for _ in range(rng.randint(10, 80))]
    second = [rng.choice(first) if rng.random() < rng.choice([0.02, 0.2]) else w for w in first]
    del second[rng.randrange(10)]
    answers = rng.choice([("a", "a"), (" ".join(first[:9]), " ".join(first[1:10]))])
    rows = [(" ".join(words), answers[i]) for i, words in enumerate((first, second))]
    corpus = read_corpus([Example(str(i), *row, "", i) for i, row in enumerate(rows)])
    every = np.ones(len(corpus), dtype=bool)
    may_be = may_be_near(corpus, DUPLICATE_SHARE)
    texts = Texts(corpus, find_overlap(corpus, every, every, may_be), whole=False)
    if len(corpus) == 2 and near_duplicate(texts[0], texts[1], DUPLICATE_SHARE):
        assert may_be(*np.array([[0], [1]])).all()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=50), st.text(max_size=50)), max_size=6), st.randoms())
def test_any_text_goes_through_and_equal_rows_are_found(rows, rng):
    again = rng.sample(rows, min(2, len(rows)))
    pool = [Example(str(i), p, c, "", i) for i, (p, c) in enumerate([*rows, *again])]
    cluster_of = {row: c.rows for c in near_duplicates(pool) for row in c.rows}
    for offset, row in enumerate(again):
        assert rows.index(row) in cluster_of[len(rows) + offset]
