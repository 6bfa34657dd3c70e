"""Damaged checkpoints load whole, or are refused before they take memory or time."""

import json
import os
import pickle
import random
import shutil

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from airrep import AirRep
from airrep.errors import CheckpointError
from airrep.network.modeling import AirRepConfig, AirRepModel

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS),
         ":", "?", "."]  # fmt: skip
SIZES = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 64,
}  # fmt: skip
DAMAGED = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors",
           "modules.json"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint of ours and a sentence encoder, as small as they can be."""
    made = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in ("ours", "theirs"):
            directory = made[name] = tmp_path_factory.mktemp(name)
            (directory / "vocab.txt").write_text("\n".join(WORDS))
            BertTokenizerFast(str(directory / "vocab.txt")).save_pretrained(directory)
            if name == "ours":
                AirRepModel(AirRepConfig(**SIZES)).save_pretrained(directory)
                continue
            BertModel(BertConfig(**SIZES)).save_pretrained(directory)
            kinds = ["Transformer", "Pooling", "Normalize"]
            listed = [
                {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "",
                 "type": f"sentence_transformers.models.{kind}"}
                for i, kind in enumerate(kinds)
            ]  # fmt: skip
            (directory / "modules.json").write_text(json.dumps(listed))
            (directory / "1_Pooling").mkdir()
            (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    return made


def _embed(directory):
    rows = AirRep.from_pretrained(directory).encode(["what: is this?", "b" * 200, "?"])
    assert np.isfinite(rows).all()
    assert len(rows) == 3
    return rows


@pytest.mark.parametrize("cases", [40, pytest.param(1000, marks=pytest.mark.torture)])
def test_damaged_checkpoints_load_whole_or_are_refused(
    tmp_path, whole, mutate, mutate_value, as_json, outcome, cases
):
    rng, place = random.Random(10), tmp_path / "case"
    for number in range(cases):
        shutil.copytree(whole["ours" if number % 3 else "theirs"], place)
        file = place / DAMAGED[number % len(DAMAGED)]
        before = file.read_bytes() if file.exists() else b"[]"
        if file.suffix == ".json" and number % 2:
            file.write_bytes(as_json(mutate_value(json.loads(before), rng)))
        else:
            file.write_bytes(mutate(before, rng))
        outcome(_embed, place)
        shutil.rmtree(place)


def _with(directory, **settings):
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


ENORMOUS = [
    *({name: 10**9} for name in (*SIZES, "type_vocab_size", "projection_dim", "num_labels")),
    {"backbone": {"model_type": "gpt2", "n_layer": 10**7}},
    {"attention_scale": 10**400},
]  # fmt: skip


@pytest.mark.parametrize("settings", ENORMOUS, ids=str)
def test_a_config_that_asks_for_more_than_the_weights_is_refused(
    tmp_path, whole, limited, settings
):
    place = shutil.copytree(whole["ours"], tmp_path / "case")
    _with(place, **settings)
    with limited(), pytest.raises(CheckpointError, match="config"):
        AirRep.from_pretrained(place)


@pytest.mark.parametrize("settings", [{"chunk_size_feed_forward": 7}, {"return_dict": False}])
def test_settings_of_how_to_compute_do_not_change_the_result(tmp_path, whole, settings):
    place = shutil.copytree(whole["ours"], tmp_path / "case")
    _with(place, **settings)
    np.testing.assert_array_equal(_embed(place), _embed(whole["ours"]))


class _Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_pickles_are_never_opened(tmp_path, whole, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = shutil.copytree(whole["ours"], tmp_path / "case")
    expected = _embed(place)
    (place / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    np.testing.assert_array_equal(_embed(place), expected)  # beside the weights it does nothing
    (place / "model.safetensors").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(CheckpointError, match="could not be loaded"):
        _embed(place)
    (place / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no file named model\.safetensors"):
        _embed(place)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("where", ["../outside.safetensors", "/outside.safetensors", "x.bin", 3])
def test_an_index_that_names_files_elsewhere_is_refused(tmp_path, whole, where):
    place = shutil.copytree(whole["ours"], tmp_path / "case")
    (place / "model.safetensors").rename(tmp_path / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"projector.bias": where}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"index.json: weights are said to be in"):
        _embed(place)


def test_modules_elsewhere_are_refused(tmp_path, whole):
    place = shutil.copytree(whole["theirs"], tmp_path / "case")
    listed = json.loads((place / "modules.json").read_text())
    for path in ("../1_Pooling", "/etc", "1_Pooling/../.."):
        listed[1]["path"] = path
        (place / "modules.json").write_text(json.dumps(listed))
        with pytest.raises(CheckpointError, match="which is not in this directory"):
            _embed(place)


def test_code_beside_a_checkpoint_is_not_run(tmp_path, whole, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = shutil.copytree(whole["ours"], tmp_path / "case")
    _with(place, auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.Config"})
    (place / "evil.py").write_text("open('pwned', 'w')\n")
    _embed(place)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, whole, outcome, name):
    place = shutil.copytree(whole["ours"], tmp_path / "case")
    (place / name).unlink()
    os.mkfifo(place / name)
    found = outcome(_embed, place)
    assert isinstance(found, CheckpointError) or name == "tokenizer.json"  # vocab.txt is there
