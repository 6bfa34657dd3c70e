"""Stock `SFTTrainer` trains on a live selection: which rows, in which order, after whatever."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

import curate
from airrep.errors import ArgumentError, CheckpointError
from curate.trl import LiveSelectionMixin, Reselect, last_checkpoint, loss_weights
from eval_harness import fine_tune
from selection.scorers import GradientScorer, RdsScorer

K, BATCH = 8, 4
STEPS = K // BATCH  # of a round

WORKER = """
    import json, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_trl_hooks import run_in_a_process

    run_in_a_process(Path(sys.argv[2]), **json.loads(sys.argv[3]))
"""


def task_rows(task, count, seed):
    """Rows of a task whose answer is always the same, or of one where it is any digits."""
    draws = np.random.default_rng([seed, len(task)])
    rows = []
    for _ in range(count):
        number = "".join(map(str, draws.integers(0, 10, 6)))
        answer = "yes, yes" if task == "agree" else "".join(map(str, draws.integers(0, 10, 12)))
        rows.append(
            {"prompt": f"{task} {number} {task}:", "completion": answer, "source": task}
        )  # fmt: skip
    return rows


POOL = [row for task in ("agree", "guess", "other") for row in task_rows(task, 16, 0)]
TARGETS = [row for task in ("agree", "guess") for row in task_rows(task, 2, 1)]
CHAT_TEMPLATE = (
    "{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def as_messages(row):
    """A conversation, of which TRL trains on the answer alone."""
    question, answer = row["prompt"], row["completion"]
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
        "source": row["source"],
    }


class RecordingTrainer(LiveSelectionMixin, SFTTrainer):
    """Writes down what this process trains on, batch by batch, as pool positions."""

    stay_at = None  # the step before which it stays until it is killed

    def training_step(self, model, inputs, *args, **kwargs):
        if not hasattr(self, "trained"):
            known = self.train_dataset
            self.place = {tuple(ids): i for i, ids in enumerate(known["input_ids"])}
            assert len(self.place) == len(known), "rows can be told apart"
            self.trained = []
        masks = inputs["attention_mask"].bool()
        rows = [ids[m].tolist() for ids, m in zip(inputs["input_ids"], masks, strict=True)]
        self.trained.append([self.place[tuple(row)] for row in rows])
        if self.state.global_step == self.stay_at:
            time.sleep(600)
        return super().training_step(model, inputs, *args, **kwargs)


def config(folder, **options):
    settings = {
        "num_train_epochs": 3, "per_device_train_batch_size": BATCH, "max_length": 64,
        "learning_rate": 1e-2, "report_to": "none", "save_strategy": "no", "logging_steps": 1,
        "use_cpu": True, "dataloader_pin_memory": False, "disable_tqdm": True, **options,
    }  # fmt: skip
    return SFTConfig(output_dir=str(folder), **settings)


def language_model(directory, dropout=0.1):
    """With dropout, so that a generator that is disturbed shows."""
    return AutoModelForCausalLM.from_pretrained(directory, attention_dropout=dropout)


def selection(pool=POOL, k=K, **options):
    settings = {"scorer": "tfidf", "selector": "round_robin", "power": 2.0, **options}
    return Reselect(pool, TARGETS, k, **settings)


@pytest.fixture(scope="module")
def lm(tiny_lm, tmp_path_factory):
    """Directory of a model that knows one of the tasks already, and then forgets it."""
    directory = tmp_path_factory.mktemp("lm")
    rows = Dataset.from_list(task_rows("agree", 32, 2)).remove_columns("source")
    fine_tune(rows, tiny_lm, directory, epochs=6, batch_size=8, learning_rate=1e-2, use_cpu=True)
    return directory


def trainer_of(
    lm, reselect, folder, *, trainer=RecordingTrainer, dataset=None, dropout=0.1, **options
):
    return trainer(
        language_model(lm, dropout), config(folder, **options),
        train_dataset=reselect.dataset if dataset is None else dataset,
        processing_class=AutoTokenizer.from_pretrained(lm), callbacks=[reselect],
    )  # fmt: skip


def run(lm, folder, *, resume=False, stay_at=None, every="epoch", weighting="loss", **options):
    reselect = selection(every=every, weighting=weighting)
    trainer = trainer_of(lm, reselect, folder, **options)
    trainer.stay_at = stay_at
    trainer.train(resume_from_checkpoint=resume)
    return trainer, reselect


def run_in_a_process(folder, **options):
    """What `run` did, in files."""
    trainer, reselect = run(**{**options, "folder": folder})
    rank = trainer.args.process_index
    (folder / f"trained-{rank}.json").write_text(json.dumps(trainer.trained))
    rounds = [[each.step, each.indices, each.weights] for each in reselect.history]
    (folder / f"rounds-{rank}.json").write_text(json.dumps(rounds))
    if rank == 0:
        reselect.save(folder)
        torch.save(trainer.model.state_dict(), folder / "weights.pt")


def arguments(folder, options):
    """Of WORKER."""
    folder.mkdir(exist_ok=True)
    return Path(__file__).parent, folder, json.dumps(options)


def weights_of(trainer):
    return {n: v.clone() for n, v in trainer.model.state_dict().items()}


def expected_order(reselect, steps, seed=42):
    """The documented order: passes over a round's rows, each shuffled by (seed, round, pass)."""
    batches = []
    for each in reselect.history:
        rows = np.array(each.indices)
        passes = [
            np.random.default_rng([seed, each.number, number]).permutation(rows)
            for number in range(-(-steps * BATCH // len(rows)))
        ]
        stream = np.concatenate(passes)[: steps * BATCH].tolist()
        batches += [stream[i : i + BATCH] for i in range(0, len(stream), BATCH)]
    return batches


@pytest.fixture(scope="module")
def undisturbed(lm, tmp_path_factory):
    return run(lm, tmp_path_factory.mktemp("undisturbed"))


def test_it_trains_on_the_selected_rows_in_the_documented_order(undisturbed):
    trainer, reselect = undisturbed
    assert trainer.state.global_step == trainer.state.max_steps == 3 * STEPS
    assert [each.step for each in reselect.history] == [0, STEPS, 2 * STEPS]
    assert trainer.trained == expected_order(reselect, STEPS)


def test_rows_flow_to_the_targets_that_the_model_gets_wrong(lm, tmp_path, undisturbed):
    """At first these are the task it was not taught; then it forgets the other, and gets rows of it
    again."""
    _, reselect = undisturbed
    first, second, third = reselect.history
    agree, guess = np.array(first.losses).reshape(2, 2)
    assert agree.max() < guess.min() / 2
    assert first.shares == {"guess": 1.0}
    forgotten = np.array(second.losses[:2])
    assert forgotten.min() > 2 * agree.max()
    assert second.shares["agree"] > 0
    assert second.churn == second.shares["agree"]
    assert third.churn > 0
    for each in reselect.history:
        weights = loss_weights(each.losses, 2.0)
        np.testing.assert_allclose(each.weights, weights / weights.sum())
        by_hand = curate.select(
            POOL, TARGETS, K, scorer="tfidf", selector="round_robin", weights=each.weights
        )
        assert tuple(by_hand.selection.indices) == each.indices
        assert by_hand.manifest.chosen["fingerprint"] == each.fingerprint
    _, unweighted = run(lm, tmp_path, weighting="none", num_train_epochs=1)
    assert unweighted.history[0].shares == {"agree": 0.5, "guess": 0.5}


@pytest.mark.slow
def test_the_metrics_go_where_the_trainer_reports_to(lm, tmp_path):
    class Capture(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append((state.global_step, dict(logs)))

    logged = []

    reselect = selection()
    trainer = trainer_of(lm, reselect, tmp_path)
    trainer.add_callback(Capture)
    trainer.train()
    rounds = [(step, logs) for step, logs in logged if "selection/round" in logs]
    assert [step for step, _ in rounds] == [0, STEPS, 2 * STEPS]
    for (_, logs), each in zip(rounds, reselect.history, strict=True):
        assert logs["selection/round"] == each.number
        assert logs.get("selection/churn") == each.churn
        assert logs["selection/target_loss"] == pytest.approx(np.mean(each.losses))
        assert logs["selection/target_loss/2"] == each.losses[2]
        assert logs["selection/source_share/guess"] == each.shares["guess"]
        assert "entropy" not in logs, "TRL's running means stay with TRL's own logs"
    own = [logs for _, logs in logged if "loss" in logs]
    assert len(own) == 3 * STEPS
    assert all("entropy" in logs for logs in own)
    assert [logs for logs in trainer.state.log_history if "selection/round" in logs]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chat", "template"), [(False, False), (False, True), (True, True)],
    ids=["plain", "plain rows, chat model", "conversations"],
)  # fmt: skip
def test_losses_are_those_of_training(lm, tmp_path, chat, template):
    """TRL's own loss of each target, by its own preparation of the same rows."""
    tokenizer = AutoTokenizer.from_pretrained(lm)
    tokenizer.chat_template = CHAT_TEMPLATE if template else None
    pool, targets = [[as_messages(row) if chat else row for row in r] for r in (POOL, TARGETS)]
    reselect = Reselect(pool, targets, K, scorer="tfidf")
    options = {"bf16": False, "num_train_epochs": 1}
    live, plain = (
        trainer(
            language_model(lm), config(tmp_path, **options), train_dataset=rows,
            processing_class=tokenizer, callbacks=callbacks,
        )
        for trainer, rows, callbacks in (
            (RecordingTrainer, reselect.dataset, [reselect]),
            (SFTTrainer, Dataset.from_list(targets).remove_columns("source"), None),
        )
    )  # fmt: skip
    live.train()
    plain.model.eval()
    expected = []
    for row in plain.train_dataset:
        with torch.no_grad():
            expected.append(float(plain.compute_loss(plain.model, plain.data_collator([row]))))
    np.testing.assert_allclose(reselect.history[0].losses, expected, rtol=1e-5)
    assert tokenizer.chat_template == (CHAT_TEMPLATE if template else None)


@pytest.mark.slow
def test_the_pages_python_runs(lm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("pool", POOL), ("targets", TARGETS)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = (Path(__file__).parents[2] / "docs" / "trl.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    quietly = "use_cpu=True, report_to='none', dataloader_pin_memory=False"
    code = block.replace("MODEL", str(lm)).replace("num_train", f"{quietly}, num_train")
    names: dict[str, object] = {}
    exec(compile(code, "trl.md", "exec"), names)
    assert [each.step for each in names["reselect"].history] == [0, 3, 6]


@pytest.mark.slow
def test_a_fixed_selection_is_what_plain_trl_does_on_to_trl(lm, tmp_path):
    """Best first, as many passes; loss for loss and weight for weight."""
    reselect = selection(weighting="none")
    live = trainer_of(lm, reselect, tmp_path / "1", train_sampling_strategy="sequential")
    live.train()
    assert [each.churn for each in reselect.history] == [None, 0.0, 0.0]
    chosen = curate.select(POOL, TARGETS, K, scorer="tfidf", selector="round_robin")
    plain = SFTTrainer(
        language_model(lm), config(tmp_path / "2", train_sampling_strategy="sequential"),
        train_dataset=chosen.to_trl(), processing_class=AutoTokenizer.from_pretrained(lm),
    )  # fmt: skip
    plain.train()

    def losses(trainer):
        return [logs["loss"] for logs in trainer.state.log_history if "loss" in logs]

    assert losses(live) == losses(plain)
    expected = weights_of(plain)
    assert all(value.equal(expected[name]) for name, value in weights_of(live).items())
    for name in ("total_flos", "train_loss"):
        both = [t.state.log_history[-1][name] for t in (live, plain)]
        assert both[0] == both[1]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_a_round_of_so_many_steps(lm, tmp_path, workers, persistent):
    """3 steps of 4 rows are a pass over 8 and half of the next; workers that fetch ahead do not
    fetch rows of the round before."""
    trainer, reselect = run(
        lm, tmp_path, every=3, max_steps=8, dataloader_num_workers=workers,
        dataloader_persistent_workers=persistent,
    )  # fmt: skip
    assert [each.step for each in reselect.history] == [0, 3, 6]
    assert trainer.state.global_step == 8
    assert trainer.trained == expected_order(reselect, 3)[:8]
    assert any(each.churn for each in reselect.history)


@pytest.mark.slow
def test_accumulated_gradients_count_as_one_step(lm, tmp_path):
    trainer, reselect = run(
        lm, tmp_path, every=3, max_steps=6, per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    assert [each.step for each in reselect.history] == [0, 3]
    pairs = [a + b for a, b in zip(trainer.trained[::2], trainer.trained[1::2], strict=True)]
    assert pairs == expected_order(reselect, 3)


def test_progress_counts_the_rows_of_rounds(undisturbed, capsys):
    trainer, _ = undisturbed
    loader = trainer.get_train_dataloader()
    assert len(loader) == STEPS
    assert trainer.num_examples(loader) == K
    final = trainer.state.log_history[-1]
    assert final["train_samples_per_second"] == pytest.approx(
        final["train_steps_per_second"] * BATCH, rel=0.02
    )


def test_every_row_of_the_pool_and_a_ragged_last_batch(lm, tmp_path):
    reselect = selection(k=7)
    trainer = trainer_of(lm, reselect, tmp_path, num_train_epochs=1)
    trainer.train()
    assert [len(batch) for batch in trainer.trained] == [4, 3]
    assert sorted(chain(*trainer.trained)) == sorted(reselect.history[0].indices)


@pytest.mark.slow
@pytest.mark.parametrize("save_steps", [1, 3])
def test_a_run_that_is_killed_and_resumed_ends_as_if_undisturbed(
    program, lm, tmp_path, undisturbed, save_steps, wait_until
):
    """SIGKILL inside a round; the rows still due, the history and the weights are the same."""
    options = {"lm": str(lm), "save_strategy": "steps", "save_steps": save_steps}
    killed = program(WORKER, *arguments(tmp_path, {**options, "stay_at": 3}))
    saved = tmp_path / "checkpoint-3" / "trainer_state.json"
    wait_until(saved.exists, "the checkpoint of step 3", of=killed)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, killed.stderr
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint is not None
    step = int(Path(checkpoint).name.split("-")[1])
    assert 3 <= step < 3 * STEPS

    resumed, reselect = run(lm, tmp_path, resume=True)
    whole, expected = undisturbed
    assert reselect.history == expected.history
    assert resumed.trained == whole.trained[step:]
    weights = weights_of(whole)
    assert all(value.equal(weights[name]) for name, value in weights_of(resumed).items())


@pytest.mark.slow
def test_resumed_where_a_round_ends(lm, tmp_path, undisturbed):
    whole, expected = undisturbed
    run(lm, tmp_path, save_strategy="epoch", num_train_epochs=3)
    resumed, reselect = run(lm, tmp_path, resume=str(tmp_path / f"checkpoint-{STEPS}"))
    assert reselect.history == expected.history
    assert resumed.trained == whole.trained[STEPS:]


@pytest.mark.slow
def test_two_processes_choose_the_rows_of_one(together, lm, tmp_path):
    """As torchrun starts them, each with half of every batch.

    Without dropout, which is drawn anew in each process, and in float32: what is left is that
    gradients are added up in another order.
    """
    options = {"dropout": 0.0, "bf16": False}
    whole, reselect = run(lm, tmp_path / "one", **options)
    halved = {**options, "lm": str(lm), "per_device_train_batch_size": BATCH // 2}
    folder = tmp_path / "two"
    together(WORKER, *arguments(folder, halved))
    both = [json.loads((folder / f"rounds-{rank}.json").read_text()) for rank in range(2)]
    assert both[0] == both[1]
    expected = [[each.step, list(each.indices), list(each.weights)] for each in reselect.history]
    assert both[0] == expected
    assert any(each.churn for each in reselect.history[1:])  # otherwise there is little to agree on
    halves = [json.loads((folder / f"trained-{rank}.json").read_text()) for rank in range(2)]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole.trained
    weights, found = weights_of(whole), torch.load(folder / "weights.pt")
    assert any(not value.equal(weights[name]) for name, value in found.items()), "rounding is there"


@pytest.mark.slow
@pytest.mark.parametrize("scorer", [RdsScorer, GradientScorer])
def test_scores_may_come_from_the_model_in_training(lm, tmp_path, scorer):
    reselect = selection(rescore=scorer, weighting="none", selector="top_k_max")
    trainer = trainer_of(lm, reselect, tmp_path)
    trainer.train()
    assert trainer.trained == expected_order(reselect, STEPS)
    assert any(each.churn for each in reselect.history), "the model changed, and its scores with it"
    assert trainer.model.training
    assert all(p.requires_grad for p in trainer.model.parameters())


def test_a_checkpoint_of_other_rows_or_settings_is_refused(lm, tmp_path):
    run(lm, tmp_path, save_strategy="epoch", num_train_epochs=1)
    cases = [
        (selection(k=K - 4), "this run's k is not the checkpoint's .it was 8, now it is 4"),
        (selection(pool=POOL[1:]), "this run's pool is not the checkpoint's"),
        (selection(weighting="none"), "this run's weighting is not .* 'loss', now it is 'none'"),
        (selection(scorer="bm25"), "this run's scorer is not .* 'tfidf', now it is 'bm25'"),
    ]
    for reselect, message in cases:
        with pytest.raises(CheckpointError, match=message):
            trainer_of(lm, reselect, tmp_path).train(resume_from_checkpoint=True)
    with pytest.raises(CheckpointError, match="order seed is not the checkpoint's"):
        trainer_of(lm, selection(), tmp_path, seed=1).train(resume_from_checkpoint=True)
    (tmp_path / f"checkpoint-{STEPS}" / "selection.json").unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint-2 holds no selection\.json"):
        run(lm, tmp_path, resume=True)


def test_nothing_to_resume(lm, tmp_path):
    with pytest.raises(ArgumentError, match="holds no whole checkpoint"):
        run(lm, tmp_path, resume=True)


def test_a_second_training_starts_anew(lm, tmp_path):
    trainer, reselect = run(lm, tmp_path, num_train_epochs=1)
    trainer.train()
    assert [each.number for each in reselect.history] == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packing": True}, "packing=True joins rows"),
        ({"train_sampling_strategy": "group_by_length"}, "'group_by_length' has an order of its"),
        ({"shuffle_dataset": True}, "rows were shuffled or repeated"),
        ({"max_length": 4}, r"48 of the pool's 48 rows are gone .*raise max_length"),
    ],
)
def test_settings_under_which_rows_lose_their_identity(lm, tmp_path, options, message):
    with pytest.raises(ArgumentError, match=message):
        trainer_of(lm, selection(), tmp_path, **options)


def test_some_rows_that_trl_drops_are_named(lm, tmp_path):
    long = {"prompt": "so " * 200, "completion": "x", "source": "long"}
    reselect = selection(pool=[*POOL[:5], long, *POOL[5:]])
    with pytest.raises(ArgumentError, match=r"1 of the pool's 49 rows is gone .*from 0: 5\)"):
        trainer_of(lm, reselect, tmp_path)


def test_other_training_rows(lm, tmp_path):
    reselect = selection()
    plain = Dataset.from_list(POOL).remove_columns("source")
    cases = [
        (reselect.dataset.shuffle(seed=0), "rows were shuffled or repeated"),
        (reselect.dataset.select(range(40)), "8 of the pool's 48 rows are gone"),
        (reselect.dataset.to_iterable_dataset(), "found IterableDataset"),
        (plain, "no column 'curate_row'"),
    ]
    for dataset, message in cases:
        with pytest.raises(ArgumentError, match=message):
            trainer_of(lm, reselect, tmp_path, dataset=dataset, max_steps=2)
    assert isinstance(cases[2][0], IterableDataset)


def test_rows_that_the_user_tokenized(lm, tmp_path):
    reselect, tokenizer = selection(), AutoTokenizer.from_pretrained(lm)

    def tokenize(row):
        ids = tokenizer(row["prompt"] + row["completion"])["input_ids"]
        return {"input_ids": ids, "labels": ids}

    dataset = reselect.dataset.map(tokenize, remove_columns=["prompt", "completion"])
    trainer = trainer_of(lm, reselect, tmp_path, dataset=dataset, num_train_epochs=1)
    trainer.train()
    assert trainer.trained == expected_order(reselect, STEPS)


def test_callback_and_mixin_belong_together(lm, tmp_path):
    reselect = selection()
    with pytest.raises(ArgumentError, match="this trainer samples from its whole dataset"):
        trainer_of(lm, reselect, tmp_path, trainer=SFTTrainer).train()
    with pytest.raises(ArgumentError, match="expected one Reselect, found 0"):
        RecordingTrainer(language_model(lm), config(tmp_path), train_dataset=reselect.dataset,
                         processing_class=AutoTokenizer.from_pretrained(lm))  # fmt: skip


def test_rounds_of_steps_want_to_know_when_to_stop(lm, tmp_path):
    with pytest.raises(ArgumentError, match="say with max_steps how long to train"):
        trainer_of(lm, selection(every=3), tmp_path)


def test_a_round_without_a_batch(lm, tmp_path):
    trainer = trainer_of(lm, selection(k=3), tmp_path, dataloader_drop_last=True)
    with pytest.raises(ArgumentError, match="a round of 3 rows makes no batch"):
        trainer.train()


def test_nothing_can_be_sampled_before_training(lm, tmp_path):
    trainer = trainer_of(lm, selection(), tmp_path)
    with pytest.raises(ArgumentError, match="no round has begun"):
        next(iter(trainer.get_train_dataloader()))


def test_weights_in_shards(lm, tmp_path, monkeypatch):
    monkeypatch.setattr(LiveSelectionMixin, "_sharded", lambda self: True)
    with pytest.raises(ArgumentError, match="no process can measure the targets' losses"):
        trainer_of(lm, selection(), tmp_path)
    reselect = selection(weighting="none")
    trainer = trainer_of(lm, reselect, tmp_path)
    trainer.train()
    assert trainer.trained == expected_order(reselect, STEPS)
    assert [each.losses for each in reselect.history] == [None] * 3


def test_weights_by_a_function_of_the_users(lm, tmp_path):
    reselect = selection(weighting=lambda losses: losses < 2)
    trainer_of(lm, reselect, tmp_path, num_train_epochs=1).train()
    assert reselect.history[0].weights == (0.5, 0.5, 0.0, 0.0)
    assert reselect.history[0].shares == {"agree": 1.0}
