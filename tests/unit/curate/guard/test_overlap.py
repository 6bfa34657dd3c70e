"""The triples that texts share, against counting them one by one."""

import random
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from airrep.records import Example
from curate.guard import overlap as module
from curate.guard.corpus import read_corpus
from curate.guard.leaks import in_tests
from curate.guard.overlap import boilerplate_limit, find_overlap
from curate.guard.sketches import none


def _random_corpus(seed, sizes=(30, 15), words=12, longest=25):
    rng = random.Random(seed)
    collections = [
        [
            Example(
                str(i),
                " ".join(f"w{rng.randrange(words)}" for _ in range(rng.randrange(longest))),
                " ".join(f"w{rng.randrange(words)}" for _ in range(rng.randrange(1, 6))),
                "",
                i,
            )
            for i in range(size)
        ]
        for size in sizes
    ]
    collections[1].append(collections[0][0])  # a text of both
    return read_corpus(*collections)


def _every(first, second):
    return np.ones(len(first), dtype=bool)


def _brute_force(corpus, pool, tests, within_pool):
    texts = [corpus.words(i) for i in range(len(corpus))]
    triples = [{tuple(t[i : i + 3]) for i in range(len(t) - 2)} for t in texts]
    held = Counter(triple for found in triples for triple in found)
    limit = boilerplate_limit(len(corpus))
    pairs = {}
    for a, b in combinations(range(len(corpus)), 2):
        shared = sum(held[triple] <= limit for triple in triples[a] & triples[b])
        wanted = (pool[a] and tests[b]) or (tests[a] and pool[b])
        if shared and (wanted or (within_pool and pool[a] and pool[b])):
            pairs[a, b] = shared
    boilerplate = []
    for t in texts:
        common = [held[tuple(t[i : i + 3])] > limit for i in range(len(t) - 2)]
        boilerplate += [any(common[max(i - 2, 0) : i + 1]) for i in range(len(t))]
    return pairs, boilerplate


@pytest.mark.parametrize("at_once", [1 << 22, 50])
@pytest.mark.parametrize("within_pool", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_pairs_and_boilerplate_are_those_of_counting_one_by_one(
    monkeypatch, seed, within_pool, at_once
):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    corpus = _random_corpus(seed, words=(5, 12, 40)[seed % 3])
    pool, tests = corpus.holds(0), in_tests(corpus)
    found = find_overlap(corpus, pool, tests, _every if within_pool else none)
    pairs, boilerplate = _brute_force(corpus, pool, tests, within_pool)
    as_found = zip(map(tuple, found.pairs.tolist()), found.shared.tolist(), strict=True)
    assert dict(as_found) == pairs
    assert found.boilerplate.tolist() == boilerplate
    ends = corpus.starts.tolist()
    own = [boilerplate[a:b].count(False) for a, b in pairwise(ends)]
    assert found.own.tolist() == own


def test_pairs_come_in_order_and_once():
    corpus = _random_corpus(7, words=9)
    pairs = find_overlap(corpus, corpus.holds(0), in_tests(corpus), _every).pairs
    assert np.all(pairs[:, 0] < pairs[:, 1])
    assert pairs.tolist() == sorted(pairs.tolist())
    assert len(np.unique(pairs, axis=0)) == len(pairs) > 0


@pytest.mark.parametrize("texts", [[], [""], ["one two"], ["a", "b", "c d"]])
def test_texts_too_short_for_a_triple_share_nothing(texts):
    corpus = read_corpus([Example(str(i), "", t, "", i) for i, t in enumerate(texts)], [])
    found = find_overlap(corpus, corpus.holds(0), in_tests(corpus), _every)
    assert len(found.pairs) == 0
    assert not found.boilerplate.any()


def test_rows_with_the_same_words_are_one_text():
    rows = [("Say it", "Now!"), ("say", "it now"), ("SAY it.", "now"), ("say it", "later")]
    corpus = read_corpus([Example(str(i), p, c, "", i) for i, (p, c) in enumerate(rows)])
    assert corpus.texts[0].tolist() == [0, 0, 0, 1]
    assert corpus.prompts.tolist() == [2, 2]
    assert len(set(corpus.prompt_keys.tolist())) == 1
    assert len(set(corpus.completion_keys.tolist())) == 2


def test_the_limit_grows_with_the_texts_within_bounds():
    assert [boilerplate_limit(n) for n in (0, 250, 500, 1000, 10**6)] == [5, 5, 10, 20, 20]
