"""One tokenization for training, losses and generation, and it is TRL's."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from airrep.errors import ArgumentError, CheckpointError, MissingInputError, RecordError
from airrep.language_model.model import LanguageModel, LanguageModelFormat
from airrep.records import Example
from curate import demo_pool
from eval_harness.runners.sft import sft_trainer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Like reasoning models' templates: the generation prompt alone is not what precedes an answer.
THINKING = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}")
# Like Llama 2's: white space around what is said is dropped.
TRIMMED = "{% for m in messages %}[{{ m.role }}] {{ m.content.strip() }} {% endfor %}<eos>"


@pytest.fixture
def model(tiny_lm):
    """With room for every example."""
    loaded = LanguageModel.from_pretrained(tiny_lm, device="cpu")
    return replace(loaded, format=LanguageModelFormat(max_tokens=1024))


@pytest.fixture(scope="module")
def examples():
    rows = demo_pool(20)
    odd = [
        ("Prompt with a newline\n", "\nand an answer with one"),  # tokens merge at the boundary
        ("Ends in the end", "token<eos>"),
        ("¿Qué es 東京?", "La capital de Japón 🗼"),
        ("  spaces  ", "  spaces  "),
        ("one", "x"),
    ]
    pairs = [(row["prompt"], row["completion"]) for row in rows] + odd
    return [Example(str(i), p, c, row=i) for i, (p, c) in enumerate(pairs)]


def trl_tokens(model, rows, directory, **options):
    options = {"completion_only_loss": True, "max_length": None, **options}
    trainer = sft_trainer(
        model.network, model.tokenizer, Dataset.from_list(rows), directory, **options
    )
    data = trainer.train_dataset
    return list(zip(data["input_ids"], data["labels"], strict=True))


def our_tokens(model, examples):
    return [(t.ids, [-100] * t.start + t.completion) for t in model.tokenize(examples)]


def test_plain_pairs_are_tokenized_as_trl_does(model, examples, tmp_path):
    rows = [{"prompt": e.prompt + "\n", "completion": e.completion} for e in examples]
    assert our_tokens(model, examples) == trl_tokens(model, rows, tmp_path)
    assert all(ids[-1] == model.tokenizer.eos_token_id for ids, _ in our_tokens(model, examples))


@pytest.mark.parametrize("template", [CHATML, THINKING, TRIMMED])
def test_conversations_are_tokenized_as_trl_does(template, model, examples, tmp_path):
    model.tokenizer.chat_template = template
    rows = [
        {
            "prompt": [{"role": "user", "content": e.prompt}],
            "completion": [{"role": "assistant", "content": e.completion}],
        }
        for e in examples
    ]
    assert our_tokens(model, examples) == trl_tokens(model, rows, tmp_path)


def test_a_beginning_of_text_token_stands_once_at_the_front(model, examples, tmp_path):
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<pad> $A", special_tokens=[("<pad>", 0)]
    )
    rows = [{"prompt": e.prompt + "\n", "completion": e.completion} for e in examples]
    found = our_tokens(model, examples)
    assert found == trl_tokens(model, rows, tmp_path)
    assert all(ids[0] == 0 and ids.count(0) == 1 for ids, _ in found)
    plain = model.tokenize([Example("0", "", "x")])[0]
    assert plain.start == 1
    assert plain.ids[0] == 0


def test_plain_text_has_nothing_before_it(model, tmp_path):
    tokens = model.tokenize([Example("0", "", "All of it is text.")])[0]
    [(ids, _)] = trl_tokens(
        model, [{"text": "All of it is text."}], tmp_path, completion_only_loss=None
    )
    assert tokens.ids == ids
    assert tokens.start == 1  # the first token has nothing to be predicted from


def test_too_long_the_front_of_the_prompt_goes_first(model):
    example = Example("0", "one two three four five six seven eight", "nine ten")
    whole = model.tokenize([example])[0]
    count = len(whole.completion)
    for most in range(2, len(whole.ids) + 3):
        short = replace(model, format=LanguageModelFormat(max_tokens=most))
        cut = short.tokenize([example])[0]
        assert len(cut.ids) == min(most, len(whole.ids))
        if most > count:  # all of the completion, and the end of the prompt
            assert cut.ids == whole.ids[-most:]
            assert cut.completion == whole.completion
        else:  # the last token of the prompt, and the front of the completion
            assert cut.start == 1
            assert cut.ids == whole.ids[whole.start - 1 :][:most]


@pytest.mark.parametrize("template", [None, CHATML])
def test_long_examples_are_cut_in_silence(template, tiny_lm, capfd):
    model = LanguageModel.from_pretrained(tiny_lm)
    model.tokenizer.chat_template = template
    assert len(model.tokenize([Example("0", "word " * 400, "yes")])[0].ids) == 256
    assert capfd.readouterr() == ("", "")


def test_the_longest_example_is_what_the_model_was_built_for(tiny_lm):
    assert LanguageModel.from_pretrained(tiny_lm).format.max_tokens == 256
    assert LanguageModel.from_pretrained(tiny_lm, max_tokens=64).format.max_tokens == 64
    with pytest.raises(ArgumentError, match="at least 2 tokens"):
        LanguageModel.from_pretrained(tiny_lm, max_tokens=1)


def test_the_separator_is_between_prompt_and_completion(tiny_lm):
    model = LanguageModel.from_pretrained(tiny_lm, separator=" => ")
    tokens = model.tokenize([Example("0", "a", "b")])[0]
    assert model.tokenizer.decode(tokens.ids) == "a => b<eos>"


@pytest.mark.parametrize("completion", ["", " \n"])
def test_an_empty_completion_is_refused(completion, model):
    rows = [Example("first", "q", "a"), Example("second", "q", completion, row=9)]
    with pytest.raises(RecordError, match=r"example 1 \(id 'second', row 9\).*is empty"):
        model.tokenize(rows)


def test_a_completion_that_the_template_drops_is_refused(model):
    model.tokenizer.chat_template = "{% for m in messages[:1] %}{{ m.content }}{% endfor %}"
    with pytest.raises(RecordError, match=r"'7' \(row 0\).*no token to predict"):
        model.tokenize([Example("7", "question", "answer")])


def test_no_examples_no_tokens(model):
    assert model.tokenize([]) == []


@pytest.mark.parametrize("kind", ["pad", "eos"])
def test_a_tokenizer_without_padding_or_end_is_refused(kind, tiny_lm, tmp_path):
    copy = shutil.copytree(tiny_lm, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(copy)
    setattr(tokenizer, f"{kind}_token", None)
    tokenizer.save_pretrained(copy)
    with pytest.raises(CheckpointError, match=rf"no \S+ token.*tokenizer\.{kind}_token = "):
        LanguageModel.from_pretrained(copy)


def test_no_checkpoint(tmp_path):
    with pytest.raises(MissingInputError, match="not a directory"):
        LanguageModel.from_pretrained(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "config.json").unlink(), "config.json is missing"),
        (lambda d: (d / "model.safetensors").unlink(), "could not be loaded"),
        (lambda d: (d / "model.safetensors").write_bytes(b"{}"), "could not be loaded"),
        (lambda d: [f.unlink() for f in d.glob("tokenizer*")], "no tokenizer"),
        (lambda d: _edit_config(d, vocab_size=700), "has the shape"),
        (lambda d: _edit_config(d, num_hidden_layers=3), "weights are missing"),
        (lambda d: _edit_config(d, num_hidden_layers=1), "no place for 9 weights .*layers.1"),
        (lambda d: _edit_weights(d), "weights are missing"),
    ],
)
def test_damaged_checkpoints_are_refused(damage, message, tiny_lm, tmp_path):
    copy = shutil.copytree(tiny_lm, tmp_path / "model")
    damage(copy)
    with pytest.raises(CheckpointError, match=message):
        LanguageModel.from_pretrained(copy)


def test_layers_beyond_those_of_the_config_are_refused_under_any_name(make_lm, tmp_path):
    """GPT-2's own checkpoints leave the prefix of the decoder away; heads may be left over."""
    model = make_lm("gpt2", dtype=torch.float32)
    model.tokenizer.save_pretrained(tmp_path)
    model.network.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = {
        name.removeprefix("transformer."): weight for name, weight in load_file(file).items()
    }
    save_file({**weights, "score.weight": torch.zeros(2, 32)}, file, metadata={"format": "pt"})
    LanguageModel.from_pretrained(tmp_path)
    _edit_config(tmp_path, n_layer=1)
    with pytest.raises(CheckpointError, match=r"no place for 11 weights .* 'h\.1\."):
        LanguageModel.from_pretrained(tmp_path)


def _edit_config(directory, **changes):
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _edit_weights(directory):
    weights = load_file(directory / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def test_the_fingerprint_knows_what_changes_losses(tiny_lm):
    first = LanguageModel.from_pretrained(tiny_lm)
    assert LanguageModel.from_pretrained(tiny_lm).fingerprint == first.fingerprint
    changed = [
        LanguageModel.from_pretrained(tiny_lm, separator=" "),
        LanguageModel.from_pretrained(tiny_lm, max_tokens=64),
        LanguageModel.from_pretrained(tiny_lm),
        LanguageModel.from_pretrained(tiny_lm),
    ]
    changed[2].tokenizer.chat_template = CHATML
    changed[3].network.lm_head.weight.data[0, 0] += 1
    assert len({first.fingerprint, *(model.fingerprint for model in changed)}) == 5


@pytest.mark.slow
def test_a_language_model_loads_and_judges_without_the_airrep_network(tiny_lm):
    """What is fine-tuned and measured need not know the encoder."""
    code = f"""
import sys
from airrep.gradients.features import gradient_features
from airrep.language_model.hidden_states import hidden_state_features
from airrep.language_model.model import LanguageModel
from airrep.records import Example
from eval_harness import completion_losses
model = LanguageModel.from_pretrained({str(tiny_lm)!r}, device="cpu")
for compute in (completion_losses, hidden_state_features, gradient_features):
    compute(model, [Example("0", "one", "two", row=0)])
print([name for name in sys.modules if name.startswith("airrep.network")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=240
    )
    assert done.stdout.splitlines()[-1] == "[]"
