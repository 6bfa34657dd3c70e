"""Digests of models: equal means equal outputs for equal inputs."""

from __future__ import annotations

import json
from hashlib import blake2b

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from airrep.language_model.batching import GEOMETRY

_VOLATILE_CONFIG = ("transformers_version", "dtype", "architectures")
_VOLATILE_TOKENIZER = ("truncation", "padding")  # set anew at every call


def model_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of config, tokenizer, weights, their dtype, and the shapes of passes."""
    digest = blake2b(GEOMETRY.encode(), digest_size=16)
    config = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_")}
    for volatile in _VOLATILE_CONFIG:
        config.pop(volatile, None)
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    for volatile in _VOLATILE_TOKENIZER:
        described.pop(volatile, None)
    digest.update(json.dumps(described, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
