"""A selection goes straight into stock TRL and trains."""

import sys

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

import curate
from airrep.errors import ArgumentError, CheckpointError, LossError
from airrep.language_model.model import LanguageModel
from eval_harness import fine_tune


@pytest.fixture(scope="module")
def chosen():
    pool, targets = curate.demo_pool(120), curate.demo_targets("news_topic", 3)
    return curate.select(pool, targets, 16, scorer="tfidf")


def _config(directory, **options):
    return SFTConfig(
        output_dir=str(directory), max_steps=2, per_device_train_batch_size=4, max_length=128,
        report_to="none", save_strategy="no", logging_steps=1, use_cpu=True,
        dataloader_pin_memory=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("view", ["dataset", "to_trl"])
def test_stock_sft_trainer_takes_steps_on_it(chosen, tiny_lm, tmp_path, view):
    rows = chosen.dataset if view == "dataset" else chosen.to_trl()
    trainer = SFTTrainer(model=str(tiny_lm), args=_config(tmp_path), train_dataset=rows)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    outcome = trainer.train()
    assert outcome.global_step == 2
    assert 0 < outcome.training_loss < 20
    assert any(not p.equal(before[n]) for n, p in trainer.model.named_parameters())


def test_saved_files_train_as_well(chosen, tiny_lm, tmp_path):
    chosen.save(tmp_path / "out")
    rows = Dataset.from_parquet(str(tmp_path / "out" / "train.parquet"), cache_dir=str(tmp_path))
    outcome = fine_tune(rows, tiny_lm, tmp_path / "model", max_steps=1, batch_size=4)
    assert outcome.steps == 1


@pytest.mark.slow
def test_fine_tuning_learns_and_is_the_same_for_the_same_seed(chosen, tiny_lm, tmp_path):
    runs = [
        fine_tune(
            chosen.to_trl(), tiny_lm, tmp_path / str(number), epochs=epochs, seed=seed,
            learning_rate=5e-3, batch_size=4, use_cpu=True,
        )
        for number, (epochs, seed) in enumerate([(1, 0), (1, 0), (1, 1), (3, 0)])
    ]  # fmt: skip
    losses = [run.train_loss for run in runs]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert losses[3] < losses[0]
    assert runs[0].steps == 4
    assert (runs[0].directory / "model.safetensors").exists()


def test_only_completions_are_learned(tiny_lm, tmp_path):
    """Two datasets that differ in prompts after the same completions have unequal losses, but a
    prompt twice as long does not add its own tokens to the loss: with completions of one token
    the loss is that token's, near log(vocabulary) for a random model."""
    rows = Dataset.from_list([{"prompt": "a b c d e f g " * 8, "completion": "x"}] * 4)
    outcome = fine_tune(rows, tiny_lm, tmp_path, max_steps=1, batch_size=4, use_cpu=True)
    assert 5.5 < outcome.train_loss < 7.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a", "completion": "b", "extra": 1}], "expected exactly prompt and"),
        ([{"instruction": "a", "output": "b"}], "expected exactly prompt and"),
    ],
)
def test_other_columns_are_refused(rows, message, tiny_lm, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        fine_tune(Dataset.from_list(rows), tiny_lm, tmp_path)


def test_an_empty_dataset_is_refused(tiny_lm, tmp_path):
    rows = Dataset.from_dict({"text": []})
    with pytest.raises(ArgumentError, match="no rows to train on"):
        fine_tune(rows, tiny_lm, tmp_path)


def test_what_is_no_language_model_is_refused(tmp_path):
    rows = Dataset.from_dict({"text": ["a"]})
    with pytest.raises(
        CheckpointError, match=r"config\.json is missing; is this a model directory"
    ):
        fine_tune(rows, tmp_path, tmp_path / "out")


@pytest.mark.slow
def test_adapters_are_trained_and_merged(chosen, tiny_lm, tmp_path, monkeypatch):
    runs = [
        fine_tune(
            chosen.to_trl(), tiny_lm, tmp_path / str(number), epochs=1, seed=seed,
            learning_rate=5e-3, batch_size=4, use_cpu=True, lora_rank=2,
        )
        for number, seed in enumerate((0, 0, 1))
    ]  # fmt: skip
    assert runs[0].train_loss == runs[1].train_loss != runs[2].train_loss
    before = AutoModelForCausalLM.from_pretrained(tiny_lm).state_dict()
    after = AutoModelForCausalLM.from_pretrained(runs[0].directory).state_dict()
    assert {*before} == {*after}
    moved = {name for name in before if not before[name].equal(after[name])}
    linear = {name for name in before if "_proj." in name}
    assert moved == linear, "the linear layers of the blocks, and nothing else"
    for name in linear:
        change = torch.linalg.svdvals(after[name] - before[name])
        assert (change > 1e-4 * change[0]).sum() == 2, "of the rank asked for"
    assert not list(runs[0].directory.glob("adapter*"))
    monkeypatch.setitem(sys.modules, "peft", None)
    LanguageModel.from_pretrained(runs[0].directory)


def test_adapters_without_peft_say_what_to_install(chosen, tiny_lm, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ArgumentError, match=r"pip install 'airrep-curate\[lora\]'"):
        fine_tune(chosen.to_trl(), tiny_lm, tmp_path / "model", lora_rank=4)


def test_a_rank_below_one(chosen, tiny_lm, tmp_path):
    with pytest.raises(ArgumentError, match="LoRA rank is 0; expected at least 1"):
        fine_tune(chosen.to_trl(), tiny_lm, tmp_path / "model", lora_rank=0)


@pytest.mark.slow
def test_nothing_is_printed_unless_asked_for(chosen, tiny_lm, tmp_path, capfd):
    options = {"max_steps": 1, "batch_size": 4, "use_cpu": True}
    fine_tune(chosen.to_trl(), tiny_lm, tmp_path / "1", **options)
    assert capfd.readouterr().out == ""
    fine_tune(
        chosen.to_trl(),
        tiny_lm,
        tmp_path / "2",
        **options,
        logging_strategy="steps",
        logging_steps=1,
    )
    assert "'loss'" in capfd.readouterr().out


def test_a_run_that_diverges_is_not_saved(chosen, tiny_lm, tmp_path):
    with pytest.raises(LossError, match=r"training loss is (nan|inf); lower the learning rate"):
        fine_tune(
            chosen.to_trl(), tiny_lm, tmp_path / "model", max_steps=4, batch_size=4, use_cpu=True,
            learning_rate=1e30,
        )  # fmt: skip
    assert not (tmp_path / "model" / "model.safetensors").exists()
