"""Language models in GGUF files."""

import os
import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from gguf_files import write_gguf

import curate
from airrep import AirRep
from airrep.errors import ArgumentError, CheckpointError, MissingInputError
from airrep.language_model.checkpoint_files import read_config
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel, count_tokens
from airrep.records import Example
from eval_harness.runners.memory import training_memory
from eval_harness.runners.sft import fine_tune

EXAMPLES = [Example(str(i), "What comes next? " * i, "a word <eos> ¿東?" * i) for i in (1, 2, 3)]


@pytest.fixture(scope="module")
def tiny_gguf(tiny_lm, tmp_path_factory):
    """`tiny_lm` in a GGUF file, beside which nothing else lies."""
    return write_gguf(tiny_lm, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_a_file_is_the_model_that_it_was_made_from(tiny_lm, tiny_gguf, capsys):
    whole, read = (LanguageModel.from_pretrained(p, device="cpu") for p in (tiny_lm, tiny_gguf))
    assert capsys.readouterr().err == ""
    assert len(read.tokenizer) == 512  # without the <|endoftext|> that transformers adds
    assert read.tokenize(EXAMPLES) == whole.tokenize(EXAMPLES)
    np.testing.assert_allclose(
        completion_losses(read, EXAMPLES), completion_losses(whole, EXAMPLES), rtol=1e-5
    )
    assert not hasattr(read.network.config, "quantization_config")
    assert read.fingerprint == LanguageModel.from_pretrained(tiny_gguf, device="cpu").fingerprint


def test_quantized_weights_are_made_whole(tiny_lm, tmp_path):
    file = write_gguf(tiny_lm, tmp_path / "tiny.gguf", kind="Q8_0")
    whole = LanguageModel.from_pretrained(tiny_lm, device="cpu")
    read = LanguageModel.from_pretrained(file, device="cpu", dtype=torch.bfloat16)
    assert {weight.dtype for weight in read.network.parameters()} == {torch.bfloat16}
    found, expected = completion_losses(read, EXAMPLES), completion_losses(whole, EXAMPLES)
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert not np.array_equal(found, expected)


def test_every_place_that_names_a_model_takes_a_file(tiny_lm, tiny_gguf, tmp_path):
    assert count_tokens(tiny_gguf, EXAMPLES) == count_tokens(tiny_lm, EXAMPLES)
    assert training_memory(tiny_gguf, "all", longest=64) == training_memory(
        tiny_lm, "all", longest=64
    )
    pool, targets = curate.demo_pool(12), curate.demo_targets("email_reply", 2)
    chosen = curate.select(pool, targets, 3, scorer="rds", model=tiny_gguf, duplicates="off")
    assert len(chosen) == 3
    runs = tmp_path / "runs"
    recorded = curate.record(pool, targets, tiny_gguf, runs, subsets=3, size=2, epochs=1)
    assert recorded.values.shape[0] == 3
    assert curate.lds(runs, pool, targets, scorer="rds", draws=0).mean <= 1  # finds it by its path
    fitted = curate.fit(pool, tiny_gguf, tmp_path / "encoder", dim=2, max_tokens=32)
    assert AirRep.from_pretrained(fitted.directory).dim == 2


def test_what_is_fine_tuned_from_a_file_is_saved_as_a_directory(tiny_gguf, tmp_path):
    rows = Dataset.from_list([{"prompt": e.prompt, "completion": e.completion} for e in EXAMPLES])
    fine_tune(rows, tiny_gguf, tmp_path / "tuned", max_steps=1, batch_size=2)
    tuned = LanguageModel.from_pretrained(tmp_path / "tuned", device="cpu")
    assert tuned.tokenize(EXAMPLES) == LanguageModel.from_pretrained(tiny_gguf).tokenize(EXAMPLES)


def test_a_file_that_is_cut_off_damaged_or_of_another_kind_is_refused(tiny_gguf, tmp_path):
    content, file = tiny_gguf.read_bytes(), tmp_path / "other.gguf"
    for broken, message in (
        (content[:-5000], "damaged or cut off"),
        (content[:300], "damaged or cut off"),
        (content[:24] + bytes([255]) * 64 + content[88:], "damaged or cut off"),
        (b"PK" + content[2:], "does not begin with 'GGUF'"),
        (b"", "does not begin with 'GGUF'"),
    ):
        file.write_bytes(broken)
        with pytest.raises(CheckpointError, match=message) as caught:
            LanguageModel.from_pretrained(file)
        assert str(caught.value).count(str(file)) == 1


def test_an_unknown_architecture_is_named(tiny_lm, tmp_path):
    file = write_gguf(tiny_lm, tmp_path / "other.gguf", architecture="made-up")
    with pytest.raises(CheckpointError, match=r"of this architecture .*made-up"):
        count_tokens(file, EXAMPLES)


def test_a_config_that_asks_for_more_than_the_file_holds_is_refused(tiny_gguf, tmp_path):
    file = tmp_path / "large.gguf"
    content = tiny_gguf.read_bytes()
    place = content.index(b"llama.embedding_length") + len(b"llama.embedding_length") + 4
    file.write_bytes(content[:place] + (1 << 30).to_bytes(4, "little") + content[place + 4 :])
    with pytest.raises(CheckpointError, match="the hidden size would take"):
        read_config(file)


def test_a_file_that_is_replaced_is_read_again(tiny_lm, tiny_gguf, tmp_path):
    file = tmp_path / "one.gguf"
    file.write_bytes(tiny_gguf.read_bytes())
    assert read_config(file)["vocab_size"] == 512
    os.utime(file, ns=(1, 1))
    content = bytearray(tiny_gguf.read_bytes())
    place = content.index(b"llama.vocab_size") + len(b"llama.vocab_size") + 4
    content[place : place + 4] = (600).to_bytes(4, "little")
    file.write_bytes(content)
    assert read_config(file)["vocab_size"] == 600


def test_without_the_package_it_is_said_how_to_install_it(tiny_gguf, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ArgumentError, match=r"needs gguf.*'airrep-curate\[gguf\]'"):
        LanguageModel.from_pretrained(tiny_gguf)


def test_a_missing_file_and_a_directory_that_holds_one_say_what_to_name(tiny_gguf, tmp_path):
    with pytest.raises(MissingInputError, match="is not a directory, nor a GGUF file"):
        LanguageModel.from_pretrained(tmp_path / "nowhere.gguf")
    with pytest.raises(MissingInputError, match="is not a directory, nor a GGUF file"):
        LanguageModel.from_pretrained("nowhere.gguf")
    with pytest.raises(CheckpointError, match=r"name the file 'tiny\.gguf'"):
        LanguageModel.from_pretrained(tiny_gguf.parent)


def test_a_file_is_no_encoder(tiny_gguf):
    with pytest.raises(CheckpointError, match="model_type 'llama' is not an AirRep checkpoint"):
        AirRep.from_pretrained(tiny_gguf)
