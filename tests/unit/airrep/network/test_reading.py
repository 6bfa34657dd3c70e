"""Texts to tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from airrep import AirRep
from airrep.errors import CheckpointError, RecordError
from airrep.language_model.model import LanguageModel
from airrep.language_model.tokens import LanguageModelFormat
from airrep.network.reading import LanguageModelReader, SentenceReader, make_reader
from airrep.records import Example
from airrep.template import TextTemplate

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PAIRS = [
    ("what is it", "a stone"),
    ("  two\n\nlines ", " and\tspace "),
    ("", "plain text"),
    ("¿Qué es 東京?", "La capital 🗼"),
    ("river " * 200, "stone"),
    ("why", "stone " * 300),
    ("river " * 200, "stone " * 300),
]
EXAMPLES = [Example(str(i), *pair, row=i) for i, pair in enumerate(PAIRS)]


# --- sentence encoders ------------------------------------------------------------------------


@pytest.mark.parametrize("template", [TextTemplate(), TextTemplate("Q\n", "\n", 3)])
def test_prompt_and_completion_are_told_apart(tiny, template):
    reader = SentenceReader(tiny.tokenizer, template, 64)
    (tokens,) = reader.tokens([template.render(Example("0", "why the river", "green stone"))])
    words = tiny.tokenizer.convert_ids_to_tokens(tokens.completion)
    assert words == ["green", "stone", "[SEP]"]
    (plain,) = reader.tokens(["green stone"])
    assert plain.start == 0
    assert len(plain.ids) == 4


def test_the_tokens_are_the_tokenizers(tiny, texts):
    for template in (TextTemplate(), TextTemplate(completion_prefix=" | ")):
        reader = SentenceReader(tiny.tokenizer, template, 20)
        found = [tokens.ids for tokens in reader.tokens(texts)]
        expected = tiny.tokenizer(texts, truncation=True, max_length=20)["input_ids"]
        assert found == expected


def test_a_template_that_marks_nothing_has_all_in_one_part(tiny):
    template = TextTemplate(completion_prefix=" | ")
    reader = SentenceReader(tiny.tokenizer, template, 64)
    assert reader.tokens([template.render(EXAMPLES[0])])[0].start == 0


@pytest.mark.parametrize(("prompt", "completion"), [("river " * 90, "stone"), ("river", "")])
def test_a_completion_that_is_not_there_starts_at_the_end(tiny, prompt, completion):
    (tokens,) = tiny.reader.tokens([tiny.template.render(Example("0", prompt, completion))])
    assert tokens.completion == []


def test_no_texts(tiny, make_reading_model):
    assert tiny.reader.tokens([]) == []
    assert make_reading_model().reader.tokens([]) == []


@pytest.mark.parametrize(("max_tokens", "longest"), [(40, 40), (64, 64), (512, 64)])
def test_no_text_is_longer_than_template_and_model_allow(make_encoder, max_tokens, longest):
    encoder = make_encoder(template={"max_tokens": max_tokens})
    assert encoder.reader.longest == longest
    assert max(len(t.ids) for t in encoder.reader.tokens(["river " * 99])) == longest


def test_positions_that_start_behind_the_padding_id_are_not_counted(make_encoder, make_tokenizer):
    tokenizer = make_tokenizer(pad_id=1)
    backbone = {
        "model_type": "roberta", "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 66,
        "vocab_size": len(tokenizer), "pad_token_id": 1,
    }  # fmt: skip
    model = make_encoder(backbone=backbone, token_pooling="segments").model
    encoder = AirRep(model, tokenizer)
    assert encoder.reader.longest == 64
    assert np.isfinite(encoder.encode(["river " * 99])).all()


# --- the completion's share of a long text ----------------------------------------------------

SHARED = TextTemplate(completion_share=0.5)
SENTENCES = {  # (a sentence of a prompt, a completion)
    "English": ("the weather is fine in the park today ", "It sorts a list of numbers."),
    "Chinese": ("天气很好我们一起去公园散步吧", "今天下雨。"),
    "Japanese": ("今日はとても天気がいいので", "明日は雨です。"),
    "Thai": ("วันนี้อากาศร้อนมาก", "ฝนตกหนัก"),
    "Hindi": ("आज मौसम अच्छा है ", "कल बारिश होगी"),
    "Arabic": ("الطقس جميل اليوم ", "غدا تمطر"),
    "emoji": ("🌧️☀️ ", "🎉 yes"),
    "code": ("x=[i+1];y=f(x);z=g(y);", "def f(x): return x"),
}
scripts = pytest.mark.parametrize("script", SENTENCES)


def apart(encoder, template, prompt, completion, longest):
    """The tokens that a text should have, from its parts one by one."""
    prompt = " ".join(prompt.split()[: template.prompt_words])
    asked, mark, said = (
        encoder.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
        for part in (template.prompt_prefix + prompt, template.completion_prefix, completion)
    )
    room = longest - 2
    kept = min(len(said), max(room - len(asked) - len(mark), int(longest / 2)))
    asked = asked[: room - kept - len(mark)]
    cls, sep = encoder.tokenizer("")["input_ids"]
    return [cls, *asked, *mark, *said[:kept], sep], 1 + len(asked) + len(mark)


@scripts
@pytest.mark.parametrize("lengths", [(1, 1), (600, 1), (3, 900), (600, 600), (200, 40)])
def test_the_end_of_a_prompt_is_cut_before_a_completion(encoder, script, lengths):
    prompt, completion = (
        " ".join([part] * n) if script in ("English", "Hindi", "Arabic") else part * n
        for part, n in zip(SENTENCES[script], lengths, strict=True)
    )
    text = SHARED.render(Example("0", prompt, completion))
    (found,) = SentenceReader(encoder.tokenizer, SHARED, 512).tokens([text])
    assert (found.ids, found.start) == apart(encoder, SHARED, prompt, completion, 512)
    assert len(found.ids) <= 512


@scripts
def test_a_text_that_fits_has_the_same_tokens_with_a_share_and_without(encoder, script):
    """Up to the last token of room."""
    prompt, completion = SENTENCES[script]
    texts = [SHARED.render(Example("0", prompt * n, completion * n)) for n in (1, 2, 5, 9)]
    texts += [completion * 9, SHARED.render(Example("0", prompt, "")), "no template"]
    for text in texts:
        longest = len(encoder.tokenizer(text)["input_ids"])
        plain = SentenceReader(encoder.tokenizer, TextTemplate(), longest).tokens([text])
        assert SentenceReader(encoder.tokenizer, SHARED, longest).tokens([text]) == plain
        short = SentenceReader(encoder.tokenizer, TextTemplate(), longest - 1).tokens([text])
        cut = SentenceReader(encoder.tokenizer, SHARED, longest - 1).tokens([text])
        assert len(cut[0].ids) == len(short[0].ids) == longest - 1


def test_without_a_share_the_end_of_a_text_is_cut(encoder):
    prompt, completion = SENTENCES["Chinese"]
    text = TextTemplate().render(Example("0", prompt * 60, completion))
    (found,) = SentenceReader(encoder.tokenizer, TextTemplate(), 512).tokens([text])
    assert found.ids == encoder.tokenizer(text, truncation=True, max_length=512)["input_ids"]
    assert found.completion == []


@pytest.mark.parametrize("longest", [4, 5, 6, 8])
def test_where_there_is_hardly_any_room_the_completion_gets_it(tiny, longest):
    reader = SentenceReader(tiny.tokenizer, SHARED, longest)
    (found,) = reader.tokens([SHARED.render(Example("0", "why " * 20, "stone " * 20))])
    assert len(found.ids) == longest
    assert len(found.completion) - 1 == longest // 2


def test_a_long_prompt_without_completion_is_cut_at_its_end(tiny):
    (found,) = SentenceReader(tiny.tokenizer, SHARED, 20).tokens(
        [SHARED.render(Example("0", "why " * 90, ""))]
    )
    assert found.completion == []
    words = tiny.tokenizer.convert_ids_to_tokens(found.ids)
    assert words[-3:] == ["answer", ":", "[SEP]"]


def test_plain_text_is_cut_at_its_end(tiny):
    reader = SentenceReader(tiny.tokenizer, SHARED, 20)
    text = "river " * 90
    assert reader.tokens([text])[0].ids == tiny.tokenizer(
        text, truncation=True, max_length=20
    )["input_ids"]  # fmt: skip


@scripts
def test_answers_to_one_long_prompt_have_embeddings_of_their_own(encoder, script):
    prompt = SENTENCES[script][0] * 60
    rows = [Example("0", prompt, "It sorts a list"), Example("1", prompt, "Flour and eggs")]
    one, other = encoder.encode(rows)
    assert one @ other < 0.99


# --- language models --------------------------------------------------------------------------


@pytest.mark.parametrize("chat", [None, CHATML])
@pytest.mark.parametrize("separator", ["\n", " => "])
@pytest.mark.parametrize("max_tokens", [24, 100])
def test_a_language_model_reads_what_it_is_trained_on(
    make_reading_model, chat, separator, max_tokens
):
    encoder = make_reading_model(chat=chat, separator=separator, max_tokens=max_tokens)
    made = LanguageModelFormat(separator, max_tokens)
    model = LanguageModel(encoder.model.bert, encoder.tokenizer, "model", made)
    assert isinstance(encoder.reader, LanguageModelReader)
    texts = [encoder.template.render(e) for e in EXAMPLES]
    found = encoder.reader.tokens(texts)
    assert found == model.tokenize(EXAMPLES)
    assert max(len(t.ids) for t in found) == max_tokens == encoder.reader.longest
    assert all(t.completion and t.start > 0 for t in found)


def test_a_mark_in_plain_text_is_text(make_reading_model):
    encoder = make_reading_model()
    plain = Example("0", "", "one\x1etwo")
    (tokens,) = encoder.reader.tokens([encoder.template.render(plain)])
    assert encoder.tokenizer.decode(tokens.ids) == "one\x1etwo<eos>"


def test_a_text_without_completion_says_which(make_reading_model):
    with pytest.raises(RecordError, match=r"example 1 \(id '1', row 1\): the completion is empty"):
        make_reading_model().reader.tokens(["why\x1etwo", "why\x1e"])


def test_a_tokenizer_without_an_end(make_reading_model):
    encoder = make_reading_model()
    encoder.tokenizer.eos_token = None
    with pytest.raises(CheckpointError, match="here: the tokenizer has no end-of-text token"):
        make_reader(encoder.model, encoder.tokenizer, "here")


def test_a_language_model_of_one_position(make_reading_model):
    model = make_reading_model().model
    model.config.backbone = {**model.config.backbone, "max_position_embeddings": 1}
    with pytest.raises(CheckpointError, match="needs at least 2 tokens"):
        make_reader(model, make_reading_model().tokenizer, "here")


def test_a_longer_limit_than_the_model_has_positions(make_reading_model):
    encoder = make_reading_model(max_tokens=10_000)
    assert encoder.reader.longest == 256
    template = replace(encoder.template, max_tokens=10_000).to_dict()
    encoder.model.config.template = template
    assert make_reader(encoder.model, encoder.tokenizer, "here").longest == 256
