"""Features of texts, against slow computations of one text at a time."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch

from airrep import AirRep, EmbeddingStore
from airrep.errors import CheckpointError, EmbeddingError, RecordError
from airrep.language_model.batching import in_blocks
from airrep.network import token_pooling as token_pooling_module
from airrep.network.token_pooling import feature_blocks, level_numbers
from airrep.records import Example, normalize
from airrep.template import TextTemplate
from selection.scorers.embedding import EmbeddingScorer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ["what", "is", "the", "river", "stone", "question", "answer", "why", "two", "green"]


def examples_of(count, longest=24):
    """Prompts and completions of many lengths; every seventh is plain text."""
    rng = np.random.default_rng(0)

    def say(least):
        return " ".join(rng.choice(WORDS, rng.integers(least, longest)))

    return [Example(str(i), say(1) if i % 7 else "", say(1), row=i) for i in range(count)]


EXAMPLES = examples_of(40)


def rendered(encoder, examples=EXAMPLES):
    return [encoder.template.render(e) for e in examples]


# --- segments ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def segmenting(make_encoder):
    """A tiny encoder that looks at prompt and completion apart; 64 positions, D = 20."""
    return make_encoder(token_pooling="segments", projection_dim=20)


@pytest.fixture(scope="module")
def leveling(make_encoder):
    """The same at all three levels of its two layers."""
    return make_encoder(token_pooling="levels", projection_dim=20)


def slow_segments(encoder, example):
    """Means over prompt and completion tokens of a text on its own, in float64."""
    text = encoder.template.render(example)
    begins = len(text) - len(example.completion)
    read = encoder.tokenizer(
        text, truncation=True, max_length=64, return_offsets_mapping=True, return_tensors="pt"
    )
    with torch.no_grad():
        out = encoder.model.bert(input_ids=read["input_ids"], output_hidden_states=True)
    several = encoder.model.config.token_pooling == "levels"
    means = []
    for states in out.hidden_states if several else [out.last_hidden_state]:
        prompt, completion, answered = [], [], not example.prompt
        ends = [int(end) for _, end in read["offset_mapping"][0]]
        for state, end in zip(states[0].double().numpy(), ends, strict=True):
            answered = answered or end > begins
            (completion if answered else prompt).append(state)
        means += [np.mean(part, axis=0) if part else np.zeros(32) for part in (prompt, completion)]
    return np.concatenate(means)


@pytest.mark.parametrize("fixture", ["segmenting", "leveling"])
def test_segments_agree_with_a_loop_over_texts(request, fixture):
    segmenting = request.getfixturevalue(fixture)
    expected = np.stack([slow_segments(segmenting, e) for e in EXAMPLES])
    found = segmenting.features(rendered(segmenting))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    projector = segmenting.model.projector
    weight, bias = (p.detach().double().numpy() for p in (projector.weight, projector.bias))
    np.testing.assert_allclose(
        segmenting.encode(EXAMPLES), expected @ weight.T + bias, rtol=0, atol=1e-5
    )


@pytest.mark.isa
@pytest.mark.parametrize("fixture", ["segmenting", "leveling"])
@pytest.mark.parametrize("what", ["features", "encode"])
def test_neighbors_order_and_batch_size_change_no_bit(request, fixture, what):
    segmenting = request.getfixturevalue(fixture)
    compute, texts = getattr(segmenting, what), rendered(segmenting)
    together = compute(texts)
    assert np.array_equal(np.concatenate([compute([text]) for text in texts]), together)
    for tokens_per_batch in (1, 100, 100_000):
        assert np.array_equal(compute(texts, tokens_per_batch=tokens_per_batch), together)
    order = np.random.default_rng(1).permutation(len(texts))
    assert np.array_equal(compute([texts[i] for i in order]), together[order])


def test_a_record_and_its_text_are_the_same(segmenting):
    rows = [{"prompt": e.prompt, "completion": e.completion} for e in EXAMPLES if e.prompt]
    examples = [e for e in EXAMPLES if e.prompt]
    texts = rendered(segmenting, examples)
    assert np.array_equal(segmenting.encode(examples), segmenting.encode(texts))
    assert np.array_equal(segmenting.encode(rows), segmenting.encode(texts))


def test_a_completion_that_was_cut_away_has_no_features(segmenting):
    cut = Example("0", "river " * 90, "stone")
    some = Example("1", "river " * 40, "stone " * 40)
    features = segmenting.features(rendered(segmenting, [cut, some]))
    assert (features[0, 32:] == 0).all()
    assert features[0, :32].any()
    assert (features[1].reshape(2, 32) != 0).all()
    assert np.isfinite(segmenting.encode([cut])).all()


@pytest.mark.parametrize("text", ["", "green stone", "Question: why", "is\nAnswer: two"])
def test_plain_text_has_no_prompt_features(segmenting, text):
    features = segmenting.features([text])
    assert (features[0, :32] == 0).all()
    assert features[0, 32:].any()


def test_what_follows_the_prompt_only_by_chance_belongs_to_it(segmenting):
    """The first token of the completion is the first that ends behind its beginning."""
    first, second = (Example("0", "why", c) for c in ("two green", "two stone"))
    tokens = segmenting.reader.tokens(rendered(segmenting, [first, second]))
    assert tokens[0].start == tokens[1].start
    words = [segmenting.tokenizer.convert_ids_to_tokens(t.completion) for t in tokens]
    assert words == [["two", "green", "[SEP]"], ["two", "stone", "[SEP]"]]


def test_nothing_gives_no_features(segmenting):
    assert segmenting.features([]).shape == (0, 64)
    assert segmenting.encode([]).shape == (0, 20)


def test_the_last_level_is_what_segments_are_and_the_first_the_token_embeddings(
    segmenting, leveling
):
    """Whatever the weights of the blocks between."""
    texts = rendered(segmenting)
    found = leveling.features(texts)
    assert leveling.model.feature_blocks == [32] * 6
    assert np.array_equal(found[:, -64:], segmenting.features(texts))
    shuffled = copy.deepcopy(leveling)
    with torch.no_grad():
        for layer in shuffled.model.bert.encoder.layer:
            for parameter in layer.parameters():
                parameter.add_(0.1)
    changed = shuffled.features(texts)
    assert np.array_equal(changed[:, :64], found[:, :64])
    assert np.abs(changed[:, 64:] - found[:, 64:]).max() > 0.01


@pytest.mark.parametrize("kind", ["levels", "prediction"])
def test_a_process_that_has_made_no_model_unpickles_an_encoder(
    program, leveling, make_reading_model, tmp_path, kind
):
    """As a worker of a cluster does, also one that has been used."""
    encoder = leveling if kind == "levels" else make_reading_model()
    expected = encoder.encode(EXAMPLES[:3])
    place = tmp_path / "encoder.pkl"
    place.write_bytes(pickle.dumps((encoder, EXAMPLES[:3])))
    text = """
        import pickle, sys
        import numpy as np
        encoder, examples = pickle.load(open(sys.argv[1], "rb"))
        np.save(sys.argv[2], encoder.encode(examples))
        print(encoder.fingerprint, encoder.name)
    """
    done = program(text, place, tmp_path / "found.npy")
    assert done.wait() == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected)
    assert done.stdout.split(maxsplit=1) == [encoder.fingerprint, f"{encoder.name}\n"]


def test_segments_are_saved_and_loaded(segmenting, tmp_path):
    segmenting.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert np.array_equal(loaded.encode(EXAMPLES), segmenting.encode(EXAMPLES))
    assert loaded.fingerprint == segmenting.fingerprint


@pytest.mark.parametrize("template", [{"completion_prefix": " | "}, {"prompt_words": None}])
def test_segments_need_a_template_that_marks_them(make_encoder, template):
    with pytest.raises(CheckpointError, match="'segments' needs a template whose"):
        make_encoder(token_pooling="segments", template=template)
    make_encoder(token_pooling="mean", template=template)


def test_broken_features_name_the_text(make_encoder):
    broken = make_encoder(token_pooling="segments")
    with torch.no_grad():
        broken.model.bert.embeddings.word_embeddings.weight[:] = torch.nan
    with pytest.raises(EmbeddingError, match=r"NaN or infinity for 2 of 2 texts.*number 0: 'why'"):
        broken.features(["why", "two"])


# --- prediction -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def reading_model(request, make_reading_model):
    """An encoder of a tiny language model: 2 layers of 32, D = 16; treat it as read-only."""
    texts = [f"{e.prompt}\x1e{e.completion}" for e in EXAMPLES]
    return make_reading_model(request.param, tied=request.param == "gpt2", texts=texts)


def slow_prediction(encoder, ids, start):
    """The features of one text, term by term, in float64 from the model's own full output."""
    model = copy.deepcopy(encoder.model.bert).double()
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_hidden_states=True)
    logits = output.logits[0].numpy()
    levels = [states[0].numpy() for states in output.hidden_states]  # all three of them
    words = model.get_output_embeddings().weight.detach().numpy()
    into = encoder.model.prediction.inputs.double().numpy()
    out_of = encoder.model.prediction.errors.double().numpy()
    outer = [np.zeros((16, 16)) for _ in levels]
    errors, before, after = [], [[] for _ in levels], [[] for _ in levels]
    for t in range(start - 1, len(ids) - 1):
        shares = np.exp(logits[t] - logits[t].max())
        shares /= shares.sum()
        error = words[ids[t + 1]].copy()
        for v, share in enumerate(shares):
            error -= share * words[v]
        errors.append(error)
        for number, states in enumerate(levels):
            unit = states[t] / np.sqrt(np.mean(states[t] ** 2))
            outer[number] += np.outer(out_of.T @ error, into[number].T @ unit)
            before[number].append(states[t])
            after[number].append(states[t + 1])
    parts = [matrix.ravel() / len(errors) for matrix in outer]
    parts += [np.mean(errors, axis=0)]
    parts += [np.mean(states, axis=0) for states in before]
    parts += [np.mean(states, axis=0) for states in after]
    parts += [np.mean([words[i] for i in part], axis=0) for part in (ids[start:], ids[:start])]
    return np.concatenate(parts)


def test_prediction_agrees_with_a_loop_over_tokens(reading_model):
    texts = rendered(reading_model)
    tokens = reading_model.reader.tokens(texts)
    expected = np.stack([slow_prediction(reading_model, t.ids, t.start) for t in tokens])
    found = reading_model.features(texts)
    assert expected.shape == (40, 3 * 256 + 9 * 32)
    assert np.abs(expected[:, :768]).max() > 0.1  # so that agreement means something
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


def test_a_chat_template_is_followed(make_reading_model):
    turns = [
        ({"role": "user", "content": e.prompt}, {"role": "assistant", "content": e.completion})
        for e in EXAMPLES[:8]
    ]
    rows = [{"prompt": [asked], "completion": [said]} for asked, said in turns]
    texts = [TextTemplate.verbatim(64).render(normalize(row)) for row in rows]
    chatting = make_reading_model(chat=CHATML, texts=texts)
    tokens = chatting.reader.tokens(texts)
    assert [t.ids for t in tokens] == [
        t.ids for t in chatting.reader.model.tokenize([normalize(row) for row in rows])
    ]
    assert "<|im_start|>user" in chatting.tokenizer.decode(tokens[1].ids)
    expected = np.stack([slow_prediction(chatting, t.ids, t.start) for t in tokens])
    np.testing.assert_allclose(chatting.features(texts), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.isa
def test_of_a_language_model_too_neighbors_and_batch_size_change_no_bit(reading_model):
    texts = rendered(reading_model)
    together = reading_model.encode(texts)
    alone = np.concatenate([reading_model.encode([text]) for text in texts])
    np.testing.assert_array_equal(alone, together)
    for tokens_per_batch in (1, 300, 100_000):
        found = reading_model.encode(texts, tokens_per_batch=tokens_per_batch)
        np.testing.assert_array_equal(found, together)
    order = np.random.default_rng(1).permutation(len(texts))
    found = reading_model.encode([texts[i] for i in order])
    np.testing.assert_array_equal(found, together[order])


def test_how_many_distributions_are_held_hardly_matters(reading_model, monkeypatch):
    texts = rendered(reading_model)
    together = reading_model.features(texts)
    monkeypatch.setattr(token_pooling_module, "in_blocks", partial(in_blocks, block=7))
    np.testing.assert_allclose(reading_model.features(texts), together, rtol=0, atol=1e-5)


def gradients(encoder, texts):
    network = copy.deepcopy(encoder.model).requires_grad_(requires_grad=True)
    tokens = encoder.reader.tokens(texts)
    batch = encoder.batch(tokens, max(len(t.ids) for t in tokens))
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t
    ):
        features = network.features(*batch)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    (features * weights).sum().backward()
    found = {n: p.grad for n, p in network.bert.named_parameters() if p.grad is not None}
    return found, shapes


def test_gradients_do_without_the_distributions(reading_model, monkeypatch):
    texts = rendered(reading_model)[:6]
    whole, shapes = gradients(reading_model, texts)
    assert not any(shape and shape[-1] == 512 for shape in shapes), "of the vocabulary's size"
    monkeypatch.setattr(token_pooling_module, "in_blocks", partial(in_blocks, block=5))
    parts, _ = gradients(reading_model, texts)
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-4)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("chat", [None, CHATML])
def test_it_is_saved_and_loaded(make_reading_model, tmp_path, kind, tied, chat):
    texts = [f"{e.prompt}\x1e{e.completion}" for e in EXAMPLES]
    encoder = make_reading_model(kind, tied=tied, chat=chat, texts=texts)
    with torch.no_grad():
        encoder.model.prediction.inputs.mul_(0.5)  # it comes from the file, not from its seed
    encoder.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert np.array_equal(loaded.encode(EXAMPLES), encoder.encode(EXAMPLES))
    assert loaded.fingerprint == encoder.fingerprint
    network = loaded.model.bert
    shared = network.get_input_embeddings().weight is network.get_output_embeddings().weight
    assert shared == tied
    assert loaded.tokenizer.chat_template == chat


def test_the_dtype_asked_for_is_the_backbones(reading_model, tmp_path):
    reading_model.save_pretrained(tmp_path / "saved")
    exact = reading_model.encode(EXAMPLES)
    rounded = AirRep.from_pretrained(tmp_path / "saved", dtype="bfloat16")
    assert rounded.precision == "bfloat16"
    found = rounded.encode(EXAMPLES)
    assert not np.array_equal(found, exact)
    assert (found * exact).sum(axis=1).min() > 0.99


def test_chat_template_and_end_of_text_token_are_part_of_the_fingerprint(make_reading_model):
    plain, chatting = make_reading_model(), make_reading_model(chat=CHATML)
    assert plain.fingerprint != chatting.fingerprint
    assert plain.fingerprint == make_reading_model().fingerprint
    other = make_reading_model()
    other.tokenizer.eos_token = "a"
    assert plain.fingerprint != other.fingerprint


@pytest.mark.parametrize("text", ["", "why\x1e", "why\x1e  \n"])
def test_a_text_without_completion_is_refused(reading_model, text):
    with pytest.raises(RecordError, match=r"example 1 .*the completion is empty"):
        reading_model.encode(["why\x1etwo", text])


def test_records_texts_and_rows_agree(reading_model):
    rows = [{"prompt": e.prompt, "completion": e.completion} for e in EXAMPLES if e.prompt]
    examples = [e for e in EXAMPLES if e.prompt]
    expected = reading_model.encode(examples)
    assert np.array_equal(reading_model.encode(rendered(reading_model, examples)), expected)
    assert np.array_equal(reading_model.encode(rows), expected)


def test_it_works_through_store_and_scorer(reading_model, tmp_path):
    targets, pool = EXAMPLES[:5], EXAMPLES[5:]
    expected = reading_model.encode(pool)
    store = EmbeddingStore(tmp_path / "store")
    np.testing.assert_allclose(store.embed(pool, reading_model)[:], expected, rtol=0, atol=1e-5)
    again = EmbeddingStore(tmp_path / "store").embed(pool, reading_model)
    assert (again.reused, again.encoded) == (35, 0)
    scores = EmbeddingScorer(reading_model, store).score(targets, pool).values()
    products = reading_model.encode(targets) @ expected.T
    np.testing.assert_allclose(scores, products, rtol=0, atol=1e-5)


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "levels"),
    [(1, [0, 1]), (2, [0, 1, 2]), (4, [0, 1, 2, 3, 4]), (12, [0, 3, 6, 9, 12])],
)
def test_levels_are_spread_from_the_first_to_the_last(layers, levels):
    assert level_numbers(layers) == levels


def test_blocks_are_the_parts_of_the_features(reading_model, segmenting, tiny):
    assert reading_model.model.feature_blocks == [256] * 3 + [32] * 9
    assert segmenting.model.feature_blocks == [32, 32]
    assert tiny.model.feature_blocks == [32]
    assert feature_blocks("prediction", 8, 30) == [64] * 5 + [8] * 13
    assert feature_blocks("cls", 8, 30) == [8]
