"""Score matrices: orientation and sign, blocks, and what they refuse."""

import numpy as np
import pytest

from airrep.errors import ArgumentError, EmbeddingError
from selection import scores as scores_module
from selection.scores import DenseScores, EmbeddingScores


class RowsOnDisk:
    """Offers a shape and slices, no more."""

    def __init__(self, rows):
        self._rows = rows
        self.shape = rows.shape

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self._rows[rows]


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((3, 8), dtype=np.float32)
    return targets, rng.standard_normal((50, 8), dtype=np.float32)


def _with_blocks_of(monkeypatch, width):
    monkeypatch.setattr(scores_module, "BLOCK", width)


def test_targets_are_lines_and_pool_rows_are_columns(embeddings):
    assert EmbeddingScores(*embeddings).values().shape == (3, 50)


def test_a_row_that_points_the_targets_way_scores_higher_than_one_that_points_away():
    target = np.array([[1.0, 2.0]])
    pool = np.array([[2.0, 4.0], [2.0, -1.0], [-1.0, -2.0]])
    along, across, against = EmbeddingScores(target, pool).values()[0]
    assert along > across > against
    assert (along, across, against) == (10, 0, -5)


def test_scores_are_raw_inner_products(embeddings):
    targets, pool = embeddings
    values = EmbeddingScores(targets, pool).values()
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, targets.astype(float) @ pool.T.astype(float), rtol=1e-5)


def test_a_given_array_and_embeddings_make_the_same_matrix(embeddings):
    computed = EmbeddingScores(*embeddings)
    given = DenseScores(computed.values())
    np.testing.assert_array_equal(given.values(), computed.values())
    assert given.shape == computed.shape
    assert given.pool_ids == computed.pool_ids
    assert given.target_ids == computed.target_ids


@pytest.mark.parametrize("width", [1, 7, 50, 64])
def test_blocks_put_side_by_side_are_the_matrix(embeddings, monkeypatch, width):
    whole = EmbeddingScores(*embeddings).values()
    _with_blocks_of(monkeypatch, width)
    for matrix in (EmbeddingScores(*embeddings), DenseScores(whole)):
        starts, blocks = zip(*matrix.blocks(), strict=True)
        assert starts == tuple(range(0, 50, width))
        assert all(block.shape[1] <= width for block in blocks)
        np.testing.assert_array_equal(np.hstack(blocks), whole)
        np.testing.assert_array_equal(matrix.values(), whole)


@pytest.mark.parametrize("width", [3, 8192])
def test_columns_are_the_matrix_at_those_rows(embeddings, monkeypatch, width):
    _with_blocks_of(monkeypatch, width)
    matrix = EmbeddingScores(
        *embeddings,
        target_ids=["x", "y", "z"],
        pool_ids=[f"row {i}" for i in range(50)],
        method="mine",
        scale=3.0,
    )
    rows = np.array([49, 0, 7, 7, 12])
    part = matrix.columns(rows)
    np.testing.assert_array_equal(part.values(), matrix.values()[:, rows])
    assert part.pool_ids == ["row 49", "row 0", "row 7", "row 7", "row 12"]
    assert (part.target_ids, part.method, part.scale) == (["x", "y", "z"], "mine", 3.0)


@pytest.mark.parametrize("targets", [1, 3, 13])
def test_rows_exactly_alike_get_scores_exactly_alike(targets):
    """Wherever they stand: selectors break exact ties by position."""
    rng = np.random.default_rng(targets)
    row = rng.standard_normal(50).astype(np.float32)
    queries = rng.standard_normal((targets, 50), dtype=np.float32)
    values = EmbeddingScores(queries, np.tile(row, (1001, 1))).values()
    np.testing.assert_array_equal(values, np.broadcast_to(values[:, :1], values.shape))


def test_the_pool_may_be_memory_mapped(embeddings, tmp_path):
    targets, pool = embeddings
    np.save(tmp_path / "pool.npy", pool)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        EmbeddingScores(targets, mapped).values(), EmbeddingScores(targets, pool).values()
    )


def test_the_pool_may_offer_slices_only(embeddings, monkeypatch):
    targets, pool = embeddings
    _with_blocks_of(monkeypatch, 16)
    np.testing.assert_array_equal(
        EmbeddingScores(targets, RowsOnDisk(pool)).values(), EmbeddingScores(targets, pool).values()
    )


def test_half_precision_embeddings_are_multiplied_in_full(embeddings):
    targets, pool = embeddings
    half = pool.astype(np.float16)
    np.testing.assert_array_equal(
        EmbeddingScores(targets, half).values(),
        EmbeddingScores(targets, half.astype(np.float32)).values(),
    )


def test_ids_default_to_positions(embeddings):
    matrix = EmbeddingScores(*embeddings)
    assert matrix.target_ids == ["0", "1", "2"]
    assert matrix.pool_ids[-1] == "49"


def test_a_wrong_number_of_ids_is_refused(embeddings):
    with pytest.raises(ArgumentError, match=r"pool_ids: expected 50, found 2"):
        EmbeddingScores(*embeddings, pool_ids=["a", "b"])
    with pytest.raises(ArgumentError, match=r"target_ids: expected 2, found 1"):
        DenseScores(np.zeros((2, 3)), target_ids=["a"])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e200])
def test_scores_float32_cannot_hold_name_their_row(broken, monkeypatch):
    _with_blocks_of(monkeypatch, 4)
    values = np.zeros((2, 10))
    values[1, 6] = broken
    with pytest.raises(EmbeddingError, match=r"pool row 6 "):
        DenseScores(values)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_broken_pool_embeddings_name_their_row_when_they_are_read(embeddings, monkeypatch, broken):
    targets, pool = embeddings
    _with_blocks_of(monkeypatch, 16)
    pool[37, 3] = broken
    matrix = EmbeddingScores(targets, pool)
    for read in (matrix.values, lambda: matrix.columns(np.array([40])), lambda: [*matrix.blocks()]):
        with pytest.raises(EmbeddingError, match=r"pool row 37 .*Re-encode"):
            read()


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e200])
def test_broken_target_embeddings_name_their_row(embeddings, broken):
    targets, pool = embeddings
    targets = targets.astype(np.float64)
    targets[2, 0] = broken
    with pytest.raises(EmbeddingError, match=r"target row 2 "):
        EmbeddingScores(targets, pool)


def test_products_that_overflow_name_their_row():
    large = np.full((1, 4), 1e30, dtype=np.float32)
    with pytest.raises(EmbeddingError, match=r"pool row 1 "):
        EmbeddingScores(large, np.vstack([large * 0, large])).values()


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4)])
def test_scores_have_two_dimensions(shape):
    with pytest.raises(EmbeddingError, match=r"expected \(targets, pool\), found shape"):
        DenseScores(np.zeros(shape))


@pytest.mark.parametrize(
    ("targets", "pool"), [((3, 8), (50, 7)), ((8,), (50, 8)), ((3, 8), (50,)), ((3, 8), (2, 5, 8))]
)
def test_embeddings_are_of_one_size(targets, pool):
    with pytest.raises(EmbeddingError, match=r"expected targets \(T, D\) and pool \(N, D\)"):
        EmbeddingScores(np.zeros(targets), np.zeros(pool))


def test_an_empty_pool_is_refused():
    for make in (
        lambda: DenseScores(np.zeros((2, 0))),
        lambda: EmbeddingScores(np.zeros((2, 8)), np.zeros((0, 8))),
    ):
        with pytest.raises(ArgumentError, match="the pool is empty"):
            make()


def test_no_targets_are_refused():
    for make in (
        lambda: DenseScores(np.zeros((0, 2))),
        lambda: EmbeddingScores(np.zeros((0, 8)), np.zeros((2, 8))),
    ):
        with pytest.raises(ArgumentError, match="no targets"):
            make()


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_pools_nothing_is_refused(scale):
    with pytest.raises(ArgumentError, match="scale should be a finite number > 0"):
        DenseScores(np.zeros((1, 1)), scale=scale)


def test_an_existing_matrix_is_not_copied():
    values = np.zeros((2, 3), dtype=np.float32)
    assert DenseScores(values).values() is values


def test_some_targets_alone_and_a_matrix_that_exists_keep_the_embeddings():
    rng = np.random.default_rng(0)
    wanted, pool = rng.normal(size=(4, 8)), rng.normal(size=(30, 8))
    scores = EmbeddingScores(wanted, pool, method="m", scale=3.0)
    held = scores.held()
    assert held.values() is held.held().values()
    for part in (held.for_targets([3, 1]), held.for_targets(range(3, 0, -2))):
        assert (part.shape, part.method, part.scale) == ((2, 30), "m", 3.0)
        assert part.target_ids == ["3", "1"]
        np.testing.assert_array_equal(part.values(), scores.values()[[3, 1]])
        np.testing.assert_array_equal(part.embeddings[0], scores.embeddings[0][[3, 1]])
        np.testing.assert_array_equal(
            part.columns(np.array([2, 29])).embeddings[1][0:2], pool[[2, 29]]
        )
    assert DenseScores(np.ones((2, 3))).for_targets([1]).embeddings is None
