"""The files of AirRep's authors: what is written is read again."""

import numpy as np
import pytest

from airrep.records import normalize
from airrep.supervision import SubsetLosses
from curate.rows.io import read_rows
from eval_harness.runs.airrep_files import (
    losses_file,
    read_index,
    read_lds_file,
    read_losses_file,
    write_test_layout,
    write_training_layout,
)
from eval_harness.runs.subsets import Uniform, draw_plan

ROWS = [
    {"prompt": "a question ", "completion": "an answer"},
    {"instruction": "do this", "input": "with that", "output": "done\n"},
    {"inputs": "ask", "targets": "say", "task": "t"},
    {"text": "only a text"},
    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]},
    {"question": "what\nnow?", "answer": "nothing"},
]
EXAMPLES = [normalize(row, index=i) for i, row in enumerate(ROWS)]
POOL, EVALUATION = EXAMPLES[:4], EXAMPLES[4:]


@pytest.fixture
def recorded():
    plan = draw_plan(POOL, EVALUATION, [(Uniform(2), 5)], repeats=2)
    values = np.random.default_rng(0).normal(2, 1, (5, 2, 2))
    return SubsetLosses(plan, values, {}, np.zeros((5, 2)))


def _texts(examples):
    return [(each.prompt, each.completion, each.source) for each in examples]


def _read(file):
    return read_rows(file, "rows").examples().examples


def test_the_test_layout_comes_back(recorded, tmp_path):
    assert write_test_layout(recorded, POOL, EVALUATION, tmp_path) == 2
    subsets, losses = read_lds_file(tmp_path / "lds.jsonl", len(POOL), len(EVALUATION))
    assert [rows.tolist() for rows in subsets] == [r.tolist() for r in recorded.plan.subsets]
    np.testing.assert_array_equal(losses, recorded.values.mean(axis=1))
    pairs = ((POOL, "train"), (EVALUATION, "test"))
    for examples, name in pairs:
        found = _texts(_read(tmp_path / f"{name}.jsonl"))
        expected = [(p, c, source or name) for p, c, source in _texts(examples)]
        assert found == expected, "a row that names no source has its file's name"


def test_a_language_model_reads_the_same_of_text(recorded, tmp_path):
    write_test_layout(recorded, POOL, EVALUATION, tmp_path)
    for mine, theirs in zip(POOL[:3], _read(tmp_path / "train.jsonl"), strict=False):
        assert theirs.trl == mine.trl


def test_the_training_layout_comes_back(recorded, tmp_path):
    assert write_training_layout(recorded, POOL, EVALUATION, tmp_path) == 2
    assert [t[:2] for t in _texts(_read(tmp_path / "rows.jsonl"))] == [
        t[:2] for t in _texts(EXAMPLES)
    ]
    (split,) = read_index(tmp_path / "index.jsonl", len(EXAMPLES))
    assert (split.dev_id, split.dev.tolist()) == (0, [4, 5])
    assert [rows.tolist() for rows in split.subsets] == [r.tolist() for r in recorded.plan.subsets]
    for name, expected in zip(split.ids, recorded.values.mean(axis=1), strict=True):
        found = read_losses_file(losses_file(tmp_path / "losses", name), name, 2)
        np.testing.assert_array_equal(found, expected)
