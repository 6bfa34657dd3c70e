"""Scores that several look at together: the result does not depend on who looks at what."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection import candidates as candidates_module
from selection import scores as scores_module
from selection.candidates import top_rows, top_rows_of
from selection.certified import audit as audit_module
from selection.certified import certified_greedy
from selection.certified import greedy as greedy_module
from selection.overview import overview
from selection.scores import EmbeddingScores
from selection.selectors import GroupGreedy

DIM = 3


class Dealt:
    """Workers that are dealt the places at random, some of them none, and answer in any order."""

    def __init__(self, seed, most=4):
        self.rng = np.random.default_rng(seed)
        self.most = most
        self.asked = []

    def parts(self, look, places):
        owners = self.rng.integers(0, self.rng.integers(1, self.most + 1), len(places))
        shares = [[p for p, o in zip(places, owners, strict=True) if o == owner]
                  for owner in self.rng.permutation(np.unique(owners))]  # fmt: skip
        self.asked.append(sorted(place for share in shares for place in share))
        return [look(share, int(self.rng.integers(1, 3))) for share in shares]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Many blocks, and so few candidates at first that an audit has something to find."""
    monkeypatch.setattr(scores_module, "BLOCK", 7)
    monkeypatch.setattr(audit_module, "BLOCK", 7)
    monkeypatch.setattr(greedy_module, "_LEAST", 2)
    monkeypatch.setattr(greedy_module, "_GENEROUS", 0)


def _scores(seed, pool, workers=None, ties=False):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (pool, DIM)) if ties else rng.normal(size=(pool, DIM))
    ids = [f"row-{i}" for i in range(pool)]
    return EmbeddingScores(rng.normal(size=(4, DIM)), rows / 4, pool_ids=ids, workers=workers)


CASES = given(seed=st.integers(0, 10_000), pool=st.integers(1, 90), ties=st.booleans())


@pytest.mark.slow
@CASES
@settings(deadline=None)
def test_the_certified_greedy_is_the_same(seed, pool, ties):
    alone = _scores(seed, pool, ties=ties)
    shared = _scores(seed, pool, Dealt(seed), ties)
    k, weights = 1 + seed % pool, [1, 0, 2, 1] if seed % 2 else None
    mine, theirs = (
        certified_greedy(GroupGreedy(scale=3.0), scores, k, weights, memory=1 << 28)
        for scores in (alone, shared)
    )
    for name in ("indices", "gains", "scores", "targets", "layers"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    assert theirs.ids == mine.ids
    assert theirs.certificate == mine.certificate
    everything = list(range(0, pool, 7))
    assert all(asked == everything for asked in shared.workers.asked)
    assert len(shared.workers.asked) >= 2


@CASES
@settings(deadline=None)
def test_each_target_s_best_rows_are_the_same(seed, pool, ties):
    alone = _scores(seed, pool, ties=ties)
    shared = _scores(seed, pool, Dealt(seed), ties)
    n = 1 + seed % 20
    some = np.random.default_rng(seed).random(pool) < 0.5
    wanted = [(some, n), (~some, 3)]
    for mine, theirs in (
        (top_rows(alone, n), top_rows(shared, n)),
        *zip(top_rows_of(alone, wanted), top_rows_of(shared, wanted), strict=True),
    ):
        assert np.array_equal(mine[0], theirs[0])
        assert np.array_equal(mine[1], theirs[1])


@CASES
@settings(deadline=None)
def test_what_faiss_proposes_is_the_same(seed, pool, ties):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates_module, "_FAISS_ROWS", 1)
        patch.setattr(candidates_module, "_FAISS_CHUNK", 14)
        patch.setattr(candidates_module, "_SPARE", 1)
        shared = _scores(seed, pool, Dealt(seed), ties)
        theirs = top_rows(shared, 3)
        mine = top_rows(_scores(seed, pool, ties=ties), 3)
    assert shared.workers.asked[0] == list(range(0, pool, 14))
    assert np.array_equal(mine[0], theirs[0])
    assert np.array_equal(mine[1], theirs[1])


@CASES
@settings(deadline=None)
def test_the_overview_is_the_same(seed, pool, ties):
    chosen = np.random.default_rng(seed).permutation(pool)[: 1 + seed % pool]
    mine = overview(_scores(seed, pool, ties=ties), chosen, kept=4)
    theirs = overview(_scores(seed, pool, Dealt(seed), ties), chosen, kept=4)
    for name in ("chosen", "top_targets", "top_scores"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    for name in ("best_left", "worst_left"):
        assert np.array_equal(getattr(mine, name).rows, getattr(theirs, name).rows)
        assert np.array_equal(getattr(mine, name).scores, getattr(theirs, name).scores)
    assert np.array_equal(mine.distribution.edges, theirs.distribution.edges)
    assert np.array_equal(mine.distribution.counts, theirs.distribution.counts)


def test_columns_are_the_same():
    rows = np.array([80, 3, 3, 0, 41])
    mine, theirs = (_scores(0, 90, workers).columns(rows) for workers in (None, Dealt(1)))
    assert np.array_equal(mine.values(), theirs.values())
    assert theirs.pool_ids == ["row-80", "row-3", "row-3", "row-0", "row-41"]


def test_workers_are_sent_no_ids_and_no_matrix_that_exists():
    def look(scores, starts, threads):
        assert scores.workers is None
        return list(scores.pool_ids[:2]), threads

    assert _scores(0, 20, Dealt(0, most=1)).scan(look) in ([(["0", "1"], t)] for t in (1, 2))
    dense = _scores(0, 20, Dealt(0)).held()
    assert dense.scan(lambda scores, starts, threads: (scores is dense, threads)) == [(True, None)]
