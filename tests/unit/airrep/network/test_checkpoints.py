"""What loads, what it computes, and what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    CamembertConfig,
    CamembertModel,
    ElectraConfig,
    ElectraModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from airrep import AirRep
from airrep import encoder as encoder_module
from airrep.errors import ArgumentError, CheckpointError, MissingInputError, OutputError
from airrep.language_model.checkpoint_files import SENTENCE_BACKBONES

BACKBONES = {
    "bert": (BertConfig, BertModel),
    "roberta": (RobertaConfig, RobertaModel),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
    "camembert": (CamembertConfig, CamembertModel),
    "mpnet": (MPNetConfig, MPNetModel),
    "electra": (ElectraConfig, ElectraModel),
}
LAST_LAYER = "bert.encoder.layer.1.output.dense.weight"


@pytest.fixture
def save_backbone(tmp_path, make_tokenizer, tiny_size):
    """Write a sentence encoder as transformers does; returns (directory, model, tokenizer)."""

    def save(kind="bert", **changes):
        config_class, model_class = BACKBONES[kind]
        tokenizer = make_tokenizer(pad_id=0 if kind in ("bert", "electra") else 1)
        values = tiny_size(tokenizer, **changes)
        if kind == "electra":
            values["embedding_size"] = 24
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = model_class(config_class(**values)).eval()
        model.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        return tmp_path / kind, model, tokenizer

    return save


def write_json(file, content):
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def edit_json(file, **changes):
    write_json(file, {**json.loads(file.read_text()), **changes})


def edit_weights(directory, change):
    file = directory / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


# --- the released layout ----------------------------------------------------------------------


@pytest.fixture
def released(tmp_path, make_tokenizer, tiny_size):
    """A directory as the AirRep release has it: BERT's own fields, bfloat16, `bert.*`, pooler."""
    tokenizer = make_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        bert = BertModel(BertConfig(**tiny_size(tokenizer))).to(torch.bfloat16).eval()
        projector = torch.nn.Linear(32, 24).to(torch.bfloat16)
    directory = tmp_path / "released"
    tokenizer.save_pretrained(directory)
    tensors = {f"bert.{name}": value for name, value in bert.state_dict().items()}
    tensors |= {f"projector.{name}": value for name, value in projector.state_dict().items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(64)[None]  # older versions kept them
    save_file(tensors, directory / "model.safetensors")
    config = {
        "model_type": "airrep",
        "architectures": ["AirRep"],
        "torch_dtype": "bfloat16",
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
        "projection_dim": 24,
        **tiny_size(tokenizer),
    }
    write_json(directory / "config.json", config)
    return SimpleNamespace(
        directory=directory, bert=bert.float(), tokenizer=tokenizer,
        weight=projector.weight.detach().float().numpy(),
        bias=projector.bias.detach().float().numpy(),
    )  # fmt: skip


def test_the_released_layout_loads_as_it_is(released, reference, texts):
    encoder = AirRep.from_pretrained(released.directory, dtype="float32")
    expected = reference(
        released.bert, released.tokenizer, texts, weight=released.weight, bias=released.bias
    )
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=0, atol=1e-5)


def test_a_square_projector_needs_no_field_in_the_config(released, reference, texts):
    """The release projects to the hidden size and does not say so."""
    config = json.loads((released.directory / "config.json").read_text())
    del config["projection_dim"]
    write_json(released.directory / "config.json", config)
    square = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))

    def widen(tensors):
        tensors["projector.weight"] = square
        tensors["projector.bias"] = torch.zeros(32)

    edit_weights(released.directory, widen)
    encoder = AirRep.from_pretrained(released.directory, dtype="float32")
    expected = reference(released.bert, released.tokenizer, texts, weight=square.numpy())
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=1e-5, atol=1e-5)


def test_the_released_layout_means_the_released_conventions(released):
    encoder = AirRep.from_pretrained(released.directory)
    assert encoder.attention_scale == 1.0
    assert encoder.model.config.normalize is False
    assert encoder.model.config.token_pooling == "mean"
    assert encoder.template.to_dict() == {
        "prompt_prefix": "Question: ",
        "completion_prefix": "\nAnswer: ",
        "prompt_words": 256,
        "max_tokens": 512,
    }


def test_pooling_segments_keeps_the_released_layout(released, make_encoder, tmp_path):
    """The same names of weights and fields of the config, and a projector of twice the width."""
    make_encoder(projection_dim=24, token_pooling="segments").save_pretrained(tmp_path / "ours")
    ours, theirs = (
        (json.loads((place / "config.json").read_text()), load_file(place / "model.safetensors"))
        for place in (tmp_path / "ours", released.directory)
    )
    config, tensors = ours
    assert config["model_type"] == theirs[0]["model_type"] == "airrep"
    assert config["token_pooling"] == "segments"
    assert config.keys() >= theirs[0].keys() - {"torch_dtype"}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in theirs[1].items()}
    unused = {name for name in expected if "pooler." in name or "position_ids" in name}
    assert shapes.keys() == expected.keys() - unused
    assert {n: s for n, s in shapes.items() if s != expected[n]} == {"projector.weight": (24, 64)}


def test_segments_of_a_released_checkpoint_need_a_projector_of_their_own(released):
    edit_json(released.directory / "config.json", token_pooling="segments")
    refused(released.directory, r"'projector.weight' has the shape \(24, 32\); .* \(24, 64\)")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_dtype_asked_for_is_computed_in(released, dtype):
    assert AirRep.from_pretrained(released.directory, dtype=dtype).precision == dtype


# --- sentence encoders ------------------------------------------------------------------------


def test_every_supported_backbone_is_among_the_cases():
    assert set(BACKBONES) == set(SENTENCE_BACKBONES)


@pytest.mark.parametrize("kind", BACKBONES)
def test_any_sentence_encoder_loads_with_an_identity_projector(
    save_backbone, reference, texts, kind
):
    directory, model, tokenizer = save_backbone(kind)
    encoder = AirRep.from_pretrained(directory, dtype="float32")
    # BERT and ELECTRA number 64 positions; the others start after the padding id, 1
    longest = 64 if kind in ("bert", "electra") else 62
    expected = reference(model, tokenizer, texts, longest=longest)
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=0, atol=1e-5)
    assert encoder.dim == 32


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [False, True])
def test_its_own_pooling_and_normalization_are_read(
    save_backbone, reference, texts, kind, pooling, normalize
):
    directory, model, tokenizer = save_backbone(kind)
    modules = ["Transformer", "Pooling", "Normalize"][: 2 + normalize]
    write_modules(directory, modules, pooling)
    encoder = AirRep.from_pretrained(directory, dtype="float32")
    expected = reference(
        model, tokenizer, texts, pooling=pooling, normalize=normalize,
        longest=64 if kind == "bert" else 62,
    )  # fmt: skip
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=0, atol=1e-5)
    assert encoder.attention_scale == (5.0 if normalize else 1.0)


def write_modules(directory, modules, pooling="mean"):
    listed = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "",
         "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(modules)
    ]  # fmt: skip
    write_json(directory / "modules.json", listed)
    for module in listed:
        if module["type"].endswith("Pooling"):
            settings = {
                "word_embedding_dimension": 32,
                "pooling_mode_cls_token": pooling == "cls",
                "pooling_mode_mean_tokens": pooling == "mean",
                "pooling_mode_max_tokens": pooling == "max",
            }
            write_json(directory / module["path"] / "config.json", settings)


def write_dense(directory, weight, bias=None, activation="torch.nn.modules.linear.Identity"):
    tensors = {"linear.weight": weight} | ({} if bias is None else {"linear.bias": bias})
    settings = {"in_features": weight.shape[1], "out_features": weight.shape[0],
                "bias": bias is not None, "activation_function": activation}  # fmt: skip
    write_json(directory / "2_Dense" / "config.json", settings)
    save_file(tensors, directory / "2_Dense" / "model.safetensors")


@pytest.mark.parametrize("with_bias", [False, True])
def test_a_linear_dense_layer_becomes_the_projector(save_backbone, reference, texts, with_bias):
    directory, model, tokenizer = save_backbone()
    write_modules(directory, ["Transformer", "Pooling", "Dense", "Normalize"])
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 32, generator=draw)
    bias = torch.randn(20, generator=draw) if with_bias else None
    write_dense(directory, weight, bias)
    encoder = AirRep.from_pretrained(directory, dtype="float32")
    expected = reference(
        model, tokenizer, texts, weight=weight.numpy(), normalize=True,
        bias=bias.numpy() if with_bias else None,
    )  # fmt: skip
    assert encoder.dim == 20
    np.testing.assert_allclose(encoder.encode(texts), expected, rtol=0, atol=1e-5)


def test_loading_twice_gives_equal_fingerprints_even_without_pooler_weights(save_backbone):
    """Masked language models carry none, and a random stand-in must not count."""
    directory, *_ = save_backbone("roberta")

    def drop_pooler(tensors):
        for name in [name for name in tensors if "pooler" in name]:
            del tensors[name]

    edit_weights(directory, drop_pooler)
    first, second = (AirRep.from_pretrained(directory, dtype="float32") for _ in range(2))
    assert first.fingerprint == second.fingerprint


def test_the_head_of_another_task_is_left_aside(save_backbone):
    directory, *_ = save_backbone()
    edit_weights(directory, lambda t: t.update({"cls.predictions.bias": torch.zeros(4)}))
    assert AirRep.from_pretrained(directory).dim == 32


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"projection_dim": 16, "token_pooling": "cls", "normalize": True, "attention_scale": 3.5},
        {"template": {"prompt_prefix": "In: ", "prompt_words": 3, "max_tokens": 20}},
    ],
)
def test_saving_and_loading_changes_nothing(make_encoder, tmp_path, texts, settings):
    encoder = make_encoder(**settings)
    encoder.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert np.array_equal(loaded.encode(texts), encoder.encode(texts))
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.template == encoder.template
    assert loaded.attention_scale == encoder.attention_scale


@pytest.mark.parametrize("kind", ["mpnet", "roberta", "electra"])
def test_a_sentence_encoder_can_be_saved_as_a_checkpoint_of_ours(
    save_backbone, tmp_path, texts, kind
):
    directory, *_ = save_backbone(kind)
    encoder = AirRep.from_pretrained(directory, dtype="float32")
    encoder.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["model_type"] == "airrep"
    assert np.array_equal(loaded.encode(texts), encoder.encode(texts))
    assert loaded.fingerprint == encoder.fingerprint


def test_saving_into_the_current_directory(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save_pretrained(".")
    assert AirRep.from_pretrained(".").dim == tiny.dim


def test_saving_replaces_an_older_checkpoint_and_keeps_what_else_is_there(
    make_encoder, tmp_path, texts
):
    make_encoder(seed=1).save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    newer = make_encoder(seed=2)
    newer.save_pretrained(tmp_path)
    assert AirRep.from_pretrained(tmp_path, dtype="float32").fingerprint == newer.fingerprint
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/file/below"):
        tiny.save_pretrained(tmp_path / "file" / "below")


def test_a_full_disk_is_an_output_error_though_safetensors_has_its_own(tiny, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tiny.model, "save_pretrained", full)
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/saved .*No space left"):
        tiny.save_pretrained(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_the_hub_gets_exactly_what_saving_writes(tiny, tmp_path, monkeypatch, no_network):
    uploaded = {}

    class Hub:
        def create_repo(self, repo_id, *, private, exist_ok):
            uploaded["repo"] = (repo_id, private, exist_ok)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            uploaded["files"] = contents(folder_path)
            uploaded["message"] = (repo_id, commit_message)
            return SimpleNamespace(commit_url="https://hub.example/commit/1")

    monkeypatch.setattr(encoder_module, "HfApi", Hub)
    url = tiny.push_to_hub("me/encoder", private=True, message="first")
    tiny.save_pretrained(tmp_path / "saved")
    assert url == "https://hub.example/commit/1"
    assert uploaded["repo"] == ("me/encoder", True, True)
    assert uploaded["message"] == ("me/encoder", "first")
    assert uploaded["files"] == contents(tmp_path / "saved")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(uploaded["files"])


def contents(directory):
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*")}


# --- what is refused --------------------------------------------------------------------------


def refused(directory, message):
    """Loading fails with the message, and names the directory."""
    with pytest.raises(CheckpointError, match=message) as caught:
        AirRep.from_pretrained(directory, dtype="float32")
    assert str(directory) in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_a_config_that_is_not_json(tiny_directory, content):
    (tiny_directory / "config.json").write_bytes(content)
    refused(tiny_directory, "config.json: not valid JSON")


def test_a_config_that_is_not_an_object(tiny_directory):
    (tiny_directory / "config.json").write_text("[1]")
    refused(tiny_directory, "expected a JSON object, found list")


def test_a_directory_without_config(tmp_path):
    refused(tmp_path, "config.json is missing; is this a model directory?")


@pytest.mark.parametrize("kind", ["gpt2", None, ["bert"]])
def test_an_unknown_kind_of_model_lists_the_known_ones(tiny_directory, kind):
    edit_json(tiny_directory / "config.json", model_type=kind)
    refused(tiny_directory, "is not an AirRep checkpoint nor a supported sentence encoder .*mpnet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"token_pooling": "max"},
            "token_pooling is 'max'; this version knows mean, cls, segments, levels",
        ),
        ({"attention_scale": "sharp"}, "attention_scale"),
        ({"attention_scale": float("nan")}, "attention_scale is nan; expected a number >= 0"),
        ({"attention_scale": -1.0}, "attention_scale is -1.0; expected a number >= 0"),
        ({"normalize": "yes"}, "normalize"),
        ({"projection_dim": "24"}, "projection_dim"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"hidden_act": "unheard of"}, "unheard of"),
        ({"template": {"suffix": "x"}}, "template .*'suffix'"),
        ({"template": {"max_tokens": 0}}, "template.max_tokens: expected int >= 3, found 0"),
        ({"backbone": {"model_type": "unheard of"}}, "unknown model_type 'unheard of'"),
        ({"num_attention_heads": 5}, "attention heads"),
    ],
)
def test_a_config_value_that_cannot_be_right_is_named(tiny_directory, change, message):
    edit_json(tiny_directory / "config.json", **change)
    refused(tiny_directory, message)


@pytest.mark.parametrize(
    ("change", "weight", "stored", "expected"),
    [
        ({"projection_dim": 7}, "projector.bias", r"\(24,\)", r"\(7,\)"),
        ({"intermediate_size": 40}, "intermediate.dense.bias", r"\(48,\)", r"\(40,\)"),
        ({"vocab_size": 500}, "word_embeddings", r"\(\d+, 32\)", r"\(500, 32\)"),
    ],
)
def test_weights_of_another_shape_are_named_with_both_shapes(
    tiny_directory, change, weight, stored, expected
):
    edit_json(tiny_directory / "config.json", **change)
    refused(tiny_directory, f"weight '.*{weight}.*' has the shape {stored}; .* asks for {expected}")


@pytest.mark.parametrize("name", ["projector.bias", LAST_LAYER])
def test_a_missing_weight_is_named(tiny_directory, name):
    edit_weights(tiny_directory, lambda tensors: tensors.pop(name))
    refused(tiny_directory, f"1 weights are missing, the first is '{name}'")


def test_a_config_with_more_layers_than_the_file(tiny_directory):
    edit_json(tiny_directory / "config.json", num_hidden_layers=3)
    refused(tiny_directory, "16 weights are missing, the first is 'bert.encoder.layer.2")


def test_a_config_with_fewer_layers_than_the_file(tiny_directory):
    """Loading the lower layers only would compute something, silently."""
    edit_json(tiny_directory / "config.json", num_hidden_layers=1)
    refused(tiny_directory, "no place for 16 weights .*, the first is 'bert.encoder.layer.1")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(tiny_directory, value):
    edit_weights(tiny_directory, lambda tensors: tensors[LAST_LAYER].view(-1)[5:6].fill_(value))
    refused(tiny_directory, f"weight '{LAST_LAYER}' holds NaN or infinity")


@pytest.mark.parametrize("kept", [0, 100, 0.5, -1])
def test_a_truncated_file_of_weights(tiny_directory, kept):
    file = tiny_directory / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept) if kept == 0.5 else kept])
    refused(tiny_directory, "the weights could not be loaded .* Expected safetensors")


def test_no_weights(tiny_directory):
    (tiny_directory / "model.safetensors").unlink()
    refused(tiny_directory, "the weights could not be loaded .*model.safetensors")


def test_pickled_weights_are_never_read(tiny_directory):
    """Reading a pickle runs its code."""
    weights = load_file(tiny_directory / "model.safetensors")
    torch.save(weights, tiny_directory / "pytorch_model.bin")
    (tiny_directory / "model.safetensors").unlink()
    refused(tiny_directory, "the weights could not be loaded .* Expected safetensors")


def test_no_tokenizer(tiny_directory):
    for file in tiny_directory.glob("tokenizer*"):
        file.unlink()
    refused(tiny_directory, "tokenizer")


def test_a_tokenizer_without_its_vocabulary(make_encoder, tmp_path):
    """transformers makes one up of the special tokens alone, to which all texts look alike."""
    make_encoder().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    edit_json(tmp_path / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    refused(tmp_path, "the tokenizer has no vocabulary")


def test_a_damaged_tokenizer(tiny_directory):
    (tiny_directory / "tokenizer.json").write_text("{")
    refused(tiny_directory, "no tokenizer")


def test_a_tokenizer_without_padding(tiny_directory):
    edit_json(tiny_directory / "tokenizer_config.json", pad_token=None)
    refused(tiny_directory, "the tokenizer has no padding token")


def test_a_tokenizer_of_a_larger_model(tiny_directory):
    """Its last tokens have no embedding, which would show only once a text holds one."""
    edit_json(tiny_directory / "config.json", vocab_size=20)
    name = "bert.embeddings.word_embeddings.weight"
    edit_weights(tiny_directory, lambda t: t.update({name: t[name][:20].clone()}))
    refused(tiny_directory, r"tokenizer's ids go up to \d+, the model's embeddings only to 19")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (["Transformer", "Pooling", "LSTM"], "pipeline Transformer, Pooling, LSTM is not supp"),
        (["Transformer", "Pooling", "Normalize", "Dense"], "pipeline .* is not supported"),
        (["Transformer", "Pooling", "Dense", "Dense"], "pipeline .* is not supported"),
    ],
)
def test_a_pipeline_that_computes_something_else(save_backbone, modules, message):
    directory, *_ = save_backbone()
    write_modules(directory, modules)
    refused(directory, message)


def test_a_token_pooling_that_is_not_supported(save_backbone):
    directory, *_ = save_backbone()
    write_modules(directory, ["Transformer", "Pooling"], "max")
    refused(directory, r"pooling \['max'\] is not supported; expected mean or cls")


def test_a_dense_layer_that_is_not_linear(save_backbone):
    directory, *_ = save_backbone()
    write_modules(directory, ["Transformer", "Pooling", "Dense"])
    write_dense(directory, torch.zeros(20, 32), activation="torch.nn.modules.activation.Tanh")
    refused(directory, "activation 'torch.nn.modules.activation.Tanh' is not a linear projector")


@pytest.mark.parametrize(("weight", "bias"), [((20, 31), 20), ((20, 1), 20), ((20, 32), 1)])
def test_a_dense_layer_that_does_not_fit(save_backbone, weight, bias):
    directory, *_ = save_backbone()
    write_modules(directory, ["Transformer", "Pooling", "Dense"])
    write_dense(directory, torch.zeros(weight), torch.zeros(bias))
    refused(directory, r"the dense layer's weight is .* the backbone's states have 32 dimensions")


@pytest.mark.parametrize("content", ["{", "[1]", '[{"path": ""}]', '[{"type": "x.Pooling"}]'])
def test_a_damaged_list_of_modules(save_backbone, content):
    directory, *_ = save_backbone()
    (directory / "modules.json").write_text(content)
    refused(directory, "cannot read the modules it lists")


def test_a_module_whose_files_are_missing(save_backbone):
    directory, *_ = save_backbone()
    write_modules(directory, ["Transformer", "Pooling", "Dense"])
    refused(directory, "cannot read the modules it lists .*2_Dense")


def test_a_sentence_encoder_with_an_impossible_config(save_backbone):
    directory, *_ = save_backbone()
    edit_json(directory / "config.json", hidden_size="32")
    refused(directory, "hidden_size")


@pytest.mark.parametrize("kind", ["bert", "mpnet"])
def test_a_sentence_encoder_with_a_missing_weight(save_backbone, kind):
    directory, *_ = save_backbone(kind)
    edit_weights(directory, lambda t: t.pop("embeddings.LayerNorm.bias"))
    refused(directory, "1 weights are missing, the first is 'embeddings.LayerNorm.bias'")


def test_an_unknown_dtype_lists_the_known_ones(tiny_directory):
    with pytest.raises(ArgumentError, match="'float16' is unknown; choose auto, float32 or bfloat"):
        AirRep.from_pretrained(tiny_directory, dtype="float16")


# --- what is not there ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "../nowhere", "a/b/c", "~/no"])
def test_a_path_that_does_not_exist_is_not_looked_for_on_the_hub(name, no_network):
    with pytest.raises(MissingInputError, match=f"checkpoint '{name}' is not a directory"):
        AirRep.from_pretrained(name)


def test_a_file_is_not_a_checkpoint(tiny_directory, no_network):
    with pytest.raises(MissingInputError, match="is not a directory"):
        AirRep.from_pretrained(tiny_directory / "config.json")


@pytest.mark.parametrize("name", ["someone/encoder", "encoder", "not a valid name!"])
def test_a_hub_id_that_cannot_be_had_offline(name, tmp_path, monkeypatch, no_network):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingInputError, match=f"'{name}' is neither a local directory nor"):
        AirRep.from_pretrained(name)


@pytest.mark.parametrize("error", [RuntimeError("proxy\nrefuses"), ConnectionError()])
def test_whatever_the_hub_client_raises_is_told_in_one_line(monkeypatch, error):
    """Its HTTP library's errors are of no common kind, and some say nothing."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("airrep.language_model.loading.snapshot_download", fail)
    with pytest.raises(MissingInputError, match=type(error).__name__) as caught:
        AirRep.from_pretrained("someone/encoder")
    assert "\n" not in str(caught.value)


def test_a_hub_download_asks_for_no_code_and_no_pickles(tiny_directory, monkeypatch):
    asked = {}

    def download(name, *, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(tiny_directory)

    monkeypatch.setattr("airrep.language_model.loading.snapshot_download", download)
    encoder = AirRep.from_pretrained("someone/encoder", revision="v1")
    assert encoder.name == "someone/encoder"
    assert asked["name"] == "someone/encoder"
    assert asked["revision"] == "v1"
    assert sorted(asked["patterns"]) == ["*.jinja", "*.json", "*.safetensors", "*.txt"]
