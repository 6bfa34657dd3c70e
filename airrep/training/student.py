"""The network in training: a base, looked up or computed, and a matrix on top of it.

The matrix acts on the output of the projector that training starts from, whose directions are
uncorrelated, so that one learning rate fits all of its entries. In the end it is multiplied into
the projector.

Shapes: n texts, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import reduce
from torch import nn

from airrep.encoder import AirRep
from airrep.language_model.batching import plan_batches
from airrep.machine.hardware import fastest_dtype
from airrep.machine.processes import process_group, processes, rank
from airrep.training.cached_gradients import Positions
from airrep.training.config import TrainConfig

_ROWS_AT_ONCE = 8192  # of a cached base


class Student(nn.Module):
    """Texts by number to embeddings whose inner products are scale · the encoder's.

    Attributes:
        matrix: (D, D), from the identity.
        log_scale: Logarithm of the scale of the scores.
    """

    def __init__(
        self,
        encoder: AirRep,
        texts: Sequence[str],
        config: TrainConfig,
        features: npt.NDArray[np.float32] | None,
    ) -> None:
        """`features` (n, F) of the texts, for a backbone that stays as it is; None trains it."""
        super().__init__()
        self._encoder = encoder
        self._budget = config.tokens_per_batch
        self.matrix = nn.Parameter(torch.eye(encoder.dim))
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(config.scale))))
        if features is None:
            self._base = None
            self._tokens = encoder.reader.tokens(texts)
            self.backbone = encoder.model.bert
        else:
            with torch.no_grad():
                given = torch.from_numpy(features).to(encoder.model.device)
                self._base = encoder.model.project(given)
        self.to(encoder.model.device)

    def chunks(self, numbers: Positions) -> list[Positions]:
        """Positions in `numbers` of texts to encode together."""
        if self._base is not None:
            places = np.arange(len(numbers))
            return [places[i : i + _ROWS_AT_ONCE] for i in range(0, len(places), _ROWS_AT_ONCE)]
        lengths = [len(self._tokens[i].ids) for i in numbers]
        longest = self._encoder.reader.longest
        return [members for _, members in plan_batches(lengths, self._budget, longest)]

    def forward(self, numbers: Positions) -> torch.Tensor:
        """(len(numbers), D), of texts that are one of the `chunks`."""
        if self._base is not None:
            base = self._base[torch.from_numpy(numbers)]
        else:
            tokens = [self._tokens[i] for i in numbers]
            lengths = [len(t.ids) for t in tokens]
            longest = self._encoder.reader.longest
            length = plan_batches(lengths[:1], self._budget, longest)[0][0]  # all pad alike
            device = self._encoder.model.device
            narrow = fastest_dtype(device) is torch.bfloat16
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=narrow):
                features = self._encoder.model.features(*self._encoder.batch(tokens, length))
            base = self._encoder.model.project(features.float())
        embeddings = base @ self.matrix
        if self._encoder.model.config.normalize:
            embeddings = nn.functional.normalize(embeddings, dim=-1)
        return embeddings * torch.exp(self.log_scale / 2)

    def embed(self, numbers: Positions) -> torch.Tensor:
        """(len(numbers), D) without a graph, of any number of texts; processes share the work."""
        made = torch.zeros(len(numbers), len(self.matrix))
        with torch.no_grad():
            for chunk in self.chunks(numbers)[rank() :: processes()]:
                made[torch.from_numpy(chunk)] = self(numbers[chunk]).cpu()
        if processes() > 1:
            # Every row is zero on all processes but one, so the sum is exact.
            made = reduce(made.to(process_group().device), reduction="sum").cpu()
        return made

    def fold(self) -> None:
        """Give the encoder's projector what was learned."""
        model = self._encoder.model
        projector, matrix = model.projector, self.matrix.to(model.projector.weight)
        with torch.no_grad():
            projector.bias.copy_(projector.bias @ matrix)
            projector.weight.copy_(matrix.T @ projector.weight)
        model.config.attention_scale = float(self.log_scale.detach().exp())
