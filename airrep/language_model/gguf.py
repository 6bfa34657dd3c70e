"""Language models in GGUF files, whose weights transformers makes whole while it reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import quantization_config

from airrep.console.wording import shortened
from airrep.errors import CheckpointError, CurateError
from airrep.machine.extras import import_extra

GGUF = ".gguf"
_MAGIC = b"GGUF"


def is_gguf(place: Path) -> bool:
    """Whether a path names a GGUF file, and not a directory."""
    return place.suffix == GGUF and not place.is_dir()


def local_files(place: Path) -> dict[str, Any]:
    """What every `from_pretrained` is given: a directory or a GGUF file; no hub, no code."""
    where: dict[str, Any] = {"pretrained_model_name_or_path": place}
    if is_gguf(place):
        where = {"pretrained_model_name_or_path": place.parent, "gguf_file": place.name}
    return {**where, "local_files_only": True, "trust_remote_code": False}


def read_gguf_config(file: Path) -> PreTrainedConfig:
    """The config that transformers makes of a GGUF file.

    Raises:
        ArgumentError: The package gguf is not installed.
        CheckpointError: The file is no GGUF file, is damaged, or has an architecture that
            transformers cannot read.
    """
    with reading(file):
        there = file.stat()
        return deepcopy(_config(file, there.st_size, there.st_mtime_ns))


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Have transformers read a GGUF file without a bar, and say what is wrong with it.

    A directory is left to the caller.

    Raises:
        ArgumentError: See `read_gguf_config`.
        CheckpointError: See there.
    """
    if not is_gguf(file):
        yield
        return
    import_extra("gguf", package="gguf", extra="gguf", purpose=f"{file}: a GGUF file")
    try:
        with file.open("rb") as opened:
            whole = opened.read(len(_MAGIC)) == _MAGIC
        if not whole:
            raise CheckpointError(
                f"{file}: not a GGUF file, because it does not begin with 'GGUF'."
            )
        with _no_bar():
            yield
    except CurateError:
        raise
    except Exception as error:  # damaged files raise many kinds
        # of bytes that are no text, transformers says that they are no JSON
        found = error.__context__ if isinstance(error, OSError) and error.__context__ else error
        reason = shortened(found, 300) or type(found).__name__
        if "architecture" in reason:
            raise CheckpointError(
                f"{file}: transformers does not read GGUF files of this architecture ({reason}). "
                "Give a directory with the model's safetensors instead."
            ) from error
        raise CheckpointError(
            f"{file}: the GGUF file is damaged or cut off ({reason}). Fetch it again."
        ) from error


def made_whole() -> dict[str, Any]:
    """What `from_pretrained` is given so that all weights of a GGUF file are made whole."""
    settings = getattr(quantization_config, "GgufConfig", None)  # older versions always do so
    return {} if settings is None else {"quantization_config": settings(dequantize=True)}


def made_plain(network: PreTrainedModel) -> None:
    """Remove what says that a network was quantized, so that it is saved and trained as others."""
    quantizer = getattr(network, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(network)


def own_tokens(tokenizer: PreTrainedTokenizerBase, count: int) -> None:
    """Remove the tokens that the class of a tokenizer adds to those of a GGUF file.

    There are no embeddings for them: a Llama 3 has no `<|endoftext|>`, which GPT-2's class has.

    Args:
        tokenizer: What transformers made of the file; changed in place.
        count: How many tokens the file has.
    """
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = [token for token in described["added_tokens"] if token["id"] < count]
    if len(kept) < len(described["added_tokens"]):
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps({**described, "added_tokens": kept}))


@contextmanager
def _no_bar() -> Iterator[None]:
    """Hide the bar of transformers' reader, which has no option for that."""
    try:
        from transformers import modeling_gguf_pytorch_utils as reader
    except ImportError:  # a version that reads all files in its newer way, which shows none
        yield
        return
    shown = reader.tqdm
    reader.tqdm = partial(shown, disable=True)
    try:
        yield
    finally:
        reader.tqdm = shown


@lru_cache(maxsize=4)
def _config(file: Path, size: int, changed: int) -> PreTrainedConfig:
    """Reading takes seconds for a large vocabulary; size and time tell a file that was replaced."""
    return AutoConfig.from_pretrained(**local_files(file))
