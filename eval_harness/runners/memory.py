"""Memory of a fine-tuning run, known before it is taken.

With W weights, T of them trained (of LoRA, the adapters'), B weights of the blocks, A bytes of
activations a token, P padded tokens of a part of a batch, V tokens in the vocabulary:

    4·W                     the weights that every run starts from; 4·B more with LoRA, which is
                            merged into copies of these before losses are measured
    16·T                    a copy of what is trained, its gradient, and Adam's two moments
    2·W, or 2·B with LoRA   weights cast to bfloat16, where that is computed in
    A·P                     what the backward pass needs; A is read off the model's own forward
                            pass on tensors without contents
    16·256·V                logits of 256 tokens, and what becomes of them

and 0.7 times as much again, for what is short-lived and for the allocator's gaps, beside the
libraries and the compiler, if there is one. On a CPU it should be at least what is taken, and was
1.0 to 1.4 times that (docs/benchmarks.md).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, PreTrainedModel

from airrep.console.progress import announce
from airrep.errors import ArgumentError, RecordError
from airrep.gradients.memory import GAPS, LIBRARIES, as_gib, count_weights, saved_bytes
from airrep.language_model.blocks import last_blocks, transformer_blocks
from airrep.language_model.loading import find_checkpoint
from airrep.language_model.lora import adapted_layers
from airrep.language_model.model import count_tokens, network_config
from airrep.machine.hardware import default_device, dtype_named
from airrep.machine.memory import free_memory
from airrep.records import Example
from eval_harness.runners.base import check_blocks
from eval_harness.runners.direct import TOKENS_AT_ONCE
from eval_harness.runners.recipe import Recipe, Trainable
from eval_harness.runners.vocabulary import LOGITS_AT_ONCE

_COMPILER = 1536 << 20
_SMALLER = ("last:4", "lora:16", "last:1", "lora:4")  # what takes less, the most learning first
_WAYS = 5  # that are named
_LOOKED_AT = 16  # rows, those of the longest texts


@dataclass(frozen=True)
class TrainingMemory:
    """What a run takes, in bytes.

    Attributes:
        weights: The model as it is loaded, and its weights cast.
        training: Copies of what is trained, gradients, moments.
        activations: What the backward pass of a part of a batch needs, logits included.
        libraries: What the process takes beside the model.
    """

    weights: int
    training: int
    activations: int
    libraries: int

    @property
    def total(self) -> int:
        """All of it, with what is short-lived and the libraries."""
        return int(GAPS * (self.weights + self.training + self.activations)) + self.libraries


def training_memory(
    model: str | Path, trainable: str, *, longest: int, narrow: bool = True, compiled: bool = False
) -> TrainingMemory:
    """What the direct runner takes, by the formula above; nothing is loaded.

    Args:
        model: Directory, GGUF file or hub id.
        trainable: See `Recipe`.
        longest: Tokens of the longest row.
        narrow: Computed in bfloat16.
        compiled: With torch.compile.

    Raises:
        MissingInputError: No such model.
        ArgumentError: The model has not the blocks or layers that are to be trained.

    Example:
        >>> training_memory(model_directory, "all", longest=96).total < 2 * 2**30
        True
    """
    shape = _shape_of(str(find_checkpoint(model)), trainable, narrow)
    if trainable.startswith("lora"):
        weights = 4 * shape.weights + (4 + 2 * narrow) * shape.in_blocks
    else:
        weights = (4 + 2 * narrow) * shape.weights
    tokens = max(TOKENS_AT_ONCE, longest)
    activations = shape.activations * tokens + 16 * LOGITS_AT_ONCE * shape.vocabulary
    libraries = LIBRARIES + _COMPILER * compiled
    return TrainingMemory(weights, 16 * shape.trained, activations, libraries)


def peak_memory() -> int:
    """Bytes: the most that this process has held."""
    found = psutil.Process().memory_info()
    if hasattr(found, "peak_wset"):  # Windows
        return int(found.peak_wset)
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check_memory(
    model: str | Path,
    trainable: str,
    limit: int,
    *,
    longest: int,
    narrow: bool = True,
    compiled: bool = False,
) -> TrainingMemory:
    """Refuse a run that does not fit, and say what would.

    Args:
        model: See `training_memory`; as are the other arguments.
        trainable: See there.
        limit: Bytes that it may take.
        longest: See there.
        narrow: See there.
        compiled: See there.

    Raises:
        ArgumentError: It takes more than the limit.
    """
    needed = training_memory(model, trainable, longest=longest, narrow=narrow, compiled=compiled)
    if needed.total <= limit:
        return needed
    what = f"{trainable}, compiled," if compiled else trainable
    raise ArgumentError(
        f"{model}: training {what} takes about {as_gib(needed.total)} (weights "
        f"{as_gib(needed.weights)}, gradients and moments {as_gib(needed.training)}, activations "
        f"{as_gib(needed.activations)}), and the limit is {as_gib(limit)}. "
        f"{_ways(model, trainable, needed.total, limit, longest, narrow, compiled)}"
    )


def _ways(
    model: str | Path,
    trainable: str,
    needed: int,
    limit: int,
    longest: int,
    narrow: bool,
    compiled: bool,
) -> str:
    """What takes less memory: what fits, or if nothing does, the same without that promise."""
    smaller = [each for each in _SMALLER if each != trainable]
    asked = [(trainable, longest, "a run that is not compiled")] if compiled else []
    asked += [(other, longest, f"--trainable {other}") for other in smaller]
    if longest > TOKENS_AT_ONCE:
        cut = f"--max-tokens {TOKENS_AT_ONCE}"
        asked.append((trainable, TOKENS_AT_ONCE, cut))
        asked += [(other, TOKENS_AT_ONCE, f"--trainable {other} {cut}") for other in smaller]
    found: dict[str, int] = {}
    for other, tokens, way in asked:
        try:
            found[way] = training_memory(model, other, longest=tokens, narrow=narrow).total
        except ArgumentError:  # no blocks or layers of that kind
            continue
    fitting = [way for way, total in found.items() if total <= limit]
    less = [way for way, total in found.items() if total < needed]
    ways = [f"{way} takes {as_gib(found[way])}" for way in (fitting or less)[:_WAYS]]
    ways.append("a larger --memory-limit where more is free, or a smaller model")
    begin = "What would help"
    if fitting or less:
        begin = "What would fit" if fitting else "Less is taken by these, which do not fit either"
    return f"{begin}: {'; '.join(ways)}."


def check_fits(
    model: str | Path,
    examples: Sequence[Example],
    recipe: Recipe,
    max_tokens: int,
    limit: int | None = None,
    *,
    runner: str = "auto",
    compiled: bool = False,
    progress: bool = False,
) -> None:
    """Refuse runs that the direct runner has no memory for, before anything is loaded.

    Runs on a GPU, or of another runner, are not looked at.

    Args:
        model: Directory, GGUF file or hub id.
        examples: Rows that are trained on, or measured.
        recipe: How runs train.
        max_tokens: Longer rows are cut.
        limit: Bytes that a run may take; default `airrep.machine.memory.free_memory`.
        runner: See `eval_harness.runners.choice.choose_runner`.
        compiled: With torch.compile.
        progress: Say what a run takes.

    Raises:
        ArgumentError: They take more.
        MissingInputError: No such model.
    """
    device = default_device()
    if device.type != "cpu" or runner not in ("auto", "direct"):
        return
    texts = sorted(examples, key=lambda each: len(each.prompt) + len(each.completion))
    try:
        longest = max(count_tokens(model, texts[-_LOOKED_AT:], max_tokens=max_tokens))
    except RecordError:
        return  # it is said with its file and row when all rows are tokenized
    limit = free_memory() if limit is None else limit
    needed = check_memory(
        model,
        recipe.trainable,
        limit,
        longest=longest,
        narrow=dtype_named(recipe.precision, device) is torch.bfloat16,
        compiled=compiled,
    )
    taken = f"a run takes about {as_gib(needed.total)}, and may take {as_gib(limit)}"
    announce("memory", taken, shown=progress)


@dataclass(frozen=True)
class _Shape:
    weights: int
    in_blocks: int
    trained: int
    activations: int  # bytes a token
    vocabulary: int


@lru_cache
def _shape_of(directory: str, trainable: str, narrow: bool) -> _Shape:
    config = network_config(Path(directory))
    with FakeTensorMode():
        network = AutoModelForCausalLM.from_config(config).train()
        blocks = transformer_blocks(network)
        return _Shape(
            weights=count_weights(network.parameters()),
            in_blocks=count_weights(blocks[1].parameters()),
            trained=_trained(network, Trainable.parse(trainable)),
            activations=saved_bytes(network, narrow),
            vocabulary=network.get_output_embeddings().weight.shape[0],
        )


def _trained(network: PreTrainedModel, trainable: Trainable) -> int:
    if trainable.kind == "all":
        return count_weights(network.parameters())
    check_blocks(network, trainable)
    if trainable.kind == "last":
        return sum(
            count_weights(block.parameters()) for _, block in last_blocks(network, trainable.size)
        )
    name, blocks = transformer_blocks(network)
    layers = adapted_layers(blocks, name).values()
    return sum(trainable.size * (each.in_features + each.out_features) for each in layers)
