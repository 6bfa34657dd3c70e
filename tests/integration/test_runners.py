"""Stacked training is training one by one: TRL's, and a plain loop's."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from airrep.errors import ArgumentError, CheckpointError, LossError
from airrep.language_model.lora import first_down_projection
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import LanguageModelFormat
from airrep.records import Example, normalize
from curate import demo_pool
from eval_harness.runners.base import TrainingRun, provenance
from eval_harness.runners.choice import choose_runner
from eval_harness.runners.direct import DirectRunner, parts_of_batch
from eval_harness.runners.recipe import Recipe
from eval_harness.runners.stacked import StackedRunner
from eval_harness.runners.trl import TrlRunner

TOLERANCE = 1e-4  # nats; stated in eval_harness/runners/stacked.py
SPECIAL = {"vocab_size": 512, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
COMMON = {
    **SPECIAL, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256,
    "initializer_range": 0.1,
}  # fmt: skip
GPT2 = {**SPECIAL, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256}
NEOX = {name: value for name, value in COMMON.items() if name != "num_key_value_heads"}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BUILD = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**COMMON)),
    "qwen2, tied": lambda: Qwen2ForCausalLM(Qwen2Config(**COMMON, tie_word_embeddings=True)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2, **NO_DROPOUT, initializer_range=0.1)),
    "gpt2, dropout": lambda: GPT2LMHeadModel(GPT2Config(**GPT2)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**COMMON, head_dim=16)),
    "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**NEOX)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**COMMON, sliding_window=16)),
}


@pytest.fixture(scope="module")
def build(tiny_lm):
    """A random model of a kind that `BUILD` knows."""

    def make(kind="llama", template=None):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = BUILD[kind]().eval()
        tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
        tokenizer.chat_template = template
        return LanguageModel(network, tokenizer, kind, LanguageModelFormat(max_tokens=128))

    return make


@pytest.fixture(scope="module")
def rows():
    return [Example(str(i), r["prompt"], r["completion"]) for i, r in enumerate(demo_pool(60))]


@pytest.fixture(scope="module")
def held_out(rows):
    return rows[44:]


@pytest.fixture(scope="module")
def runs(rows):
    """Eleven rows each: batches of 4 run across the end of an epoch, and the last one has 2."""
    return [TrainingRun(rows[start : start + 11], seed) for seed, start in enumerate((0, 11, 30))]


def recipe(**changes):
    settings = {"learning_rate": 5e-3, "batch_size": 4, "precision": "float32"}
    return Recipe(**(settings | changes))


def _as_chat(example):
    asked = {"role": "user", "content": example.prompt}
    answered = {"role": "assistant", "content": example.completion}
    return replace(normalize({"messages": [asked, answered]}), id=example.id)


CASES = [
    ("llama", "all", None),
    pytest.param("llama", "last:1", None, marks=pytest.mark.slow),
    pytest.param("llama", "last:2", None, marks=pytest.mark.slow),
    pytest.param("llama", "lora:4", None, marks=pytest.mark.slow),
    pytest.param("llama", "lora:2", CHATML, marks=pytest.mark.slow),
    ("qwen2, tied", "all", CHATML),
    pytest.param("qwen2, tied", "last:1", None, marks=pytest.mark.slow),
    pytest.param("gpt2", "all", None, marks=pytest.mark.slow),
]


DIRECT = [
    ("llama", "all", None, 48),
    ("llama", "last:1", None, 1024),
    ("llama", "lora:4", CHATML, 48),
    ("qwen2, tied", "all", CHATML, 1024),
    ("gpt2", "all", None, 48),
    ("gemma2", "all", None, 48),
    ("gemma2", "lora:2", None, 48),
    ("neox", "all", None, 1024),
]


@pytest.mark.parametrize(("kind", "trainable", "template", "tokens_at_once"), DIRECT)
def test_the_direct_runner_has_the_losses_of_stock_trl(
    kind, trainable, template, tokens_at_once, build, runs, held_out
):
    model, settings, run = build(kind, template), recipe(trainable=trainable), runs[0]
    if template is not None:
        run = TrainingRun(list(map(_as_chat, run.examples)), run.seed)
        held_out = list(map(_as_chat, held_out))
    before = {name: w.clone() for name, w in model.network.state_dict().items()}
    flags = [p.requires_grad for p in model.network.parameters()]
    runner = DirectRunner(model, settings, tokens_at_once=tokens_at_once)
    trained = runner.train([run])
    found = trained.losses(held_out)
    expected = TrlRunner(model, settings).train([run]).losses(held_out)
    assert np.abs(found - completion_losses(model, held_out, dtype="float32")).max() > 0.02
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)
    [whole] = trained.models()
    assert {*whole.network.state_dict()} == {*before}, "adapters are merged"
    assert whole.network.config.to_dict() == model.network.config.to_dict()
    assert not whole.network.training
    assert not any(p.requires_grad for p in whole.network.parameters())
    after = model.network.state_dict()
    assert all(after[name].equal(weight) for name, weight in before.items())
    assert [p.requires_grad for p in model.network.parameters()] == flags
    assert all(p.grad is None for p in model.network.parameters())


@pytest.mark.parametrize(("kind", "trainable", "template"), CASES)
def test_a_stack_has_the_losses_of_single_runs(kind, trainable, template, build, runs, held_out):
    model, settings = build(kind, template), recipe(trainable=trainable)
    if template is not None:
        runs = [TrainingRun(list(map(_as_chat, run.examples)), run.seed) for run in runs]
        held_out = list(map(_as_chat, held_out))
    lengths = {len(tokens.ids) for tokens in model.tokenize(runs[0].examples)}
    assert settings.steps(11) == 6
    assert len(lengths) >= 5
    before = {name: w.clone() for name, w in model.network.state_dict().items()}
    untrained = completion_losses(model, held_out, dtype="float32")

    together = StackedRunner(model, settings, stack=3).train(runs)
    found = together.losses(held_out)
    assert found.shape == (3, len(held_out))
    assert found.dtype == np.float64
    assert (np.abs(found - untrained).max(axis=1) > 0.05).all(), "training moves the losses"

    other = TrlRunner(model, settings).train(runs[2:]).losses(held_out)
    np.testing.assert_allclose(found[2:], other, atol=TOLERANCE, rtol=0)
    single = StackedRunner(model, settings, stack=1)
    for k, run in enumerate(runs):
        alone = single.train([run]).losses(held_out)
        np.testing.assert_allclose(found[[k]], alone, atol=TOLERANCE, rtol=0)
    for k, whole in enumerate(together.models()):
        assert {*whole.network.state_dict()} == {*before}, "adapters are merged"
        again = completion_losses(whole, held_out, dtype="float32")
        np.testing.assert_allclose(found[k], again, atol=TOLERANCE, rtol=0)
    after = model.network.state_dict()
    assert all(after[name].equal(weight) for name, weight in before.items())


def test_the_models_of_both_runners_are_the_same(build, runs):
    model, settings = build(), recipe(trainable="lora:4")
    [stacked] = StackedRunner(model, settings).train(runs[:1]).models()
    [trl] = TrlRunner(model, settings).train(runs[:1]).models()
    other = trl.network.state_dict()
    moved = 0.0
    for name, weight in stacked.network.state_dict().items():
        torch.testing.assert_close(weight, other[name], atol=1e-5, rtol=0)
        moved += float((weight - model.network.state_dict()[name]).abs().max())
    assert moved > 0.01
    assert trl.network.config.to_dict() == model.network.config.to_dict()
    assert not trl.network.training


class LowRank(torch.nn.Module):
    """W ↦ W + 2 B A."""

    def __init__(self, layer, down):
        super().__init__()
        self.down = torch.nn.Parameter(down)
        self.up = torch.nn.Parameter(torch.zeros(layer.out_features, len(down)))

    def forward(self, weight):
        return weight + 2.0 * self.up @ self.down


def plain_loop(model, run, settings):
    """A fresh training loop around the loss that transformers computes from labels."""
    network = model.network
    kind, _, size = settings.trainable.partition(":")
    network.requires_grad_(kind == "all")
    if kind == "last":
        network.model.layers[-int(size) :].requires_grad_(True)
    if kind == "lora":
        for name, layer in list(network.named_modules()):
            if name.startswith("model.layers.") and isinstance(layer, torch.nn.Linear):
                down = first_down_projection(layer, name, int(size), run.seed)
                torch.nn.utils.parametrize.register_parametrization(
                    layer, "weight", LowRank(layer, down)
                )
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    )
    tokens = model.tokenize(run.examples)
    order = settings.order(len(tokens), run.seed).tolist()
    batches = [order[i : i + settings.batch_size] for i in range(0, len(order), 4)]
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(batches))
    norms = []
    for batch in batches:
        longest = max(len(tokens[i].ids) for i in batch)
        ids, mask, labels = [], [], []
        for t in (tokens[i] for i in batch):
            padding = longest - len(t.ids)
            ids.append(t.ids + [0] * padding)
            mask.append([1] * len(t.ids) + [0] * padding)
            labels.append([-100] * t.start + t.completion + [-100] * padding)
        ids, mask, labels = map(torch.tensor, (ids, mask, labels))
        optimizer.zero_grad()
        network(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, 1.0)))
        optimizer.step()
        schedule.step()
    return norms


@pytest.mark.parametrize("trainable", ["all", "last:1", "lora:4"])
def test_a_run_is_what_a_plain_loop_computes(trainable, build, rows, held_out):
    settings = recipe(trainable=trainable)
    run = TrainingRun(rows[:11], 5)
    found = StackedRunner(build(), settings, stack=1).train([run]).losses(held_out)
    model = build()
    norms = plain_loop(model, run, settings)
    assert max(norms) > 1.05, "gradients are clipped"
    if trainable == "lora:4":
        assert min(norms) < 1, "and not always"
    expected = completion_losses(model, held_out, dtype="float32")
    np.testing.assert_allclose(found[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stack", [1, 3])
def test_the_same_runs_give_the_same_bits(stack, build, runs, held_out):
    settings = recipe(trainable="last:1")
    found = [
        StackedRunner(build(), settings, stack).train(runs[:stack]).losses(held_out)
        for _ in range(2)
    ]
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.isa
@pytest.mark.parametrize("trainable", ["all", "last:1"])
def test_what_a_runner_has_seen_before_does_not_matter(trainable, build, runs, rows, held_out):
    settings = recipe(trainable=trainable)
    fresh, used = (StackedRunner(build(), settings, 1) for _ in range(2))
    for start in range(5):  # rows of the run and of others, in groups of several sizes
        used.train([TrainingRun(rows[3 * start : 4 * start + 1], 0)]).losses(held_out[: start + 1])
    found = [runner.train(runs[:1]).losses(held_out) for runner in (fresh, used)]
    assert found[0].tobytes() == found[1].tobytes()


@pytest.mark.isa
@pytest.mark.parametrize("trainable", ["all", "last:1"])
def test_preparing_rows_first_changes_no_bit(trainable, build, runs, rows, held_out):
    recipe = Recipe(1, 1e-2, 4, trainable, "float32")
    prepared = StackedRunner(build(), recipe, stack=3)
    prepared.prepare([*rows, *held_out])
    at_once = StackedRunner(build(), recipe, stack=3)
    losses = [runner.train(runs[:3]).losses(held_out) for runner in (prepared, at_once)]
    np.testing.assert_array_equal(*losses)


def test_the_order_of_rows_depends_on_the_seed(build, rows, held_out):
    made = [TrainingRun(rows[:11], seed) for seed in (0, 1)]
    found = StackedRunner(build(), recipe()).train(made).losses(held_out)
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.slow
def test_bfloat16_is_near(build, runs, held_out):
    exact = StackedRunner(build(), recipe()).train(runs[:1]).losses(held_out)
    narrow = recipe(precision="bfloat16")
    for runner in (StackedRunner(build(), narrow), TrlRunner(build(), narrow)):
        found = runner.train(runs[:1]).losses(held_out)
        assert 0 < np.abs(found - exact).max() < 0.15
        assert provenance(runner)["precision"] == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["last:1", "last:2"])
def test_positions_added_below_the_blocks_are_refused(trainable, build, runs):
    """A trunk's output fed back in would get GPT-2's positions a second time."""
    runner = StackedRunner(build("gpt2"), recipe(trainable=trainable))
    with pytest.raises(CheckpointError, match=r"other logits, by .*Use the trl runner"):
        runner.train(runs)
    trained = TrlRunner(build("gpt2"), recipe(trainable=trainable)).train(runs[:1])
    assert np.isfinite(trained.losses(runs[1].examples)).all()


def test_logits_that_are_changed_after_the_head_are_refused(build, runs):
    with pytest.raises(CheckpointError, match=r"cannot be trained in stacks.*other logits"):
        StackedRunner(build("gemma2"), recipe()).train(runs)


def test_a_window_shorter_than_examples_can_be_is_refused(build, runs, held_out):
    model = build("mistral")
    with pytest.raises(CheckpointError, match=r"sliding_window.*max_tokens=16 avoids it"):
        StackedRunner(model, recipe())
    short = replace(model, format=LanguageModelFormat(max_tokens=16))
    found = StackedRunner(short, recipe()).train(runs[:1]).losses(held_out)
    expected = TrlRunner(short, recipe()).train(runs[:1]).losses(held_out)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.slow
def test_dropout_is_refused_in_stacks_only(build, runs, held_out):
    model = build("gpt2, dropout")
    with pytest.raises(ArgumentError, match=r"trains with dropout.*Use the trl runner, or set"):
        StackedRunner(model, recipe())
    for kind in (TrlRunner, DirectRunner):
        found = [kind(model, recipe()).train(runs[:1]).losses(held_out) for _ in range(2)]
        np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_run_has_the_losses_of_a_plain_one(build, runs, held_out):
    model, settings = build(), recipe(trainable="all")
    plain = DirectRunner(model, settings).train(runs[:1]).losses(held_out)
    compiled = DirectRunner(model, settings, compiled=True).train(runs[:1])
    np.testing.assert_allclose(compiled.losses(held_out), plain, atol=TOLERANCE, rtol=0)
    assert provenance(DirectRunner(model, settings, compiled=True))["way"] == "compiled"
    [whole] = compiled.models()
    assert all(module._compiled_call_impl is None for module in whole.network.modules())
    runner = DirectRunner(model, recipe(precision="bfloat16"), compiled=True)
    assert provenance(runner)["way"] == "attention by products, compiled"
    narrow = runner.train(runs[:1])
    np.testing.assert_allclose(narrow.losses(held_out), plain, atol=0.1, rtol=0)


def test_parts_of_a_batch_hold_every_row_once_and_little_padding(build, rows):
    tokens = build().tokenize(rows)
    parts = parts_of_batch(tokens, 200)
    lengths = [[len(each.ids) for each in part] for part in parts]
    assert sorted(length for part in lengths for length in part) == sorted(
        len(each.ids) for each in tokens
    )
    assert all(len(part) * max(part) <= 200 or len(part) == 1 for part in lengths)
    assert sum(len(part) * max(part) for part in lengths) < 1.15 * sum(map(sum, lengths))


def test_large_models_are_trained_one_at_a_time(build, monkeypatch):
    model = build()
    tokens = model.tokenize([Example("0", "question", "answer")])[0]
    assert choose_runner("auto", model, recipe(), tokens)[0].name == "stacked"
    monkeypatch.setattr("airrep.language_model.passes.LARGE_MODEL_PARAMETERS", 1)
    runner, why = choose_runner("auto", model, recipe(), tokens)
    assert (runner.name, why) == ("direct", "a large model trains faster one at a time")


@pytest.mark.parametrize("kind", ["gpt2, dropout", "mistral"])
def test_what_cannot_be_stacked_is_trained_directly(kind, build):
    model = build(kind)
    tokens = model.tokenize([Example("0", "question", "answer")])[0]
    runner, why = choose_runner("auto", model, recipe(), tokens)
    assert runner.name == "direct"
    assert "dropout" in why or "attends" in why


@pytest.mark.parametrize("kind", [DirectRunner, StackedRunner, TrlRunner])
class TestRefusals:
    def test_half_precision(self, kind, build):
        model = build()
        model.network.to(torch.bfloat16)
        with pytest.raises(ArgumentError, match=r"float32, not torch\.bfloat16"):
            kind(model, recipe())

    def test_more_blocks_than_there_are(self, kind, build):
        with pytest.raises(ArgumentError, match="last:9: the model has 2 blocks"):
            kind(build(), recipe(trainable="last:9"))

    def test_no_end(self, kind, build):
        model = build()
        model.tokenizer.eos_token = None
        with pytest.raises(CheckpointError, match=r"tokenizer\.eos_token = "):
            kind(model, recipe())

    def test_no_linear_layer_for_adapters(self, kind, build):
        with pytest.raises(ArgumentError, match=r"no nn\.Linear in transformer\.h"):
            kind(build("gpt2"), recipe(trainable="lora:2"))

    def test_no_blocks(self, kind, build):
        model = build()
        model.network.model.layers = torch.nn.ModuleList()
        with pytest.raises(ArgumentError, match="no list of 2 transformer blocks"):
            kind(model, recipe(trainable="last:1"))

    def test_runs_that_cannot_be_trained(self, kind, build, rows):
        runner = kind(build(), recipe())
        with pytest.raises(ArgumentError, match="at least one row"):
            runner.train([])
        with pytest.raises(ArgumentError, match="at least one row"):
            runner.train([TrainingRun([], 0)])
        with pytest.raises(ArgumentError, match=rf"at most {runner.stack}; found 9 with \[1, 2\]"):
            runner.train([TrainingRun(rows[: 1 + (i == 8)], i) for i in range(9)])

    def test_a_loss_that_overflows_names_the_run(self, kind, build, runs):
        runner = kind(build(), recipe(learning_rate=1e30))
        with pytest.raises(LossError, match=r"seed 1\).*training loss is (nan|inf)|seed 1: the"):
            runner.train(runs[1:2])

    def test_provenance(self, kind, build):
        runner = kind(build(), recipe(trainable="last:1"))
        assert provenance(runner) == {
            "model": runner.model.fingerprint, "runner": runner.name, "stack": runner.stack,
            "epochs": 2, "learning_rate": 5e-3, "batch_size": 4, "trainable": "last:1",
            "precision": "float32",
        }  # fmt: skip


def test_a_stack_below_one(build):
    with pytest.raises(ArgumentError, match="stack is 0"):
        StackedRunner(build(), recipe(), stack=0)


def test_lora_without_peft_says_what_to_install(build, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ArgumentError, match=r"pip install 'airrep-curate\[lora\]'"):
        TrlRunner(build(), recipe(trainable="lora:2"))
    StackedRunner(build(), recipe(trainable="lora:2"))  # needs none


def test_the_trl_runner_is_one_process(build, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ArgumentError, match="started by a launcher of 2"):
        TrlRunner(build(), recipe())


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "lora:2"])
def test_training_is_silent(trainable, build, runs, capfd):
    for kind in (StackedRunner, TrlRunner):
        kind(build(), recipe(trainable=trainable)).train(runs[:1])
    assert capfd.readouterr() == ("", "")
