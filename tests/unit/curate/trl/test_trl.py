"""The parts of the TRL hooks that need no trainer: weights, rounds, their file, rows, metrics."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

import curate
from airrep.errors import ArgumentError, CheckpointError
from airrep.records import Example, normalize
from curate.stages.choosing import Candidates
from curate.trl import Reselect, last_checkpoint, loss_weights
from curate.trl.metrics import MOST_SOURCES, round_metrics
from curate.trl.model_in_training import random_state_kept
from curate.trl.rounds import NO_SOURCE, LiveSelection, load_rounds, save_rounds
from curate.trl.rows import ROW_COLUMN, check_rows, training_rows
from curate.trl.weighting import weights_by
from selection import DenseScores
from selection.selectors import make_selector

POOL = [Example(str(i), f"p{i}", f"c{i}", "abc"[i % 3], row=i) for i in range(12)]
SETTINGS = {"pool": "x", "k": 3, "every": "epoch", "weights": [0.1, 0.9]}
LOSSES = st.lists(st.floats(0.0, 30.0), min_size=1, max_size=12)


def live(*chosen, shuffle=True, losses=(1.5, 0.1 + 0.2)):
    made = LiveSelection(seed=3, shuffle=shuffle)
    for number, rows in enumerate(chosen):
        made.begin(10 * number, rows, POOL, [0.25, 0.75], losses)
    return made


# Weights


@given(LOSSES, st.floats(0.0, 8.0))
def test_a_larger_loss_never_weighs_less(losses, power):
    weights = loss_weights(losses, power)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
    order = np.argsort(losses, kind="stable")
    assert (np.diff(weights[order]) >= 0).all()


@given(LOSSES)
def test_weights_are_in_proportion_to_within_a_step(losses):
    weights = loss_weights(losses) * max(1 / 64, *losses)
    ratio = weights / np.maximum(losses, 1 / 64)
    assert ratio.max() / ratio.min() <= 2**0.5 * (1 + 1e-9)


@given(st.lists(st.integers(-5, 4), min_size=1, max_size=9), st.integers(0, 99))
def test_noise_in_the_last_digits_changes_no_weight(levels, seed):
    """Away from the boundaries, which are half-way between powers of √2."""
    losses = 2.0 ** (np.array(levels) / 2)
    noise = 1 + np.random.default_rng(seed).uniform(-0.1, 0.1, len(losses))
    assert (loss_weights(losses * noise, 2.0) == loss_weights(losses, 2.0)).all()


def test_the_scale_by_example():
    weights = loss_weights([4.0, 2.0, 1.9, 1.0, 2.0**-6, 0.0])
    np.testing.assert_allclose(weights, [1, 1 / 2, 1 / 2, 1 / 4, 2**-8, 2**-8])
    np.testing.assert_allclose(loss_weights([4.0, 2.0], 2.0), [1, 1 / 4])
    np.testing.assert_allclose(loss_weights([4.0, 2.0], 0.0), [1, 1])


def test_weights_by_name_and_by_function():
    losses = np.array([4.0, 2.0])
    assert weights_by("none", losses, 2, 1.0).tolist() == [1, 1]
    assert weights_by("loss", None, 2, 1.0).tolist() == [1, 1]
    assert weights_by("loss", losses, 2, 1.0).tolist() == [1, 0.5]
    assert weights_by(lambda found: found > 3, losses, 2, 1.0).tolist() == [1, 0]
    with pytest.raises(ArgumentError, match=r"expected one weight per target \(2\), found \(1,\)"):
        weights_by(lambda found: found[:1], losses, 2, 1.0)


# Rounds


def test_a_round_says_what_changed():
    first, second = live([0, 3, 6, 1], [1, 0, 2, 5]).rounds
    assert (first.number, first.step, first.churn) == (0, 0, None)
    assert (second.number, second.step, second.churn) == (1, 10, 0.5)
    assert first.shares == {"a": 0.75, "b": 0.25}
    assert list(second.shares) == ["c", "a", "b"]
    assert first.fingerprint != second.fingerprint


def test_the_fingerprint_is_that_of_a_manifest():
    pool = [{"prompt": e.prompt, "completion": e.completion} for e in POOL]
    chosen = curate.select(pool, pool[:2], 4, scorer="random")
    rows = [normalize(row, index=i) for i, row in enumerate(pool)]
    made = LiveSelection().begin(0, chosen["curate_row"][:], rows, [1, 1], None)
    assert made.fingerprint == chosen.manifest.chosen["fingerprint"]
    assert made.shares == {NO_SOURCE: 1.0}


@given(st.integers(1, 40), st.integers(0, 5))
def test_an_order_is_one_pass_after_another(length, seed):
    rows = [7, 2, 9, 4]
    made = live(rows)
    made.seed = seed
    order = made.order(length)
    assert len(order) == length
    for start in range(0, length - length % 4, 4):
        assert sorted(order[start : start + 4]) == sorted(rows)
    rest = order[length - length % 4 :].tolist()
    assert len({*rest}) == len(rest)
    assert {*rest} <= {*rows}
    assert made.order(length).tolist() == order.tolist()


def test_orders_differ_by_seed_round_and_pass():
    rows = list(range(12))
    first, second = live(rows), live(rows, rows)
    other = live(rows)
    other.seed = 4
    orders = [first.order(12), first.order(24)[12:], second.order(12), other.order(12)]
    assert len({tuple(order) for order in orders}) == 4


def test_best_first_without_shuffling():
    assert live([7, 2, 9], shuffle=False).order(7).tolist() == [7, 2, 9, 7, 2, 9, 7]


def test_no_order_before_the_first_round():
    with pytest.raises(ArgumentError, match="no round has begun"):
        LiveSelection().order(3)


# The file


def test_a_history_is_read_as_it_was_written(tmp_path):
    rounds = live([0, 3], [3, 5]).rounds
    save_rounds(tmp_path / "a" / "selection.json", rounds, SETTINGS)
    assert load_rounds(tmp_path / "a" / "selection.json", SETTINGS) == rounds
    unmeasured = live([0, 3], losses=None).rounds
    save_rounds(tmp_path / "selection.json", unmeasured, SETTINGS)
    assert load_rounds(tmp_path / "selection.json", SETTINGS) == unmeasured


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"k": 4}, "this run's k is not the checkpoint's .it was 3, now it is 4"),
        ({"pool": "y"}, "this run's pool is not the checkpoint's .it was 'x', now it is 'y'"),
        ({"new": 1}, "this run's new is not the checkpoint's .it was None, now it is 1"),
    ],
)
def test_a_history_of_other_settings(tmp_path, changed, message):
    file = tmp_path / "selection.json"
    save_rounds(file, live([0]).rounds, SETTINGS)
    with pytest.raises(CheckpointError, match=message):
        load_rounds(file, {**SETTINGS, **changed})


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 1}', '{"settings": {}, "rounds": [{}]}'])
def test_a_damaged_history(tmp_path, damage):
    file = tmp_path / "checkpoint-3" / "selection.json"
    file.parent.mkdir()
    with pytest.raises(CheckpointError, match=r"checkpoint-3 holds no selection\.json"):
        load_rounds(file, SETTINGS)
    file.write_text(damage)
    with pytest.raises(CheckpointError, match="not the history of a live selection"):
        load_rounds(file, SETTINGS)


def test_a_history_of_a_later_version(tmp_path):
    file = tmp_path / "selection.json"
    save_rounds(file, live([0]).rounds, SETTINGS)
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "version": 9}))
    with pytest.raises(CheckpointError, match=r"run's version is not .* \(it was 9, now it is 1"):
        load_rounds(file, SETTINGS)


def test_the_last_checkpoint_is_a_whole_one(tmp_path):
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "nowhere") is None
    for number, state in ((9, "{}"), (20, "{}"), (30, '{"epo'), (40, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-last").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")


# Metrics


def test_metrics_by_target():
    targets = [Example("x", "p", "c", "t"), Example("y", "p", "c", "t")]
    assert round_metrics(live([0, 3, 6, 1], [1, 0, 2, 5]).rounds, targets) == {
        "selection/round": 1.0, "selection/churn": 0.5,
        "selection/target_loss": pytest.approx(0.9), "selection/target_loss/x": 1.5,
        "selection/target_loss/y": pytest.approx(0.3), "selection/source_share/a": 0.25,
        "selection/source_share/b": 0.25, "selection/source_share/c": 0.5,
    }  # fmt: skip


def test_metrics_without_losses():
    found = round_metrics(live([0, 1], losses=None).rounds, POOL[:2])
    assert set(found) == {
        "selection/round", "selection/source_share/a", "selection/source_share/b",
    }  # fmt: skip


def test_many_targets_are_reported_by_source():
    targets = [Example(str(i), "p", "c", "ab"[i % 2]) for i in range(24)]
    losses = [1.0, 3.0] * 12
    found = round_metrics(live([0], losses=losses).rounds, targets)
    named = {name: value for name, value in found.items() if "target_loss/" in name}
    assert named == {"selection/target_loss/a": 1.0, "selection/target_loss/b": 3.0}
    nameless = [Example(str(i), "p", "c") for i in range(24)]
    found = round_metrics(live([0], losses=losses).rounds, nameless)
    assert [name for name in found if "target_loss" in name] == ["selection/target_loss"]


def test_a_source_that_was_shown_once_is_shown_from_then_on():
    pool = [Example(str(i), "p", "c", f"s{i:02}", row=i) for i in range(40)]
    made = LiveSelection()
    made.begin(0, range(30), pool, [1], None)
    first = round_metrics(made.rounds, pool)
    made.begin(1, range(20, 40), pool, [1], None)
    second = round_metrics(made.rounds, pool)

    def shares(found):
        return {n.split("/")[-1]: v for n, v in found.items() if "share" in n}

    shown = {f"s{i:02}" for i in range(MOST_SOURCES)}
    assert set(shares(first)) == shown | {"other"}
    assert set(shares(second)) == shown | {f"s{i}" for i in range(20, 32)} | {"other"}
    assert shares(second)["s00"] == 0
    for found in (first, second):
        assert sum(shares(found).values()) == pytest.approx(1)


# Rows


def test_training_rows_are_the_pool_in_one_layout():
    rows = Dataset.from_list([{"question": f"q{i}", "answer": "a", "extra": i} for i in range(4)])
    pool = [Example(str(i), f"q{i}", "a", row=i) for i in (0, 2, 3)]
    found = training_rows(rows, pool, None)
    assert found.column_names == ["prompt", "completion", ROW_COLUMN]
    assert found[ROW_COLUMN][:] == [0, 2, 3]
    assert found["prompt"][:] == ["q0\n", "q2\n", "q3\n"]
    check_rows(found, pool)


def test_layouts_that_do_not_go_together():
    rows = [{"prompt": "a", "completion": "b", "text": None}] * 2
    rows += [{"prompt": None, "completion": None, "text": "c"}]
    with pytest.raises(
        ArgumentError, match=r"prompt\+completion \(first in pool, row 0\) and text \(first in"
    ):
        Reselect(rows, rows[:1], 1)


def test_rows_repeated_or_moved():
    rows = training_rows(Dataset.from_list([{"text": str(i)} for i in range(4)]), POOL[:4], None)
    with pytest.raises(ArgumentError, match="row 1 is row 2 of the pool, expected 1"):
        check_rows(rows.select([0, 2, 1, 3]), POOL[:4])
    with pytest.raises(ArgumentError, match="row 4 is row 1 of the pool, expected none"):
        check_rows(rows.select([0, 1, 2, 3, 1]), POOL[:4])
    with pytest.raises(ArgumentError, match=r"2 of the pool's 4 rows are gone .*from 0: 1, 3"):
        check_rows(rows.select([2, 0]), POOL[:4])
    with pytest.raises(ArgumentError, match="found list"):
        check_rows([1, 2], POOL[:2])


# Choosing


@pytest.mark.parametrize("name", ["plain_greedy", "coverage", "top_k_max"])
def test_a_pool_whose_matrix_does_not_fit_is_chosen_from_as_select_does(name):
    scores = DenseScores(np.random.default_rng(0).normal(size=(3, 50)))
    selector, weights = make_selector(name), [0.5, 0.3, 0.2]
    whole = selector.select(scores, 5, weights=weights)
    for memory in (8 * 3 * 50, 8 * 3 * 50 - 1):
        candidates = Candidates.of(scores, 5, selector, memory=memory)
        chosen = candidates.choose(selector, 5, weights)
        if candidates.rows is None:
            assert chosen.indices.tolist() == whole.indices.tolist()
        else:
            best = {i for row in np.argsort(-scores.values())[:, :5].tolist() for i in row}
            assert set(candidates.rows.tolist()) == best >= set(chosen.indices.tolist())
            assert chosen.shortlist == len(best)
    assert (chosen.shortlist is not None) == selector.needs_matrix


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every should be 'epoch' or a number of optimizer steps >= 1, found 0"),
        ({"every": "step"}, "found 'step'"),
        ({"every": True}, "found True"),
        ({"weighting": "entropy"}, "weighting 'entropy' is unknown; choose loss or none"),
        ({"power": -1.0}, "power should be a finite number >= 0, found -1.0"),
        ({"k": 13}, "k = 13 is larger than the pool of 12 rows"),
        ({"scorer": "bm26"}, "scorer 'bm26' is unknown"),
        ({"scorer": "rds"}, "scorer 'rds' needs the language model"),
        ({"selector": "best"}, "selector 'best' is unknown"),
        ({"weights": [1.0]}, r"weights: expected one per target \(2\)"),
    ],
)
def test_arguments_that_cannot_be_right(options, message):
    pool = [{"prompt": e.prompt, "completion": e.completion} for e in POOL]
    with pytest.raises(ArgumentError, match=message):
        Reselect(pool, pool[:2], **{"k": 3, **options})


def test_rows_that_cannot_be_read_are_counted():
    pool = [{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": ""}] * 3
    reselect = Reselect(pool, pool[:1], 2, scorer="tfidf", on_bad_row="skip")
    assert len(reselect.pool) == len(reselect.dataset) == 3
    assert len(reselect.skipped) == 3
    assert reselect.dataset[ROW_COLUMN][:] == [0, 2, 4]
    assert reselect.history == []


def test_looking_at_a_model_leaves_the_generators_as_they_were():
    import random

    import torch

    def draw():
        return random.random(), np.random.random(), torch.rand(()).item()

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    expected = [draw(), draw()]
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    found = [draw()]
    with random_state_kept():
        draw()
    assert [*found, draw()] == expected


def test_without_the_mixin():
    pool = [{"prompt": e.prompt, "completion": e.completion} for e in POOL]
    reselect = Reselect(pool, pool[:1], 2, scorer="tfidf")
    with pytest.raises(ArgumentError, match=r"class Trainer\(LiveSelectionMixin, SFTTrainer\)"):
        reselect.on_epoch_begin(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())
