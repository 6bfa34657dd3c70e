"""The harness's own tasks need the hub; a task of ours on a local file goes the same way."""

import json
import sys
from importlib.util import find_spec

import pytest
import torch

from airrep.errors import ArgumentError, MissingInputError
from eval_harness.measures.standard_suites import lm_eval_tasks

needs_harness = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="the extra lm-eval is not installed"
)
TASK = """
task: is_it_even
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["yes", "no"]
doc_to_target: "{{{{answer}}}}"
target_delimiter: "\\n"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"question": f"Is {i} even?", "answer": i % 2} for i in range(12)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.yaml").write_text(TASK.format(rows=file))
    return tmp_path


def log_likelihood(model, prompt, label):
    """Of the label's tokens; the harness puts no end-of-text token after them."""
    start = len(model.tokenizer(prompt + "\n")["input_ids"])
    ids = torch.tensor(model.tokenizer([f"{prompt}\n{label}"])["input_ids"])
    with torch.no_grad():
        log_p = model.network(ids).logits[0, :-1].log_softmax(-1)
    return float(log_p.gather(1, ids[0, 1:, None])[start - 1 :].sum())


@needs_harness
def test_a_local_task_has_the_accuracy_that_its_log_likelihoods_give(suite, random_lm):
    random_lm.network.save_pretrained(suite / "model")
    random_lm.tokenizer.save_pretrained(suite / "model")
    found = lm_eval_tasks(suite / "model", ["is_it_even"], include_path=suite, device="cpu")
    right = [
        (log_likelihood(random_lm, q, "no") > log_likelihood(random_lm, q, "yes")) == (i % 2)
        for i, q in enumerate(f"Is {i} even?" for i in range(12))
    ]
    assert 0 < sum(right) < 12
    assert set(found) == {"is_it_even"}
    assert set(found["is_it_even"]) == {"acc", "acc_stderr"}
    assert found["is_it_even"]["acc"] == pytest.approx(sum(right) / 12)
    few = lm_eval_tasks(suite / "model", ["is_it_even"], include_path=suite, device="cpu", limit=4)
    assert few["is_it_even"]["acc"] == pytest.approx(sum(right[:4]) / 4)


@needs_harness
def test_unknown_tasks_are_named(suite, tiny_lm):
    with pytest.raises(ArgumentError, match="does not know no_such_task"):
        lm_eval_tasks(tiny_lm, ["is_it_even", "no_such_task"], include_path=suite)


def test_without_the_extra_the_error_says_how_to_install_it(tiny_lm, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ArgumentError, match=r"pip install 'airrep-curate\[lm-eval\]'"):
        lm_eval_tasks(tiny_lm, ["is_it_even"])


@pytest.mark.parametrize("tasks", ["mmlu", []])
def test_tasks_are_a_list(tasks, tiny_lm):
    with pytest.raises(ArgumentError, match="expected a list of names"):
        lm_eval_tasks(tiny_lm, tasks)


def test_no_such_model(tmp_path):
    with pytest.raises(MissingInputError, match="not a directory"):
        lm_eval_tasks(tmp_path / "nothing", ["mmlu"])
