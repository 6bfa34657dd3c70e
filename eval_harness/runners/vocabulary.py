"""Training of the two layers that have a row for every token of the vocabulary.

Autograd would make a gradient of their whole size for every part of a batch, several times over:
zeros into which the embedding's few rows are added, a product for the head, a copy in float32, a
sum. Here the embedding's rows are added where they belong, the head's gradient is one product for
many tokens, and the logits are computed once, a block of tokens at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

LOGITS_AT_ONCE = 256  # tokens
_AGREEMENT = 2e-4  # of logits in float32, relative to their largest


class Vocabulary:
    """A model's embedding and head during the steps of its training."""

    def __init__(self, network: PreTrainedModel, dtype: torch.dtype) -> None:
        """Look the layers up.

        Args:
            network: `is_plain` is true of it.
            dtype: What products are computed in.
        """
        self._network, self._dtype = network, dtype
        self._embedding = network.get_input_embeddings()
        self._head = network.get_output_embeddings()
        self._narrow: torch.Tensor | None = None
        self._noted: list[tuple[torch.Tensor, torch.Tensor]] = []

    def backward(
        self, ids: torch.Tensor, mask: torch.Tensor, trained: torch.Tensor, count: int
    ) -> float:
        """Add the gradients of the losses of some rows to the weights', divided by `count`.

        Args:
            ids: (B, L) padded on the right.
            mask: (B, L) 1 where there is a token.
            trained: (B, L) true where a token counts.
            count: Tokens that count in the whole batch.

        Returns:
            The sum of the losses.
        """
        weight = self._embedding.weight
        with torch.no_grad():
            embedded = self._embedding(ids)
        embedded.requires_grad_(weight.requires_grad)
        states = self._network.base_model(
            inputs_embeds=embedded, attention_mask=mask, use_cache=False
        ).last_hidden_state
        predicting = trained[:, 1:]
        loss = _SummedLoss.apply(
            states[:, :-1][predicting], self._narrow_head(), ids[:, 1:][predicting], self._note
        )
        (loss / count).backward()
        if weight.requires_grad:
            scale = getattr(self._embedding, "embed_scale", 1.0)
            rows = mask.bool()
            if self._embedding.padding_idx is not None:  # its row is never trained as an input
                rows &= ids != self._embedding.padding_idx
            _gradient(weight).index_add_(0, ids[rows], (embedded.grad * scale)[rows].to(weight))
        self._add_noted(count, at_least=LOGITS_AT_ONCE)
        return float(loss.detach())

    def finish_batch(self, count: int) -> None:
        """Complete the gradients of a batch; the weights may change after it."""
        self._add_noted(count, at_least=1)
        if self._head.weight.requires_grad:
            self._narrow = None

    def _narrow_head(self) -> torch.Tensor:
        if self._narrow is None:
            self._narrow = self._head.weight.detach().to(self._dtype)
        return self._narrow

    def _note(self, states: torch.Tensor, of_logits: torch.Tensor) -> None:
        if self._head.weight.requires_grad:
            self._noted.append((states, of_logits))

    def _add_noted(self, count: int, *, at_least: int) -> None:
        if sum(len(states) for states, _ in self._noted) < at_least:
            return
        states, of_logits = (torch.cat(each) for each in zip(*self._noted, strict=True))
        _gradient(self._head.weight).add_(of_logits.T @ states, alpha=1 / count)
        self._noted.clear()


def is_plain(network: PreTrainedModel, ids: torch.Tensor) -> bool:
    """Whether `Vocabulary` knows all that the model does with its embedding and its head.

    Some models add a bias, or cap or scale their logits. Tried on one text in float32.

    Args:
        network: In float32.
        ids: (1, L) tokens.
    """
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()
    if not (isinstance(embedding, nn.Embedding) and isinstance(head, nn.Linear)):
        return False
    if head.bias is not None or embedding.max_norm is not None:
        return False
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            embedded = getattr(embedding, "embed_scale", 1.0) * embedding.weight[ids]
            expected = network(input_ids=ids, use_cache=False).logits
            states = network.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
            found = head(states)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    finally:
        network.train(training)
    if found.shape != expected.shape:
        return False
    return float((found - expected).abs().max()) <= _AGREEMENT * float(expected.abs().max())


class _SummedLoss(torch.autograd.Function):
    """Sum of the losses of tokens; its gradient is computed along with it."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        states: torch.Tensor,
        head: torch.Tensor,
        labels: torch.Tensor,
        note: Callable[[torch.Tensor, torch.Tensor], None],
    ) -> torch.Tensor:
        """States (N, D), head (V, D), labels (N,); `note` is told states and d loss / d logits."""
        total, gradients = torch.zeros((), device=states.device), []
        narrow = states.detach().to(head.dtype)
        blocks = zip(narrow.split(LOGITS_AT_ONCE), labels.split(LOGITS_AT_ONCE), strict=True)
        for block, expected in blocks:
            found = functional.log_softmax(block @ head.T, -1, dtype=torch.float32)
            where = expected[:, None]
            total -= found.gather(1, where).sum()
            probabilities = found.exp_()
            minus_one = torch.full_like(probabilities[:, :1], -1.0)
            of_logits = probabilities.scatter_add_(1, where, minus_one).to(head.dtype)
            gradients.append(of_logits @ head)
            note(block, of_logits)
        ctx.save_for_backward(torch.cat(gradients))
        ctx.dtype = states.dtype
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        """Of the states alone."""
        (of_states,) = ctx.saved_tensors
        return (gradient * of_states).to(ctx.dtype), None, None, None


def _gradient(weight: torch.Tensor) -> torch.Tensor:
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
