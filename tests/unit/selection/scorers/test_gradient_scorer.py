"""Gradient scores against closed forms, and against what training steps really do."""

import numpy as np
import pytest
import torch

from airrep import EmbeddingStore
from airrep.disk.parts import KeptRows
from airrep.errors import ArgumentError, EmbeddingError, StoreError
from airrep.gradients.random_projections import projected_layers
from airrep.records import Example
from selection.features import KnownFeatures
from selection.scorers import GradientScorer
from selection.scorers.gradient import _whitened_by_columns, _whitened_by_rows, grouped, whiten
from selection.scores import DenseScores
from selection.selectors import make_selector

POOL = [
    Example("0", "Where do whales live?", "Whales live in the sea."),
    Example("1", "What is 17 + 25?", "42"),
    Example("2", "Name a red fruit.", "An apple."),
    Example("3", "", "The quick brown fox jumps over the lazy dog."),
    Example("4", "Is the sea red?", "No, it is blue."),
    Example("5", "What is 9 + 1?", "It is 10."),
    Example("6", "What is 17 + 25?", "42"),
    Example("7", "Say something.", "Whales, apples, dogs, and 42."),
]
TARGETS = [
    Example("0", "What is 3 + 9?", "12"),
    Example("1", "Do dolphins swim?", "Yes, they swim in the sea."),
    Example("2", "Name a green fruit.", "A pear."),
]


@pytest.fixture(scope="module")
def model(make_lm):
    """Treat as read-only."""
    return make_lm(dtype=torch.float32)


def _least_squares(rng, rows=4000, size=5):
    """Inputs, answers, the solution, and each row's gradient there."""
    x = rng.standard_normal((rows, size)) @ rng.standard_normal((size, size))
    y = x @ rng.standard_normal(size) + rng.standard_normal(rows)
    w = np.linalg.solve(x.T @ x, x.T @ y)
    return x, y, w, (x @ w - y)[:, None] * x


@pytest.mark.parametrize("damping", [1e-6, 0.1, 10.0])
def test_the_fisher_form_is_the_closed_form(damping):
    """g_xᵀ (F + λI)⁻¹ g_z with the inverse written out, block by block."""
    _, _, _, pool = _least_squares(np.random.default_rng(0), rows=60, size=7)
    targets = np.random.default_rng(1).standard_normal((4, 7))
    expected = np.zeros((4, 60))
    for block in (slice(0, 3), slice(3, 7)):
        g = pool[:, block]
        fisher = sum(np.outer(row, row) for row in g) / 60
        ridge = damping * np.trace(fisher) / g.shape[1] * np.eye(g.shape[1])
        expected += targets[:, block] @ np.linalg.inv(fisher + ridge) @ g.T
    left, right = whiten(targets, pool, [3, 4], damping)
    assert left.dtype == right.dtype == np.float32
    np.testing.assert_allclose(left @ right.T, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("damping", [1e-3, 0.1, 30.0])
@pytest.mark.parametrize("rows", [1, 9, 40])
def test_fewer_rows_than_features_give_the_same_products(damping, rows):
    """Woodbury's identity against the Cholesky root of the whole matrix, in float64."""
    rng = np.random.default_rng(rows)
    block = rng.standard_normal((rows, 12)) @ rng.standard_normal((12, 50))  # of rank 12 at most
    both = np.concatenate([rng.standard_normal((4, 50)), block])
    ridge = damping * np.square(block).sum() / rows / 50
    one, other = (by(both, block, ridge) for by in (_whitened_by_rows, _whitened_by_columns))
    scale = np.abs(other @ other.T).max()
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-10 * scale)


def test_the_default_rank_keeps_to_the_features_that_there_may_be(model, monkeypatch):
    assert GradientScorer(model).rank == 32
    assert GradientScorer(model, preconditioner="none").rank == 64
    monkeypatch.setattr("selection.scorers.gradient.FEATURES", 14 * 100)
    for preconditioner in ("fisher", "none"):
        scorer = GradientScorer(model, preconditioner=preconditioner)
        assert scorer.rank == 10
        (said,) = scorer.score(TARGETS, POOL).provenance
        assert (said["rank"], said["features"]) == (10, scorer.dim)
    assert GradientScorer(model, rank=32).rank == 32, "what is asked for is done"
    assert GradientScorer(model, modules="*q_proj").rank == 26


def test_modules_are_the_layers_that_are_compared(model):
    matrix = GradientScorer(model, modules=["*.mlp.*"]).score(TARGETS, POOL).values()
    assert not np.allclose(matrix, GradientScorer(model).score(TARGETS, POOL).values())


def test_it_is_the_influence_on_a_regression_trained_again():
    """Rows taken twice; the change of the targets' squared error, measured."""
    rng = np.random.default_rng(2)
    x, y, w, pool = _least_squares(rng)
    asked = rng.standard_normal((3, 5))
    answers = asked @ w + rng.standard_normal(3)
    gradients = (asked @ w - answers)[:, None] * asked
    left, right = whiten(gradients, pool, [5], 1e-6)
    rows = rng.choice(len(x), 200, replace=False)
    measured = np.empty((3, 200))
    for i, row in enumerate(rows):
        new = np.linalg.solve(x.T @ x + np.outer(x[row], x[row]), x.T @ y + x[row] * y[row])
        measured[:, i] = (np.square(asked @ new - answers) - np.square(asked @ w - answers)) / 2
    for scores, change in zip((left @ right.T)[:, rows], measured, strict=True):
        assert np.corrcoef(scores, -change)[0, 1] > 0.98


def test_what_the_pool_has_no_gradients_in_does_not_count():
    pool, targets = np.ones((5, 4)), np.ones((2, 4))
    pool[:, 2:] = 0
    left, right = whiten(targets, pool, [2, 2], 0.1)
    assert not left[:, 2:].any()
    assert not right[:, 2:].any()
    assert left[:, :2].any()


def test_plain_scores_are_what_a_step_of_gradient_descent_does(make_lm, plain_losses):
    """Without projection, preconditioner and normalization: −η times the score, to first order."""
    model, rate = make_lm(), 1e-6
    scorer = GradientScorer(
        model, rank=10**6, preconditioner="none", normalize="none", dtype="float32"
    )
    matrix = scorer.score(TARGETS, POOL)
    assert (matrix.method, matrix.scale) == ("gradient_dot", 1.0)
    names = [f"{layer.name}.weight" for layer in projected_layers(model.network)]
    weights = [model.network.get_parameter(name) for name in names]
    with torch.no_grad():
        before = plain_losses(model, TARGETS)
    measured = np.empty(matrix.shape)
    for row, example in enumerate(POOL):
        gradients = torch.autograd.grad(plain_losses(model, [example]).sum(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
            measured[:, row] = (plain_losses(model, TARGETS) - before).numpy()
            for weight, gradient in zip(weights, gradients, strict=True):
                weight += rate * gradient
    predicted = -rate * matrix.values()
    assert np.corrcoef(predicted.ravel(), measured.ravel())[0, 1] > 0.999
    np.testing.assert_allclose(predicted, measured, rtol=0.01, atol=0.01 * np.abs(measured).max())
    best = matrix.values().argmax(axis=1)
    assert (measured[np.arange(3), best] < 0).all()


@pytest.mark.parametrize("preconditioner", ["fisher", "none"])
@pytest.mark.parametrize("normalize", ["none", "pool", "both"])
def test_scores_from_the_features(model, preconditioner, normalize):
    scorer = GradientScorer(
        model, rank=4, preconditioner=preconditioner, normalize=normalize, damping=0.3, seed=2
    )
    x, z = (scorer.features(e).astype(np.float64) for e in (TARGETS, POOL))
    assert x.shape == (3, scorer.dim) == (3, 14 * 16)
    metric = np.eye(scorer.dim)
    if preconditioner == "fisher":
        for i in range(0, scorer.dim, 16):
            fisher = z[:, i : i + 16].T @ z[:, i : i + 16] / len(z)
            damped = fisher + 0.3 * np.trace(fisher) / 16 * np.eye(16)
            metric[i : i + 16, i : i + 16] = np.linalg.inv(damped)
    expected = x @ metric @ z.T
    if normalize != "none":
        expected /= np.sqrt(np.einsum("nd,de,ne->n", z, metric, z))
    if normalize == "both":
        expected /= np.sqrt(np.einsum("nd,de,ne->n", x, metric, x))[:, None]
    matrix = scorer.score(TARGETS, POOL)
    np.testing.assert_allclose(matrix.values(), expected, rtol=1e-4, atol=1e-5)
    assert matrix.method == scorer.name


def test_names_scale_and_ids(model):
    assert GradientScorer(model).name == "gradient"
    scorer = GradientScorer(model, preconditioner="none")
    matrix = scorer.score(TARGETS, POOL)
    assert (scorer.name, matrix.method, matrix.scale) == (*["gradient_cosine"] * 2, 5.0)
    assert (matrix.target_ids, len(matrix.pool_ids)) == (["0", "1", "2"], 8)
    assert np.abs(matrix.values()).max() <= 1 + 1e-6
    with pytest.raises(AttributeError):
        scorer.rank = 3


@pytest.mark.parametrize("preconditioner", ["fisher", "none"])
def test_the_right_answer_helps_more_than_the_opposite(model, preconditioner):
    """What a bag of words hardly sees: the target's prompt, and an answer that is wrong."""
    scorer = GradientScorer(model, preconditioner=preconditioner)
    question = "Answer yes or no. Do dolphins swim in the sea?"
    for answer, opposite in (("yes", "no"), ("no", "yes")):
        target = Example("t", question, answer)
        pool = [Example("wrong", question, opposite), Example("right", question, answer), *POOL]
        values = scorer.score([target], pool).values()[0]
        assert values.argmax() == 1
        assert values[1] == pytest.approx(1, abs=1e-5)
        assert values[0] < 0.8


def test_copies_score_the_same_and_the_first_comes_first(model):
    matrix = GradientScorer(model).score(TARGETS, POOL * 3)
    copies = matrix.values().reshape(3, 3, len(POOL))
    np.testing.assert_array_equal(copies, np.broadcast_to(copies[:, :1], copies.shape))
    np.testing.assert_array_equal(copies[:, 0, 1], copies[:, 0, 6])
    assert int(make_selector("top_k_max").select(matrix, 1).indices[0]) < len(POOL)


def test_batches_and_the_pools_order_do_not_matter(model):
    expected = GradientScorer(model, dtype="float32").score(TARGETS, POOL).values()
    order = np.random.default_rng(0).permutation(len(POOL))
    scorer = GradientScorer(model, dtype="float32", tokens_per_batch=20)
    moved = scorer.score(TARGETS, [POOL[i] for i in order]).values()
    np.testing.assert_allclose(moved, expected[:, order], atol=1e-4)


@pytest.mark.slow
def test_the_seed_decides(model):
    one, again, two = (
        GradientScorer(model, seed=s).score(TARGETS, POOL).values() for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two, atol=1e-3)


@pytest.mark.slow
def test_known_features_are_not_computed_again(model, monkeypatch, tmp_path):
    expected = GradientScorer(model).score(TARGETS, POOL[2:6]).values()
    np.save(tmp_path / "pool.npy", GradientScorer(model).features(POOL))
    rows = np.load(tmp_path / "pool.npy", mmap_mode="r")
    scorer = GradientScorer(model, known=KnownFeatures(POOL, rows))
    np.testing.assert_allclose(scorer.score(TARGETS, POOL[2:6]).values(), expected, atol=1e-5)
    monkeypatch.setattr("selection.scorers.gradient.gradient_features", None)
    assert scorer.score(POOL[:2], POOL[3:]).shape == (2, 5)


def test_known_features_that_do_not_fit(model):
    known = KnownFeatures(POOL, np.zeros((8, 3), dtype=np.float32))
    scorer = GradientScorer(model, rank=16, known=known)
    with pytest.raises(ArgumentError, match=r"3 columns, but this scorer's have 3584"):
        scorer.score(TARGETS, POOL)
    with pytest.raises(EmbeddingError, match=r"expected \(8, D\), one row per example"):
        KnownFeatures(POOL, np.zeros((7, 3), dtype=np.float32))
    broken = GradientScorer(model).features(POOL)
    broken[4, 0] = np.nan
    scorer = GradientScorer(model, known=KnownFeatures(POOL, broken))
    with pytest.raises(EmbeddingError, match="NaN or infinite for '4'"):
        scorer.score(TARGETS, POOL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank should be >= 1, found 0"),
        ({"layers": 3}, "layers should be 1 to 2"),
        ({"damping": 0.0}, r"damping should be a finite number > 0, found 0\.0"),
        ({"damping": float("nan")}, "damping should be"),
        ({"preconditioner": "adam"}, "preconditioner 'adam' is unknown; choose fisher or none"),
        ({"normalize": "l2"}, "normalize 'l2' is unknown; choose none or pool or both"),
        ({"dtype": "half"}, "dtype 'half' is unknown"),
        ({"tokens_per_batch": 0}, "tokens_per_batch should be >= 1"),
    ],
)
def test_options_that_cannot_be(model, options, message):
    with pytest.raises(ArgumentError, match=message):
        GradientScorer(model, **options)


def test_nothing_to_score(model):
    with pytest.raises(ArgumentError, match="the pool is empty"):
        GradientScorer(model).score(TARGETS, [])
    with pytest.raises(ArgumentError, match="no targets"):
        GradientScorer(model).score([], POOL)


def test_broken_weights_are_told(make_lm):
    model = make_lm()
    with torch.no_grad():
        model.network.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(EmbeddingError, match="the model's weights are broken"):
        GradientScorer(model).score(TARGETS, POOL)


@pytest.mark.parametrize("preconditioner", ["fisher", "none"])
def test_a_store_gives_the_same_bits_to_a_second_selection(model, tmp_path, preconditioner):
    expected = GradientScorer(model, preconditioner=preconditioner).score(TARGETS, POOL).values()
    for targets, encoded in ((TARGETS[:1], 7), (TARGETS, 0)):  # two rows are alike
        scorer = GradientScorer(
            model, preconditioner=preconditioner, store=EmbeddingStore(tmp_path / "store")
        )
        found = scorer.score(targets, POOL)
        assert found.provenance[0]["encoded"] == encoded
    assert found.values().tobytes() == expected.tobytes()


def test_a_store_of_other_gradients_is_refused(model, tmp_path):
    GradientScorer(model, dtype="float32", store=EmbeddingStore(tmp_path)).score(TARGETS, POOL)
    for options in ({"seed": 1}, {"modules": "*q_proj"}, {"rank": 4}, {"dtype": "bfloat16"}):
        scorer = GradientScorer(
            model, store=EmbeddingStore(tmp_path), **{"dtype": "float32", **options}
        )
        with pytest.raises(StoreError, match="made by another model"):
            scorer.score(TARGETS, POOL)


def test_a_scoring_that_was_killed_goes_on_in_the_store(model, tmp_path, monkeypatch):
    monkeypatch.setattr("airrep.language_model.passes.LANGUAGE_MODEL_PASS_TOKENS", 16)
    expected = GradientScorer(model).score(TARGETS, POOL).values()
    monkeypatch.setattr("airrep.disk.parts.SECONDS", 0.0)
    monkeypatch.setattr("airrep.disk.parts._SHARE", 1e9)
    put, done = KeptRows.put, []

    def killed(self, members, values):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(members))
        put(self, members, values)

    with monkeypatch.context() as patch:
        patch.setattr(KeptRows, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            GradientScorer(model, store=EmbeddingStore(tmp_path)).score(TARGETS, POOL)
    first = sum(done)
    monkeypatch.setattr(
        KeptRows, "put", lambda self, m, v: (done.append(len(m)), put(self, m, v))[1]
    )
    found = GradientScorer(model, store=EmbeddingStore(tmp_path)).score(TARGETS, POOL)
    assert 0 < first < sum(done) == 7, "no row is computed twice"
    assert found.values().tobytes() == expected.tobytes()


@pytest.mark.parametrize("options", [{}, {"preconditioner": "none"}, {"normalize": "pool"}])
def test_large_pools_are_scored_some_layers_at_a_time(model, tmp_path, monkeypatch, options):
    expected = GradientScorer(model, **options).score(TARGETS, POOL).values()
    monkeypatch.setattr("selection.scorers.gradient._BYTES_AT_ONCE", 4 * len(POOL) * 3000)
    monkeypatch.setattr("selection.scorers.gradient._BYTES_READ", 1)
    scorer = GradientScorer(model, store=EmbeddingStore(tmp_path), **options)
    assert 1 < len(grouped(scorer.blocks, 3000)) < len(scorer.blocks)
    found = scorer.score(TARGETS, POOL)
    assert isinstance(found, DenseScores)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-4, atol=1e-6)
