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
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import LanguageModelFormat
from airrep.records import Example, normalize, trl_record
from curate import demo_pool
from eval_harness.runners.sft import sft_trainer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
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
    """Token ids and labels of stock `SFTTrainer`; a label before the first token never counts."""
    options = {"max_length": None, **options}
    dataset = Dataset.from_list(rows, on_mixed_types="use_json")
    trainer = sft_trainer(model.network, model.tokenizer, dataset, directory, **options)
    data = trainer.train_dataset
    return [(i, [-100, *j[1:]]) for i, j in zip(data["input_ids"], data["labels"], strict=True)]


def our_tokens(model, examples):
    found = []
    for tokens in model.tokenize(examples):
        labels = [-100] * len(tokens.ids)
        for i in tokens.trained:
            labels[i] = tokens.ids[i]
        found.append((tokens.ids, labels))
    return found


def test_pairs_of_text_are_tokenized_as_trl_does(model, examples, tmp_path):
    rows = [{"prompt": e.prompt, "completion": e.completion} for e in examples]
    found = our_tokens(model, examples)
    assert found == trl_tokens(model, rows, tmp_path)
    assert all(ids[-1] == model.tokenizer.eos_token_id for ids, _ in found)
    model.tokenizer.chat_template = CHATML  # which is not for text
    assert our_tokens(model, examples) == found


def test_a_beginning_of_text_token_stands_once_at_the_front(model, examples, tmp_path):
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<pad> $A", special_tokens=[("<pad>", 0)]
    )
    rows = [{"prompt": e.prompt, "completion": e.completion} for e in examples]
    found = our_tokens(model, examples)
    assert found == trl_tokens(model, rows, tmp_path)
    assert all(ids[0] == 0 and ids.count(0) == 1 for ids, _ in found)
    plain = model.tokenize([Example("0", "", "x")])[0]
    assert plain.start == 1
    assert plain.ids[0] == 0


# --- every layout, as stock SFTTrainer reads what `to_trl` gives it ---


def _said(role, content, **more):
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"x": {"type": "int"}}}}]
TURNS = [
    _said("user", "Which river?"),
    _said("assistant", "One moment."),
    _said("user", "Well?"),
    _said("assistant", "The Nile 🗼"),
]
CALLING = [
    _said("user", "Weather?"),
    _said("assistant", "", tool_calls=[CALL]),
    _said("tool", "7"),
    _said("assistant", "Seven."),
]
SHAREGPT = [{"from": "human", "value": "What is green?"}, {"from": "gpt", "value": "Leaves."}]
TRAINED = {
    "text": {"text": "All of it is text."},
    "prompt+completion": {"prompt": "one two", "completion": " three"},
    "prompt+completion, chat": {"prompt": TURNS[:3], "completion": TURNS[3:]},
    "messages": {"messages": TURNS},
    "messages, tools": {"messages": CALLING, "tools": TOOLS},
    "messages, tools as text": {"messages": CALLING, "tools": json.dumps(TOOLS)},
    "messages, ending in a call": {"messages": CALLING[:2], "tools": TOOLS},
    "messages, template arguments": {"messages": TURNS, "chat_template_kwargs": {"shout": True}},
    "messages, blocks": {
        "messages": [
            _said("user", [{"type": "input_text", "text": "q"}]),
            _said("assistant", [{"type": "output_text", "text": "a"}]),
        ]
    },
    "conversations": {"system": "Be kind.", "conversations": SHAREGPT},
    "alpaca": {"instruction": "Say", "input": "it", "output": "now"},
    "alpaca, history": {
        "instruction": "Say",
        "input": "",
        "output": "now",
        "system": "s",
        "history": [["q", "a"]],
    },
    "question+answer": {"question": "Who?", "answer": "I."},
    "calls": {"query": "Weather?", "answers": json.dumps([CALL["function"]]), "tools": "[]"},
    "label": {"prompt": "one", "completion": " two", "label": True},
    "weights": {"messages": [*TURNS[:1], {**TURNS[1], "weight": 0}, *TURNS[2:]]},
}
MARKED = (
    "{% for t in tools or [] %}<tool>{{ t | tojson }}\n{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c | tojson }}{% endfor %}<eos>\n{% endgeneration %}"
    "{% else %}{{ m.content.upper() if shout else m.content }}<eos>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "marked": MARKED,
    "unmarked": MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", ""),
    "thinking": MARKED.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}"),
    "trimmed": TRIMMED,
}


@pytest.mark.parametrize("layout", TRAINED)
@pytest.mark.parametrize(
    "template",
    ["marked", *(pytest.param(n, marks=pytest.mark.slow) for n in TEMPLATES if n != "marked")],
)
def test_every_layout_is_tokenized_as_trl_does(template, layout, model, tmp_path):
    if template == "trimmed" and layout in ("messages, ending in a call", "calls"):
        pytest.skip("this template shows no calls")
    model.tokenizer.chat_template = TEMPLATES[template]
    read = normalize(TRAINED[layout])
    assert our_tokens(model, [read]) == trl_tokens(model, [trl_record(TRAINED[layout])], tmp_path)


@pytest.mark.parametrize("layout", [name for name, row in TRAINED.items() if "mess" in name])
def test_the_assistants_tokens_alone_are_tokenized_as_trl_does(layout, model, tmp_path):
    model.tokenizer.chat_template = MARKED
    asked = replace(model, format=LanguageModelFormat(assistant_only_loss=True))
    read = normalize(TRAINED[layout])
    found = our_tokens(asked, [read])
    rows = [trl_record(TRAINED[layout])]
    assert found == trl_tokens(model, rows, tmp_path, assistant_only_loss=True)
    assert found != our_tokens(model, [read])


def test_a_template_that_marks_nothing_cannot_train_the_assistant_alone(model):
    model.tokenizer.chat_template = TEMPLATES["unmarked"]
    asked = replace(model, format=LanguageModelFormat(assistant_only_loss=True))
    with pytest.raises(CheckpointError, match="get_training_chat_template"):
        asked.tokenize([normalize({"messages": TURNS})])


def test_a_template_that_refuses_a_row_is_an_error_with_the_row(model):
    """Mistral's and Gemma's: roles have to alternate."""
    model.tokenizer.chat_template = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
        "[{{ m.role }}]{{ m.content }}<eos>{% endfor %}"
    )
    rows = [{"messages": TURNS}, {"messages": TURNS[1:]}, {"text": "not for the template"}]
    read = [normalize(row, index=i) for i, row in enumerate(rows)]
    with pytest.raises(RecordError, match=r"^example '1' \(row 1\): .*roles must alternate"):
        model.tokenize(read)
    assert len(model.tokenize([read[0], read[2]])) == 2


def test_without_a_template_conversations_are_refused(model):
    with pytest.raises(CheckpointError, match="no chat template"):
        model.tokenize([normalize({"messages": TURNS})])


@pytest.mark.parametrize(
    "layout",
    [
        "prompt+completion",
        "messages, tools",
        pytest.param("text", marks=pytest.mark.slow),
        pytest.param("messages", marks=pytest.mark.slow),
    ],
)
def test_what_is_too_long_is_cut_as_trl_does(layout, model, tmp_path):
    model.tokenizer.chat_template = MARKED
    read = normalize(TRAINED[layout])
    whole = model.tokenize([read])[0]
    for most in range(whole.start + 1, len(whole.ids) + 2):
        short = replace(model, format=LanguageModelFormat(max_tokens=max(most, 2)))
        (found,) = our_tokens(short, [read])
        if most % 7 == 1 or most == whole.start + 1:  # a trainer each
            rows = [trl_record(TRAINED[layout])]
            assert [found] == trl_tokens(model, rows, tmp_path, max_length=max(most, 2))
        assert len(found[0]) == min(max(most, 2), len(whole.ids))


def test_where_trl_would_drop_a_row_the_front_of_the_prompt_goes(model):
    example = Example("0", "one two three four five six seven eight", "nine ten")
    whole = model.tokenize([example])[0]
    count = len(whole.completion)
    for most in range(2, whole.start + 1):
        short = replace(model, format=LanguageModelFormat(max_tokens=most))
        cut = short.tokenize([example])[0]
        assert len(cut.ids) == most
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
    row = {"prompt": [_said("user", "q")], "completion": [_said("assistant", "a")]}
    with pytest.raises(RecordError, match=r"'7' \(row 7\).*no token to predict"):
        model.tokenize([normalize(row, index=7)])


def test_no_examples_no_tokens(model):
    assert model.tokenize([]) == []


def test_a_tokenizer_without_an_end_is_refused_and_one_without_padding_pads_by_the_end(
    tiny_lm, tmp_path
):
    copy = shutil.copytree(tiny_lm, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    assert LanguageModel.from_pretrained(copy).tokenizer.pad_token == "<eos>"
    tokenizer.eos_token = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(CheckpointError, match=r"no end-of-text token.*tokenizer\.eos_token = "):
        LanguageModel.from_pretrained(copy)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tiny_lm, tmp_path):
    copy = shutil.copytree(tiny_lm, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<x>", "<y>"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(CheckpointError, match=r"has 514 tokens.*resize_token_embeddings\(514\)"):
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
