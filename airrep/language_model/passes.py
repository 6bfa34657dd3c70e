"""Examples through a causal language model, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from airrep.console.progress import bar
from airrep.console.wording import counted
from airrep.disk.digests import content_digest
from airrep.disk.parts import Rows, kept_rows
from airrep.errors import EmbeddingError
from airrep.language_model.batching import (
    LANGUAGE_MODEL_PASS_TOKENS,
    LARGE_MODEL_PARAMETERS,
    LARGE_MODEL_PASS_TOKENS,
    pad,
    plan_batches,
    plan_passes,
)
from airrep.language_model.model import LanguageModel
from airrep.language_model.token_losses import from_start
from airrep.language_model.tokens import Tokens
from airrep.language_model.weights import QuantizedLinear
from airrep.machine.arguments import check_count
from airrep.machine.hardware import check_dtype, dtype_named
from airrep.records import Example


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one padded length.

    Attributes:
        members: (at most B,) positions, among the tokens given, of the first rows; what rows come
            after them are copies that fill the pass, whose results are dropped.
        tokens: (B,) the rows' tokens.
        ids: (B, L) padded on the right, on the model's device.
        mask: (B, L) 1 where there is a token.
        trained: (B, L) true where a token counts in the loss.
    """

    members: npt.NDArray[np.int64]
    tokens: list[Tokens]
    ids: torch.Tensor
    mask: torch.Tensor
    trained: torch.Tensor


def check_options(dtype: str, tokens_per_batch: int) -> None:
    """Refuse what no pass can be made with.

    Raises:
        ArgumentError: `dtype` is unknown, or no token fits a batch.
    """
    check_dtype(dtype)
    check_count(tokens_per_batch, "tokens_per_batch")


def autocast(model: LanguageModel, dtype: str) -> torch.autocast:
    """Where the model's own arithmetic happens: bfloat16, or ("float32") that of its weights."""
    narrow = chosen_dtype(model, dtype) is torch.bfloat16
    return torch.autocast(model.network.device.type, dtype=torch.bfloat16, enabled=narrow)


@contextmanager
def weights_cast_once(model: LanguageModel, dtype: str) -> Iterator[None]:
    """Spare every pass the casts of the linear layers' weights that `autocast` makes.

    No bit of a product changes. Ask for the model's fingerprint before.
    """
    narrow = chosen_dtype(model, dtype) is torch.bfloat16
    kept = []
    try:
        for module in model.network.modules() if narrow else ():
            if type(module) in (nn.Linear, Conv1D) and module.weight.dtype is torch.float32:
                kept.append((module, module.weight))
                cast = module.weight.detach().to(torch.bfloat16)
                module.weight = nn.Parameter(cast, requires_grad=module.weight.requires_grad)
        yield
    finally:
        for module, weight in kept:
            module.weight = weight


def pass_tokens(network: PreTrainedModel) -> int:
    """Padded tokens of this model's passes on a CPU; the model alone decides."""
    return LARGE_MODEL_PASS_TOKENS if is_large(network) else LANGUAGE_MODEL_PASS_TOKENS


def is_large(network: PreTrainedModel) -> bool:
    """Whether the products, not the calls, are most of a pass: some 34 million weights or more."""
    count: int = network.base_model.num_parameters(exclude_embeddings=True)
    quantized = (each for each in network.modules() if isinstance(each, QuantizedLinear))
    count += sum(each.in_features * each.out_features for each in quantized)
    return count >= LARGE_MODEL_PARAMETERS


def chosen_dtype(model: LanguageModel, dtype: str) -> torch.dtype:
    """What a name stands for, "auto" where the model is."""
    return dtype_named(dtype, model.network.device)


def computed_in(model: LanguageModel, dtype: str) -> str:
    """The name of what a name stands for, "auto" where the model is."""
    return dtype if dtype != "auto" else str(chosen_dtype(model, dtype)).removeprefix("torch.")


def tokens_once(
    model: LanguageModel, examples: Sequence[Example]
) -> tuple[list[Tokens], npt.NDArray[np.int64]]:
    """Every different example's tokens, and which of them each example has.

    Computing on these, examples that are exactly alike get results that are exactly alike.
    """
    places: dict[tuple[int, ...], int] = {}
    different: list[Tokens] = []
    which = np.zeros(len(examples), dtype=np.int64)
    for i, tokens in enumerate(model.tokenize(examples)):
        which[i] = places.setdefault(_content(tokens), len(different))
        if which[i] == len(different):
            different.append(tokens)
    return different, which


def token_key(tokens: Tokens) -> bytes:
    """16 bytes, equal for equal tokens."""
    return bytes.fromhex(content_digest(np.array(_content(tokens)).tobytes()))


def _content(tokens: Tokens) -> tuple[int, ...]:
    """All that tokens are, as numbers; -1 stands before what is silent."""
    return (tokens.start, *tokens.ids, *((-1, *tokens.silent) if tokens.silent else ()))


def rows_of(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    width: int,
    what: Callable[[], str | None],
    dtype: npt.DTypeLike = np.float32,
) -> AbstractContextManager[Rows]:
    """An array (len(tokens), width) to fill, parts of which may be kept (see `airrep.disk.parts`).

    Args:
        model: What computes it.
        tokens: Tokens of the rows.
        width: Numbers of a row.
        what: All else that the numbers depend on; None if every row has to be computed.
        dtype: Dtype of the array.
    """

    def made_by() -> str | None:
        asked, size = what(), pass_tokens(model.network)
        shapes = f" pass {size}" * (size != LANGUAGE_MODEL_PASS_TOKENS)
        return asked and f"{asked} {model.fingerprint} {model.network.device.type}{shapes}"

    shape = (len(tokens), width)
    return kept_rows(made_by, lambda: [token_key(each) for each in tokens], shape, dtype)


def batches(
    model: LanguageModel,
    tokens: Sequence[Tokens],
    tokens_per_batch: int,
    progress: str = "",
    rows: Rows | None = None,
) -> Iterator[Batch]:
    """Passes of fixed shapes (see `airrep.language_model.batching`), with a bar if it has a name.

    Those whose rows were found are left out.
    """
    lengths, device = [len(t.ids) for t in tokens], model.network.device
    with bar(len(tokens), progress, shown=bool(progress)) as shown:
        for each in plan_passes(
            lengths,
            model.format.max_tokens,
            device,
            tokens_per_batch,
            pass_tokens=pass_tokens(model.network),
        ):
            if rows is not None and rows.find(each.members):
                shown.skip(len(each.members))
                continue
            yield _batch(model, each.members, [tokens[i] for i in each.filled()], each.length)
            shown.advance(len(each.members))


def training_batches(
    model: LanguageModel, tokens: Sequence[Tokens], tokens_per_batch: int
) -> Iterator[Batch]:
    """Batches for sums over all rows: a copy of a row would count.

    They are within the budget, and on a CPU no larger than the passes of `batches`.
    """
    lengths = [len(t.ids) for t in tokens]
    if model.network.device.type == "cpu":
        tokens_per_batch = min(tokens_per_batch, pass_tokens(model.network))
    for length, members in plan_batches(lengths, tokens_per_batch, model.format.max_tokens):
        yield _batch(model, members, [tokens[i] for i in members], length)


def _batch(
    model: LanguageModel, members: npt.NDArray[np.int64], tokens: list[Tokens], length: int
) -> Batch:
    device = model.network.device
    ids, mask = pad([t.ids for t in tokens], length, int(model.tokenizer.pad_token_id))
    trained = from_start(torch.tensor([t.start for t in tokens], dtype=torch.int64), length)
    for row, each in enumerate(tokens):
        trained[row, list(each.silent)] = False
    return Batch(members, tokens, ids.to(device), mask.to(device), trained.to(device))


def check_features(
    features: npt.NDArray[np.float32], examples: Sequence[Example], what: str
) -> None:
    """Refuse NaN and infinity, and name the example they come from.

    Raises:
        EmbeddingError: Some example's features are broken.
    """
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if broken.size:
        first = examples[broken[0]]
        raise EmbeddingError(
            f"{what}: NaN or infinity for {broken.size} of {counted(len(examples), 'example')}, "
            f"the first is {first.id!r} (row {first.row}). If it is all of them, the model's "
            "weights are broken."
        )
