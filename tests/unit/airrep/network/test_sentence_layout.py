"""The sentence-transformers layout, against that library itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from airrep import AirRep, Example
from airrep.errors import ArgumentError, CheckpointError, OutputError
from airrep.training.starting_point import starting_point

sentence_transformers = pytest.importorskip("sentence_transformers")


def load(directory, **options):
    return sentence_transformers.SentenceTransformer(str(directory), device="cpu", **options)


def by_the_library(directory, texts, **options):
    model = load(directory, **options)
    return model.encode(texts, convert_to_numpy=True, show_progress_bar=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"projection_dim": 20, "normalize": True},
        {"token_pooling": "cls"},
        {"template": {"max_tokens": 20}},
    ],
    ids=["projected cosines", "first token", "cut early"],
)
def test_an_export_computes_the_same_in_the_library_and_here(
    make_encoder, tmp_path, texts, settings
):
    encoder = make_encoder(**settings)
    encoder.export_sentence_transformers(tmp_path / "export")
    expected = encoder.encode(texts)
    np.testing.assert_allclose(by_the_library(tmp_path / "export", texts), expected, atol=1e-5)
    if "template" not in settings:  # which that layout has no place for
        back = AirRep.from_pretrained(tmp_path / "export", dtype="float32")
        np.testing.assert_allclose(back.encode(texts), expected, rtol=0, atol=1e-6)


def test_the_default_encoder_can_be_exported(tmp_path):
    encoder = AirRep.default(dtype="float32")
    encoder.export_sentence_transformers(tmp_path / "export")
    texts = [encoder.template.render(e) for e in _examples()]
    found = by_the_library(tmp_path / "export", texts, trust_remote_code=True)
    np.testing.assert_allclose(found, encoder.encode(texts), atol=1e-5)


def _examples():
    return [
        Example("0", "Name a river in France.", "The Loire."),
        Example("1", "", "Plain text, without a question."),
        Example("2", "Count. " * 300, "One, two, three."),
        Example("3", "天气很好我们一起去公园散步吧" * 60, "One, two, three."),
    ]


def test_a_backbone_that_is_not_bert_can_be_exported(tmp_path, make_tokenizer, tiny_size, texts):
    from transformers import MPNetConfig, MPNetModel

    tokenizer = make_tokenizer(pad_id=1)
    MPNetModel(MPNetConfig(**tiny_size(tokenizer))).save_pretrained(tmp_path / "mpnet")
    tokenizer.save_pretrained(tmp_path / "mpnet")
    encoder = AirRep.from_pretrained(tmp_path / "mpnet", dtype="float32")
    encoder.export_sentence_transformers(tmp_path / "export")
    np.testing.assert_allclose(
        by_the_library(tmp_path / "export", texts), encoder.encode(texts), atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("dense", [False, True])
def test_what_the_library_saves_is_read_here(make_encoder, tmp_path, texts, pooling, dense):
    """Whatever names its current version gives the modules and their settings."""
    modules = sentence_transformers.sentence_transformer.modules
    make_encoder().export_sentence_transformers(tmp_path / "plain")
    transformer = modules.Transformer(str(tmp_path / "plain"))
    pipeline = [transformer, modules.Pooling(32, pooling_mode=pooling)]
    if dense:
        pipeline.append(modules.Dense(32, 20, activation_function=torch.nn.Identity()))
    pipeline.append(modules.Normalize())
    model = sentence_transformers.SentenceTransformer(modules=pipeline, device="cpu")
    model.save_pretrained(str(tmp_path / "saved"))
    short = [text for text in texts if len(text.split()) < 50]
    expected = model.encode(short, convert_to_numpy=True, show_progress_bar=False)
    found = AirRep.from_pretrained(tmp_path / "saved", dtype="float32").encode(short)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_an_export_holds_nothing_that_only_this_project_knows(make_encoder, tmp_path):
    make_encoder(projection_dim=20, normalize=True).export_sentence_transformers(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config.keys().isdisjoint({"template", "attention_scale", "normalize", "projection_dim"})
    kinds = [
        m["type"].rsplit(".", 1)[-1] for m in json.loads((tmp_path / "modules.json").read_text())
    ]
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]


def test_an_export_that_cannot_be_written_names_the_place(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/file"):
        tiny.export_sentence_transformers(tmp_path / "file")


# --- prompt and completion apart --------------------------------------------------------------

TEMPLATES = {
    "released": {},
    "cut early": {"max_tokens": 20},
    "prompt cut first": {"max_tokens": 20, "completion_share": 0.5},
    "few words": {"prompt_prefix": "In: ", "completion_prefix": "\tOut: ", "prompt_words": 3},
    "as it is": {"prompt_prefix": "", "completion_prefix": "\x1e", "prompt_words": None},
}


@pytest.fixture
def segments(make_encoder):
    """A tiny encoder that pools segments: (template, **config changes)."""

    def make(template=None, **changes):
        return make_encoder(**{"token_pooling": "segments", "template": template, **changes})

    return make


def rendered(encoder):
    """Texts by the encoder's template, from no prompt to one that leaves the completion no room."""
    pairs = [
        ("What is the river?", "The green stone."),
        ("", "plain text, without a prompt"),
        ("Why two?", ""),
        ("Näïve “café” 東京", "ünïcode — 東京 \U0001f600"),
        ("green " * 90, "two"),
        ("is", "river " * 90),
        ("Question: why", "Answer: because\nAnswer: two"),
    ]
    made = [encoder.template.render(Example(str(i), p, c)) for i, (p, c) in enumerate(pairs)]
    return [*made, "no template at all", "Question: half of one"]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"projection_dim": 20, "normalize": True},
        {"projection_dim": 20, "token_pooling": "levels"},
        {"projection_dim": 20, "token_pooling": "cls"},
    ],
    ids=["plain", "cosines", "levels", "first token"],
)
def test_segments_are_the_same_in_the_library_and_read_back(segments, tmp_path, name, changes):
    encoder = segments(TEMPLATES[name], **changes)
    encoder.export_sentence_transformers(tmp_path / "export")
    texts = rendered(encoder)
    expected = encoder.encode(texts)
    found = by_the_library(tmp_path / "export", texts, trust_remote_code=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    if encoder.model.config.token_pooling == "cls" and not encoder.template.completion_share:
        return  # that layout has no place for a template
    back = AirRep.from_pretrained(tmp_path / "export", dtype="float32")
    assert back.template == encoder.template
    assert back.model.config.token_pooling == encoder.model.config.token_pooling
    np.testing.assert_allclose(back.encode(texts), expected, rtol=0, atol=1e-6)


def test_segments_are_means_over_the_two_parts_of_a_text(segments, tmp_path):
    """Against a plain transformers model in float64, the border found by counting tokens."""
    encoder = segments({"prompt_prefix": "In: ", "completion_prefix": "\tOut: "}, projection_dim=20)
    encoder.export_sentence_transformers(tmp_path / "export")
    heads = ["In: what is the river\tOut:", "In: why\tOut:", ""]
    texts = [f"{head} two green stones" for head in heads]
    expected = []
    for head, text in zip(heads, texts, strict=True):
        batch = encoder.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            states = encoder.model.bert(**batch).last_hidden_state[0].double().numpy()
        start = len(encoder.tokenizer(head, add_special_tokens=False)["input_ids"]) + bool(head)
        prompt = states[:start].mean(axis=0) if start else np.zeros(32)
        features = np.concatenate([prompt, states[start:].mean(axis=0)])
        projector = encoder.model.projector
        weight, bias = (p.detach().double().numpy() for p in (projector.weight, projector.bias))
        expected.append(weight @ features + bias)
    found = by_the_library(tmp_path / "export", texts, trust_remote_code=True)
    np.testing.assert_allclose(found, np.array(expected), rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts), np.array(expected), rtol=0, atol=1e-5)


def test_where_the_completion_starts_matters_there_too(segments, tmp_path):
    """So the test above can fail: the same tokens, the border elsewhere."""
    encoder = segments(TEMPLATES["as it is"])
    encoder.export_sentence_transformers(tmp_path / "export")
    model = load(tmp_path / "export", trust_remote_code=True)
    features = model.preprocess(["why two\x1egreen river"])
    assert features["completion_start"].tolist() == [3]
    embeddings = []
    for start in (3, 2):
        given = {**features, "completion_start": torch.tensor([start])}
        embeddings.append(model(given)["sentence_embedding"].detach().numpy())
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0.1


@pytest.mark.parametrize("pooling", ["segments", "levels"])
def test_another_backbone_pools_segments_there_too(tmp_path, make_tokenizer, tiny_size, pooling):
    from transformers import MPNetConfig, MPNetModel

    tokenizer = make_tokenizer(pad_id=1)
    MPNetModel(MPNetConfig(**tiny_size(tokenizer))).save_pretrained(tmp_path / "mpnet")
    tokenizer.save_pretrained(tmp_path / "mpnet")
    encoder = starting_point(tmp_path / "mpnet", token_pooling=pooling)
    encoder.export_sentence_transformers(tmp_path / "export")
    texts = rendered(encoder)
    np.testing.assert_allclose(
        by_the_library(tmp_path / "export", texts, trust_remote_code=True),
        encoder.encode(texts), rtol=0, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("pooling", ["segments", "levels"])
def test_what_the_library_saves_of_it_is_read_here_and_there(segments, tmp_path, pooling):
    settings = {"projection_dim": 20, "normalize": True, "token_pooling": pooling}
    encoder = segments(TEMPLATES["few words"], **settings)
    encoder.export_sentence_transformers(tmp_path / "export")
    load(tmp_path / "export", trust_remote_code=True).save_pretrained(str(tmp_path / "saved"))
    texts = rendered(encoder)
    expected = encoder.encode(texts)
    again = by_the_library(tmp_path / "saved", texts, trust_remote_code=True)
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-5)
    back = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert back.template == encoder.template
    np.testing.assert_allclose(back.encode(texts), expected, rtol=0, atol=1e-6)


def test_its_size_batches_prompts_and_precision_are_as_for_any_model(segments, tmp_path):
    encoder = segments()
    encoder.export_sentence_transformers(tmp_path / "export")
    model = load(tmp_path / "export", trust_remote_code=True)
    assert model.get_embedding_dimension() == encoder.dim
    pooled = segments(token_pooling="levels")
    pooled.export_sentence_transformers(tmp_path / "levels")
    of_levels = load(tmp_path / "levels", trust_remote_code=True)[1]
    assert of_levels.get_embedding_dimension() == sum(pooled.model.feature_blocks)
    texts = rendered(encoder)
    expected = model.encode(texts, show_progress_bar=False)
    alone = model.encode(texts, batch_size=1, show_progress_bar=False)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)
    pair = "What is the river?\nAnswer: The green stone."
    prompted = model.encode([pair], prompt="Question: ", show_progress_bar=False)
    np.testing.assert_allclose(prompted, encoder.encode(f"Question: {pair}"), rtol=0, atol=1e-5)
    assert len(model.encode([], show_progress_bar=False)) == 0
    options = {"trust_remote_code": True, "model_kwargs": {"dtype": "bfloat16"}}
    narrow = load(tmp_path / "export", **options).encode(
        texts, convert_to_tensor=True, show_progress_bar=False
    )
    cosines = torch.nn.functional.cosine_similarity(narrow.float(), torch.from_numpy(expected))
    assert cosines.min() > 0.99


def test_only_texts_have_segments(segments, tmp_path):
    segments().export_sentence_transformers(tmp_path / "export")
    model = load(tmp_path / "export", trust_remote_code=True)
    with pytest.raises(ArgumentError, match="expected texts, found tuple"):
        model.encode([("what", "why")], show_progress_bar=False)


def test_the_library_asks_for_consent_before_it_imports_our_modules(segments, tmp_path):
    segments().export_sentence_transformers(tmp_path / "export")
    with pytest.raises(ValueError, match=r"(?s)airrep\.sentence_modules.*trust_remote_code=True"):
        load(tmp_path / "export")


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["SegmentTransformer", "Pooling"], "cannot read the modules .*template"),
        (["Transformer", "SegmentPooling"], "pipeline Transformer, SegmentPooling is not supp"),
        (["SegmentTransformer", "SegmentPooling"], "cannot read the modules .*template"),
    ],
)
def test_half_an_export_of_segments_is_refused(make_encoder, tmp_path, kinds, message):
    make_encoder().export_sentence_transformers(tmp_path)
    listed = [{"idx": i, "path": "", "type": f"x.{kind}"} for i, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match=message):
        AirRep.from_pretrained(tmp_path)


def test_an_encoder_made_of_a_language_model_cannot_be_exported(tiny_lm, tmp_path):
    with pytest.raises(ArgumentError, match=r"'prediction' cannot be exported .*save_pretrained"):
        starting_point(tiny_lm).export_sentence_transformers(tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_nothing_here_imports_that_library(program):
    done = program(
        "import sys\nfrom airrep import AirRep\n"
        "import airrep.network.reading, airrep.network.sentence_layout\n"
        "sys.exit('sentence_transformers' in sys.modules)"
    )
    assert done.wait() == 0, done.stderr
