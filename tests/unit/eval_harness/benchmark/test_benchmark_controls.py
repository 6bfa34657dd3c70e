"""Controls choose as many rows as asked, each once, and what their names promise."""

import numpy as np
import pytest

from airrep.records import Example
from eval_harness.benchmark.controls import CONTROLS, length_matched, random_rows, same_source

POOL = [
    Example(str(i), "w" * (1 + 13 * i % 400), "c" * (1 + 7 * i % 90), f"s{i % 4}", i)
    for i in range(200)
]
TARGETS = [Example("a", "w" * 300, "c" * 80, "s1"), Example("b", "w" * 310, "c" * 75, "s3")]


def _rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("k", [1, 17, 199, 200])
def test_every_control_chooses_k_different_rows(name, k):
    chosen = CONTROLS[name](TARGETS, POOL, k, _rng())
    assert len(chosen) == len(set(chosen.tolist())) == k
    assert set(chosen.tolist()) <= set(range(200))


@pytest.mark.parametrize("name", CONTROLS)
def test_the_generator_decides(name):
    first, again, other = (CONTROLS[name](TARGETS, POOL, 30, _rng(seed)) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


def test_own_rows_come_first_and_then_others():
    own = {i for i, e in enumerate(POOL) if e.source in ("s1", "s3")}
    assert set(same_source(TARGETS, POOL, 100, _rng()).tolist()) == own
    assert set(same_source(TARGETS, POOL, 60, _rng()).tolist()) < own
    more = same_source(TARGETS, POOL, 130, _rng()).tolist()
    assert set(more[:100]) == own
    assert not own & set(more[100:])


def test_without_own_rows_others_do():
    strangers = [Example("a", "p", "c", "elsewhere")]
    assert len(set(same_source(strangers, POOL, 20, _rng()).tolist())) == 20


def test_matched_lengths_are_closer_than_random_ones():
    def distance(chosen):
        return np.mean([
            min(
                abs(np.log1p(len(POOL[i].prompt)) - np.log1p(len(t.prompt)))
                + abs(np.log1p(len(POOL[i].completion)) - np.log1p(len(t.completion)))
                for t in TARGETS
            )
            for i in chosen
        ])  # fmt: skip

    matched, random = (
        np.mean([distance(control(TARGETS, POOL, 20, _rng(seed))) for seed in range(5)])
        for control in (length_matched, random_rows)
    )
    assert matched < 0.5 * random


def test_all_rows_are_equally_likely():
    times = sum(np.bincount(random_rows(TARGETS, POOL, 20, _rng(i)), minlength=200)
                for i in range(300))  # fmt: skip
    assert times.sum() == 6000
    assert abs(times - 30).max() < 6 * np.sqrt(30)
