from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from airrep.errors import ArgumentError, RecordError
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.records import Example, normalize
from eval_harness.measures.generation import generate
from eval_harness.measures.label_choice import label_sets, rank_candidates
from eval_harness.measures.task_accuracy import accuracy

LABELS = ("yes", "no", "it is not known")
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def facts():
    return [
        Example(str(i), f"What is {thing}?", answer, source="facts")
        for i, (thing, answer) in enumerate(
            [("red", "a color"), ("seven", "a number"), ("Rome", "a city"), ("tea", "a drink")]
        )
    ]


@pytest.fixture(scope="module")
def memorized(tiny_lm, facts):
    """`tiny_lm` after some steps on nothing but `facts`."""
    model = LanguageModel.from_pretrained(tiny_lm, device="cpu")
    optimizer = torch.optim.Adam(model.network.parameters(), lr=1e-2)
    model.network.train()
    for _ in range(30):
        for tokens in model.tokenize(facts):
            labels = torch.tensor([[-100] * tokens.start + tokens.completion])
            model.network(input_ids=torch.tensor([tokens.ids]), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.network.eval()
    return model


def one_by_one(model, examples, count):
    """Greedy by hand: the whole sequence again for every token, no cache, no padding."""
    texts = []
    for tokens in model.tokenize(examples):
        ids = tokens.ids[: tokens.start]
        answer = []
        while len(answer) < count:
            with torch.no_grad():
                token = int(model.network(torch.tensor([ids + answer])).logits[0, -1].argmax())
            if token == model.tokenizer.eos_token_id:
                break
            answer.append(token)
        texts.append(model.tokenizer.decode(answer, skip_special_tokens=True))
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_generation_is_greedy_decoding_of_each_prompt_alone(kind, make_lm, questions):
    model = make_lm(kind, dtype=torch.float32, seed=3)
    found = generate(model, questions, max_new_tokens=12)
    assert found == one_by_one(model, questions, 12)
    assert len(set(found)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 40])
def test_texts_do_not_depend_on_batches(batch_size, random_lm, questions):
    expected = generate(random_lm, questions, max_new_tokens=12)
    found = generate(random_lm, questions[::-1], max_new_tokens=12, batch_size=batch_size)
    assert found[::-1] == expected


def test_a_chat_template_puts_the_generation_prompt(make_lm, questions):
    model = make_lm(dtype=torch.float32, seed=3)
    plain = generate(model, questions, max_new_tokens=6)
    model.tokenizer.chat_template = CHAT
    asked = [
        normalize(
            {
                "messages": [
                    {"role": "user", "content": each.prompt},
                    {"role": "assistant", "content": each.completion},
                ]
            }
        )
        for each in questions[:8]
    ]
    found = generate(model, asked, max_new_tokens=6)
    assert found == one_by_one(model, [each.pair for each in asked], 6)
    assert found != plain[:8]
    ids = model.tokenize([asked[0].pair])[0]
    shown = model.tokenizer.decode(ids.ids[: ids.start])
    assert shown == f"<|user|>{questions[0].prompt}<eos><|assistant|>"


def test_the_models_own_generation_config_is_neither_used_nor_changed(make_lm, questions, capfd):
    model = make_lm(dtype=torch.float32, seed=3)
    expected = generate(model, questions[:8], max_new_tokens=10)
    own = GenerationConfig(
        do_sample=True, temperature=5.0, repetition_penalty=9.0, min_new_tokens=3, max_length=7,
        eos_token_id=1,
    )  # fmt: skip
    model.network.generation_config = own
    before = own.to_dict()
    assert generate(model, questions[:8], max_new_tokens=10) == expected
    assert model.network.generation_config is own
    assert own.to_dict() == before
    assert capfd.readouterr() == ("", "")  # no complaints about it either


def test_every_end_of_text_token_of_the_model_stops_it(make_lm, questions):
    model = make_lm(dtype=torch.float32, seed=3)
    text = generate(model, questions[:1], max_new_tokens=10)[0]
    tokens = model.tokenize(questions[:1])[0]
    ids = torch.tensor([tokens.ids[: tokens.start]])
    first = int(model.network(ids).logits[0, -1].argmax())
    assert text != ""
    model.network.generation_config.eos_token_id = [1, first]
    assert generate(model, questions[:1], max_new_tokens=10) == [""]


def test_a_prompt_too_long_for_the_answer_loses_its_front(make_lm):
    model = make_lm("gpt2", dtype=torch.float32, seed=3)  # 256 learned positions
    long = Example("0", "green stones " * 200, "yes")
    tokens = model.tokenize([long])[0]
    assert len(tokens.ids) == 256
    found = generate(model, [long], max_new_tokens=40)
    ids = tokens.ids[: tokens.start][-216:]
    answer = model.network.generate(
        torch.tensor([ids]), max_new_tokens=40, do_sample=False, pad_token_id=0
    )
    assert found == [model.tokenizer.decode(answer[0, 216:], skip_special_tokens=True)]
    with pytest.raises(ArgumentError, match="only 256 positions"):
        generate(model, [long], max_new_tokens=256)


def test_generation_leaves_modes_alone_and_takes_no_rows(make_lm, questions):
    model = make_lm("gpt2", dtype=torch.float32)
    expected = generate(model, questions[:4], max_new_tokens=5)
    model.network.train()
    assert generate(model, questions[:4], max_new_tokens=5) == expected
    assert model.network.training
    assert generate(model, []) == []


def test_ranking_is_the_lowest_loss(random_lm, questions):
    found = rank_candidates(random_lm, questions, [LABELS] * 40)
    losses = np.array(
        [
            [completion_losses(random_lm, [replace(e, completion=label)])[0] for label in LABELS]
            for e in questions
        ]
    )
    np.testing.assert_array_equal(found, losses.argmin(axis=1))
    assert len(set(found.tolist())) > 1


def test_ranking_does_not_favor_short_labels(random_lm, questions):
    pairs = [replace(e, completion=label) for e in questions for label in LABELS]
    sums = completion_losses(random_lm, pairs, reduction="sum").reshape(40, -1)
    assert (rank_candidates(random_lm, questions, [LABELS] * 40) != sums.argmin(axis=1)).any()


def test_of_equal_labels_the_first_wins(random_lm, questions):
    found = rank_candidates(random_lm, questions, [["yes", "yes"]] * 40)
    assert found.tolist() == [0] * 40


def test_memorized_rows_are_right_both_ways(memorized, facts):
    written = accuracy(memorized, facts, labels=None, max_new_tokens=16)
    assert written.mean_exact == 1.0
    assert written.mean_f1 == 1.0
    assert written.methods == ("generation",) * 4
    assert written.predictions == tuple(e.completion for e in facts)
    chosen = accuracy(memorized, facts, labels=[e.completion for e in facts])
    assert chosen.mean_exact == 1.0
    assert chosen.methods == ("label_choice",) * 4
    wrong = [replace(e, completion="a color of it") for e in facts]
    half = accuracy(memorized, wrong, labels=None, max_new_tokens=16)
    assert half.mean_exact == 0.0
    assert half.f1[0] == pytest.approx(2 / 4 * 1.0)  # color | color of it
    assert half.f1[1] == 0.0


def test_each_group_has_its_own_labels(random_lm, questions):
    labels = {"task0": ["yes", "no"], "task1": ["stone"]}
    found = accuracy(random_lm, questions, labels=labels, max_new_tokens=4)
    expected = ["generation" if e.source == "task2" else "label_choice" for e in questions]
    assert list(found.methods) == expected
    for i, example in enumerate(questions):
        if example.source == "task0":
            choice = rank_candidates(random_lm, [example], [labels["task0"]])[0]
            assert found.predictions[i] == labels["task0"][choice]
        elif example.source == "task1":
            assert found.predictions[i] == "stone"
        else:
            assert found.predictions[i] == generate(random_lm, [example], max_new_tokens=4)[0]


def test_label_sets_are_few_completions_seen_twice():
    def rows(source, completions):
        return [Example(str(i), "q", c, source=source) for i, c in enumerate(completions)]

    reference = [
        *rows("two", ["yes", "no", "no", "yes", "yes"]),
        *rows("rare", ["yes", "no", "no", "yes", "maybe"]),
        *rows("one", ["yes"] * 5),
        *rows("many", [str(i % 11) for i in range(44)]),
        *rows("blank", ["a", "a", "b", "b", " "]),
    ]
    assert label_sets(reference) == {"two": ["no", "yes"], "blank": ["a", "b"]}
    groups = [f"{e.source}/{e.completion in ('yes', 'no')}" for e in reference]
    assert label_sets(reference, groups=groups)["rare/True"] == ["no", "yes"]


def test_auto_looks_at_the_reference_and_its_groups(random_lm, questions):
    reference = [Example(str(i), "q", c, "task0") for i, c in enumerate(["b", "a", "a", "b"])]
    found = accuracy(random_lm, questions, reference=reference, max_new_tokens=2)
    assert [m == "label_choice" for m in found.methods] == [e.source == "task0" for e in questions]
    found = accuracy(
        random_lm, questions, reference=reference, reference_groups=["x"] * 4,
        groups=["x" if i < 5 else "y" for i in range(40)], max_new_tokens=2,
    )  # fmt: skip
    assert found.methods == ("label_choice",) * 5 + ("generation",) * 35
    itself = [Example(str(i), f"q{i}", "ab"[i % 2], "new") for i in range(4)]
    assert accuracy(random_lm, itself).methods == ("label_choice",) * 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, e: accuracy(m, []), "none to predict"),
        (lambda m, e: accuracy(m, e, labels="yes"), "expected a list of texts"),
        (lambda m, e: accuracy(m, e, labels=[]), "expected a list of texts"),
        (lambda m, e: accuracy(m, e, labels={"task0": ["a", ""]}), "labels of 'task0'.*blank"),
        (lambda m, e: accuracy(m, e, groups=["a"]), "1 group for 40 examples"),
        (lambda m, e: generate(m, e, max_new_tokens=0), "expected at least 1"),
        (lambda m, e: generate(m, e, batch_size=0), "expected at least 1"),
    ],
)
def test_wrong_arguments(call, message, random_lm, questions):
    with pytest.raises(ArgumentError, match=message):
        call(random_lm, questions)


@pytest.mark.parametrize("call", [generate, lambda m, e: rank_candidates(m, e, [LABELS])])
def test_plain_text_asks_nothing(call, random_lm):
    with pytest.raises(RecordError, match=r"example 0 \(id 'x', row 0\): expected a prompt"):
        call(random_lm, [Example("x", "", "plain text")])
