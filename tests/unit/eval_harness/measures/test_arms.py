"""What a trial says agrees with its table."""

import numpy as np
import pytest

from eval_harness.measures.arms import NO_TRAINING, RANDOM, SELECTED, WORDS, Trial

NOISE = np.random.default_rng(0).normal(scale=0.01, size=(2, 40))


def _trial(selected, words=2.0, random=2.0, before=3.0, accuracy=None):
    losses = {
        NO_TRAINING: NOISE[:1] + before,
        RANDOM: NOISE[::-1] + random,
        WORDS: -NOISE + words,
        SELECTED: NOISE + selected,
    }
    return Trial.of(losses, dict.fromkeys(losses, accuracy), 100, 90.0)


@pytest.mark.parametrize(
    ("selected", "said"),
    [(1.5, "selecting helps here"), (2.5, "selecting hurts here"), (2.0, "cannot be told from r")],
)
def test_the_sentence_says_what_the_interval_says(selected, said):
    found = _trial(selected)
    assert said in found.verdict
    gap = found.arms[-1].vs_random
    assert gap.mean == pytest.approx(selected - 2.0, abs=0.01)
    assert (gap.high < 0, gap.low > 0) == (selected < 2, selected > 2)


def test_words_are_compared_with_as_well():
    assert "ahead of TF-IDF's rows, by 0.49" in _trial(1.5).verdict
    assert "TF-IDF's rows are better by 0." in _trial(1.5, words=1.2).verdict
    assert "cannot be told from TF-IDF's rows" in _trial(1.5, words=1.5).verdict


def test_training_that_only_harms_is_said_to():
    assert "try a lower learning rate" in _trial(3.5, random=3.6).verdict
    assert "try a lower learning rate" not in _trial(1.5).verdict


def test_the_table_has_every_arm_and_labels_only_where_there_are_some():
    assert "right label" not in str(_trial(1.5))
    text = str(_trial(1.5, accuracy=0.625))
    assert "| right label |" in text.replace(" ---: ", " ")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "no training",
        "random rows",
        "TF-IDF",
        "selected",
    ]
    assert "100 rows, 2 runs of each. 1.5 minutes." in text
