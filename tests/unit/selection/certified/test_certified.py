"""Layered greedy without the matrix: the same picks as with it, and bounds that bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airrep.errors import ArgumentError, EmbeddingError
from selection import DenseScores, EmbeddingFile, EmbeddingScores
from selection.certified import certified_greedy
from selection.certified import greedy as greedy_module
from selection.certified.audit import audit
from selection.certified.envelope import Bins, Envelope
from selection.certified.groups import alike
from selection.certified.memory import needed
from selection.certified.survey import Survey, survey
from selection.certified.trajectory import Recorder
from selection.group import GroupInfluence
from selection.selectors import GroupGreedy
from selection.selectors.base import begin
from selection.selectors.group_greedy import grow
from selection.weights import target_weights

ROOM = 1 << 30
KINDS = ("normal", "clusters", "few values", "alike", "hostile")


def _scores(kind, seed, targets=6, pool=400):
    rng = np.random.default_rng(seed)
    match kind:
        case "normal":
            return rng.normal(0, 0.2, (targets, pool)).astype(np.float32)
        case "clusters":
            of = rng.integers(0, 8, pool)
            return (rng.normal(0, 0.3, (targets, 8))[:, of] + rng.normal(0, 0.05, (targets, pool))
                    ).astype(np.float32)  # fmt: skip
        case "few values":  # exact ties everywhere
            return rng.integers(-2, 3, (targets, pool)).astype(np.float32) / 4
        case "alike":
            return np.full((targets, pool), 0.25, dtype=np.float32)
        case _:  # each row is best at nothing, and good at everything, or the other way round
            specialists = np.where(rng.random((targets, pool)) < 0.02, 0.9, -0.4)
            allrounders = rng.normal(0.3, 0.01, (targets, pool))
            return np.where(rng.random(pool) < 0.5, specialists, allrounders).astype(np.float32)


@pytest.fixture
def few(monkeypatch):
    """So few candidates at first that the audit has something to find."""
    monkeypatch.setattr(greedy_module, "_LEAST", 2)
    monkeypatch.setattr(greedy_module, "_GENEROUS", 0)


def _same(found, whole):
    np.testing.assert_array_equal(found.indices, whole.indices)
    np.testing.assert_array_equal(found.gains, whole.gains)
    np.testing.assert_array_equal(found.objective.values, whole.objective.values)
    np.testing.assert_array_equal(found.targets, whole.targets)
    np.testing.assert_array_equal(found.layers, whole.layers)
    np.testing.assert_array_equal(found.scores, whole.scores)
    assert found.ids == whole.ids
    assert found.shortlist is None


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([0.3, 2.0, 15.0, 200.0, 5000.0]),
    k=st.integers(1, 60),
    weighted=st.booleans(),
)
def test_it_is_the_greedy_over_the_whole_pool(kind, seed, scale, k, weighted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy_module, "_LEAST", 2)
        patch.setattr(greedy_module, "_GENEROUS", 0)
        scores = DenseScores(_scores(kind, seed))
        weights = [3, 0, 1, 1, 0.1, 2] if weighted else None
        selector = GroupGreedy(scale=scale)
        found = certified_greedy(selector, scores, k, weights, memory=ROOM)
        assert found.certificate.certified
        assert found.certificate.first_doubt is None
        _same(found, selector.select(scores, k, weights=weights))


def test_candidates_are_added_until_nothing_is_missing(few):
    scores = DenseScores(_scores("normal", 3, targets=20, pool=3000))
    found = certified_greedy(GroupGreedy(scale=8.0), scores, 100, memory=ROOM)
    assert found.certificate.rounds > 1
    assert 100 <= found.certificate.candidates < 1500
    _same(found, GroupGreedy(scale=8.0).select(scores, 100))


def test_with_embeddings_on_disk_over_many_blocks(tmp_path, few):
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(20_000, 16)).astype(np.float16)
    np.save(tmp_path / "pool.npy", pool)
    targets = rng.normal(size=(5, 16)).astype(np.float32)
    on_disk = EmbeddingScores(targets, EmbeddingFile(tmp_path / "pool.npy"))
    found = certified_greedy(GroupGreedy(scale=2.0), on_disk, 50, memory=ROOM)
    _same(found, GroupGreedy(scale=2.0).select(EmbeddingScores(targets, pool), 50))


def test_threads_change_nothing(monkeypatch, few):
    scores = DenseScores(_scores("normal", 5, pool=20_000))
    found = []
    for cpus in (1, 3):
        monkeypatch.setattr("selection.certified.blocks.usable_cpus", lambda n=cpus: n)
        found.append(certified_greedy(GroupGreedy(scale=4.0), scores, 30, memory=ROOM))
    _same(*found)
    assert found[0].certificate == found[1].certificate


def _audited(scores, rows, k, scale, share):
    """The decisions of a greedy that sees some rows, and what is known of all."""
    known = survey(scores, share, 1, 1)
    known = Survey(rows, known.means, known.lowest, known.peaks, known.peaks)
    at_hand = scores.columns(rows)
    with GroupInfluence(at_hand.values(), share, scale, largest=known.peaks) as group:
        recorder = Recorder(group, 0)
        grow(group, begin(at_hand, k, share, None), share, layered=True, observe=recorder)
        return recorder.trajectory(rows), known


def _gain(scores, value, log_d, share, scale):
    """From the definition, for scores (T, n)."""
    weight = 1 / (1 + np.exp(np.minimum(log_d[:, None] - scale * np.abs(scores), 700)))
    return share @ (weight * (scores - value[:, None]))


@pytest.mark.parametrize("scale", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("kind", ["normal", "clusters", "hostile"])
def test_a_bound_is_above_every_gain_that_it_bounds(kind, scale):
    values = _scores(kind, 1)
    share = target_weights([1, 2, 3, 0, 1, 1], 6)
    rows = np.arange(0, 400, 3)
    steps, known = _audited(DenseScores(values), rows, 30, scale, share)
    bins = Bins.between(known.lowest, known.highest)
    groups = alike(steps, 4, np.arange(len(steps.thresholds)))
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(steps.thresholds)))
    for typical in (0, 128, 255):
        places = np.full(6, typical)
        leads = Envelope(steps, groups, bins, places, share, scale).leads(bins.of(values))
        for g, members in enumerate(groups):
            for t in members.tolist():
                exact = _gain(
                    values.astype(np.float64), steps.values[t], steps.log_denominators[t], share,
                    scale,
                )  # fmt: skip
                assert (leads[:, g] >= exact - steps.thresholds[t] - 1e-15).all()


@pytest.mark.parametrize("scale", [1.0, 10.0, 60.0])
def test_the_audit_finds_all_rows_that_would_have_been_picked(scale):
    values = _scores("normal", 2)
    scores, share = DenseScores(values), target_weights(None, 6)
    rows = np.arange(0, 400, 2)
    steps, known = _audited(scores, rows, 20, scale, share)
    found = audit(scores, steps, known, rows, share, scale)
    would, ranks = set(), []
    for t, rank in enumerate(steps.ranks):
        gains = _gain(
            values.astype(np.float64), steps.values[t], steps.log_denominators[t], share, scale
        )
        better = set(np.flatnonzero(gains > steps.thresholds[t] + 1e-12).tolist()) - set(rows)
        would |= better
        ranks += [rank] * bool(better)
    for gain, rank in zip(steps.empty_thresholds, steps.empty_ranks, strict=True):
        better = set(np.flatnonzero(share @ values > gain + 1e-7).tolist()) - set(rows)
        would |= better
        ranks += [rank] * bool(better)
    assert would <= set(found.rows.tolist())
    assert found.first == min(ranks)
    np.testing.assert_array_equal(found.columns, values[:, found.rows])


def test_where_no_more_candidates_fit_it_says_from_which_rank_on_it_is_not_sure(few):
    scores = DenseScores(_scores("normal", 3, targets=20, pool=3000))
    whole = GroupGreedy(scale=8.0).select(scores, 100)
    least = needed(20, 3000, 100, 20 * 2 + 200)
    found = certified_greedy(GroupGreedy(scale=8.0), scores, 100, memory=least)
    certificate = found.certificate
    assert not certificate.certified
    assert found.shortlist == certificate.candidates < 3000
    sure = certificate.first_doubt
    np.testing.assert_array_equal(found.indices[:sure], whole.indices[:sure])
    assert found.indices[sure] != whole.indices[sure]
    assert f"from rank {sure} on" in str(certificate)


def test_what_cannot_be_certified_is_refused():
    scores = DenseScores(_scores("normal", 0))
    with pytest.raises(ArgumentError, match="plain_greedy cannot"):
        certified_greedy(GroupGreedy(layered=False), scores, 5, memory=ROOM)
    with pytest.raises(ArgumentError, match="larger than the pool of 400 rows"):
        certified_greedy(GroupGreedy(), scores, 401, memory=ROOM)
    with pytest.raises(ArgumentError, match="memory_limit: 5 rows for 6 targets from 400 take"):
        certified_greedy(GroupGreedy(), scores, 5, memory=1000)


def test_a_broken_embedding_is_named_by_its_row(few):
    pool = np.ones((20_000, 4), dtype=np.float16)
    pool[12_345, 2] = np.nan
    scores = EmbeddingScores(np.ones((2, 4)), pool)
    with pytest.raises(EmbeddingError, match="pool row 12345"):
        certified_greedy(GroupGreedy(), scores, 5, memory=ROOM)


# Embeddings in a file


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_file_of_embeddings_is_read_as_numpy_reads_it(tmp_path, dtype):
    rows = np.random.default_rng(0).normal(size=(31, 5)).astype(dtype)
    np.save(tmp_path / "rows.npy", rows)
    file = EmbeddingFile(tmp_path / "rows.npy")
    assert (file.shape, len(file)) == ((31, 5), 31)
    for part in (slice(0, 31), slice(3, 9), slice(30, 99), slice(5, 5), slice(2, 20, 4)):
        np.testing.assert_array_equal(file[part], rows[part])


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    path = tmp_path / "rows.npy"
    with pytest.raises(EmbeddingError, match=r"not an \.npy file"):
        EmbeddingFile(path)
    path.write_bytes(b"PK\x03\x04 something")
    with pytest.raises(EmbeddingError, match=r"not an \.npy file"):
        EmbeddingFile(path)
    for broken in (np.arange(6).reshape(2, 3), np.ones(6), np.ones((2, 3), order="F")):
        np.save(path, broken)
        with pytest.raises(EmbeddingError, match=r"expected rows \(N, D\)"):
            EmbeddingFile(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(EmbeddingError, match=r"expected rows \(N, D\)"):
        EmbeddingFile(path)
    np.save(path, np.ones((4, 3)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EmbeddingError, match="truncated or damaged"):
        EmbeddingFile(path)
