"""Selections of preferences, of labeled answers and of tool calls, through TRL's trainers."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

import curate
from curate.demo_data import demo_pool

TEMPLATE = (
    "{% for t in tools or [] %}<tool>{{ t | tojson }}\n{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}{% endfor %}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
# TRL's own, of what transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
QUICK = {"leakage": "off", "duplicates": "off", "progress": False}
SETTINGS = {"max_steps": 2, "use_cpu": True, "report_to": "none", "save_strategy": "no",
            "per_device_train_batch_size": 2}  # fmt: skip


@pytest.fixture
def model(tiny_lm):
    return AutoModelForCausalLM.from_pretrained(tiny_lm)


@pytest.fixture
def tokenizer(tiny_lm):
    found = AutoTokenizer.from_pretrained(tiny_lm)
    found.chat_template = TEMPLATE
    return found


@pytest.fixture(scope="module")
def rows():
    return demo_pool(24)


def _said(role, content):
    return [{"role": role, "content": content}]


def preferences(rows, layout):
    for one, other in pairwise(rows):
        prompt, chosen, rejected = one["prompt"], one["completion"], other["completion"]
        yield {
            "standard": {"prompt": prompt, "chosen": chosen, "rejected": rejected},
            "implicit": {
                "chosen": _said("user", prompt) + _said("assistant", chosen),
                "rejected": _said("user", prompt) + _said("assistant", rejected),
            },
            "conversational": {
                "prompt": _said("user", prompt),
                "chosen": _said("assistant", chosen),
                "rejected": _said("assistant", rejected),
            },
            "of LLaMA-Factory": {
                "conversations": [{"from": "human", "value": prompt}],
                "chosen": {"from": "gpt", "value": chosen},
                "rejected": {"from": "gpt", "value": rejected},
            },
            "of OpenAI": {
                "input": {"messages": _said("user", prompt), "tools": []},
                "preferred_output": _said("assistant", chosen),
                "non_preferred_output": _said("assistant", rejected),
            },
        }[layout]


@pytest.mark.parametrize(
    "layout",
    [
        "conversational",
        "of LLaMA-Factory",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("standard", "implicit", "of OpenAI")),
    ],
)
def test_dpo_takes_steps_on_selected_preferences(layout, rows, model, tokenizer, tmp_path):
    pool = list(preferences(rows, layout))
    chosen = curate.select(pool, pool[:2], 6, scorer="tfidf", **QUICK)
    assert [{**row} for row in chosen.dataset.remove_columns(
        [n for n in chosen.dataset.column_names if n.startswith("curate_")]
    )] == [pool[i] for i in chosen.dataset["curate_row"]]  # fmt: skip
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(output_dir=str(tmp_path), **SETTINGS),
        train_dataset=chosen.to_trl(),
        processing_class=tokenizer,
    )
    assert trainer.train().global_step == 2
    assert len(trainer.train_dataset) == 6


@pytest.mark.parametrize("chat", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_kto_takes_steps_on_selected_answers(chat, rows, model, tokenizer, tmp_path):
    pool = [{**row, "label": i % 3 > 0} for i, row in enumerate(rows)]
    if chat:
        pool = [
            {
                "prompt": _said("user", row["prompt"]),
                "completion": _said("assistant", row["completion"]),
                "label": row["label"],
            }
            for row in pool
        ]
    chosen = curate.select(pool, pool[:2], 6, scorer="tfidf", **QUICK)
    trainer = KTOTrainer(
        model=model,
        args=KTOConfig(output_dir=str(tmp_path), **SETTINGS),
        train_dataset=chosen.to_trl(),
        processing_class=tokenizer,
    )
    assert trainer.train().global_step == 2


def test_a_preference_that_helps_is_chosen(tiny_lm, rows):
    """Of each two preferences that say the opposite, the one that the target agrees with."""
    right = list(preferences(rows, "standard"))[:8]
    wrong = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in right]
    chosen = curate.select(
        [*right, *wrong], right, 8, scorer="gradient_cosine", model=tiny_lm,
        selector="top_k_mean", **QUICK,
    )  # fmt: skip
    assert sorted(chosen.dataset["curate_row"]) == list(range(8))


def tool_rows():
    def schema(name, keys):
        properties = {key: {"type": "string"} for key in keys}
        function = {"name": name, "parameters": {"type": "object", "properties": properties}}
        return {"type": "function", "function": function}

    for i in range(8):
        name, arguments = ("weather", {"city": f"X{i}"}) if i % 2 else ("add", {"a": i, "b": [2]})
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        yield {
            "messages": [
                *_said("user", f"do {name} {i}"),
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "name": name, "content": "12"},
                *_said("assistant", f"{name} {i} is 12"),
            ],
            "tools": [schema(name, arguments)],
        }


@pytest.mark.parametrize("saved", [False, True])
def test_tools_are_trained_on_as_they_were(saved, model, tokenizer, tmp_path):
    pool = list(tool_rows())
    chosen = curate.select(pool, pool[:2], 4, scorer="tfidf", output=tmp_path / "out", **QUICK)
    dataset = curate.TrainingSet.load(tmp_path / "out").to_trl() if saved else chosen.to_trl()
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=str(tmp_path / "trained"), max_length=None, **SETTINGS),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    shown = [tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert len(shown) == 4
    for text, row in zip(shown, chosen.dataset["curate_row"], strict=True):
        expected = tokenizer.apply_chat_template(
            pool[row]["messages"], tools=pool[row]["tools"], tokenize=False
        )
        assert text == expected
        arguments = pool[row]["messages"][1]["tool_calls"][0]["function"]["arguments"]
        assert json.dumps(arguments) in text
        assert "null" not in text
    assert trainer.train().global_step == 2


def test_template_arguments_that_some_rows_lack(model, tokenizer, tmp_path):
    """TRL takes no null for them."""
    pool = list(tool_rows())
    pool[3]["chat_template_kwargs"] = {"loud": True}
    chosen = curate.select(pool, pool[:1], 8, scorer="tfidf", **QUICK)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=str(tmp_path), **SETTINGS),
        train_dataset=chosen.to_trl(),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == 8
