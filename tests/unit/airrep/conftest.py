"""Tiny encoders with random weights, and a second opinion on what they should return."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from airrep import AirRep, AirRepConfig, AirRepModel

WORDS = ["what", "is", "the", "river", "stone", "question", "answer", "why", "two", "green"]


def build_tokenizer(pad_id: int = 0, lowercase: bool = True) -> PreTrainedTokenizerFast:
    """WordPiece over a few words and single characters, so that no text is unknown."""
    special = ["[UNK]", "[CLS]", "[SEP]"]
    special.insert(pad_id, "[PAD]")
    characters = string.ascii_letters + string.digits + string.punctuation
    pieces = [*special, *WORDS, *characters, *(f"##{c}" for c in characters)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=512, unk_token="[UNK]", pad_token="[PAD]",
        cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip


def size(tokenizer: PreTrainedTokenizerFast, **changes: Any) -> dict[str, Any]:
    """Config values of a tiny model; large initial weights, so that texts come out different."""
    return {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64,
        "initializer_range": 0.3, "pad_token_id": tokenizer.pad_token_id, **changes,
    }  # fmt: skip


def build_encoder(seed: int = 0, **changes: Any) -> AirRep:
    tokenizer = build_tokenizer()
    config = AirRepConfig(**size(tokenizer, **changes))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AirRepModel(config).eval()
    return AirRep(model, tokenizer)


def independent_embeddings(
    backbone: Any,
    tokenizer: Any,
    texts: list[str],
    *,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    pooling: str = "mean",
    normalize: bool = False,
    longest: int = 64,
) -> np.ndarray:
    """What the encoder should return, from a plain transformers model and NumPy in float64."""
    batch = tokenizer(
        texts, truncation=True, max_length=longest, padding=True, return_tensors="pt",
        return_token_type_ids=False,
    )  # fmt: skip
    with torch.no_grad():
        states = backbone(**batch).last_hidden_state.double().numpy()  # (B, L, H)
    mask = batch["attention_mask"].numpy()[:, :, None]  # (B, L, 1)
    pooled = states[:, 0] if pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
    projected = pooled if weight is None else pooled @ weight.astype(np.float64).T
    projected = projected if bias is None else projected + bias.astype(np.float64)
    return projected / np.linalg.norm(projected, axis=1, keepdims=True) if normalize else projected


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., AirRep]:
    """Build a tiny encoder in float32 with random weights: (seed, **config changes)."""
    return build_encoder


@pytest.fixture(scope="session")
def tiny() -> AirRep:
    """A tiny encoder with a projector (32 -> 24); treat it as read-only."""
    return build_encoder(projection_dim=24)


@pytest.fixture
def tiny_directory(tiny: AirRep, tmp_path: Path) -> Path:
    """The tiny encoder as a checkpoint of its own, to be damaged at will."""
    tiny.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture(scope="session")
def make_reading_model(make_lm, tmp_path_factory) -> Callable[..., AirRep]:
    """Build an encoder of a language model: (kind, *, tied, chat, texts to whiten by)."""
    from airrep.training.config import TrainConfig
    from airrep.training.loop import start_whitened
    from airrep.training.starting_point import starting_point

    def build(
        kind: str = "llama", *, tied: bool = False, chat: str | None = None,
        texts: list[str] | None = None, **settings: Any,
    ) -> AirRep:  # fmt: skip
        made = make_lm(kind, dtype=torch.float32)
        made.network.config.tie_word_embeddings = tied
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = type(made.network)(made.network.config)
        directory = tmp_path_factory.mktemp(kind)
        network.save_pretrained(directory)
        made.tokenizer.chat_template = chat
        made.tokenizer.save_pretrained(directory)
        encoder = starting_point(directory, **settings)
        if texts is not None:
            config = TrainConfig(dim=16, damping=0.1)
            start_whitened(encoder, encoder.features(texts), config)
        return encoder

    return build


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """Build the tiny tokenizer: (pad_id)."""
    return build_tokenizer


@pytest.fixture(scope="session")
def tiny_size() -> Callable[..., dict[str, Any]]:
    """Config values of a tiny model: (tokenizer, **changes)."""
    return size


@pytest.fixture(scope="session")
def reference() -> Callable[..., np.ndarray]:
    """See `independent_embeddings`."""
    return independent_embeddings


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Texts of 0 to 90 words: empty, around the padding steps, and cut."""
    draw = random.Random(0)
    lengths = [0, 1, 1, 2, 13, 14, 15, 29, 30, 31, 45, 60, 62, 63, 90] * 2
    return [" ".join(draw.choices(WORDS, k=length)) for length in lengths]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is a failure."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
