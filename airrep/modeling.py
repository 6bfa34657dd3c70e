"""The encoder network: a BERT-family backbone, token pooling, a linear projector.

Shapes: B texts in a batch, L tokens (padded), H hidden size, D embedding size.
"""

# Annotations are evaluated here: `@strict` checks a config's values against them.

from math import inf
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, PreTrainedModel
from transformers.models.auto import CONFIG_MAPPING

from airrep.batching import BUCKET
from airrep.errors import CheckpointError
from airrep.template import TextTemplate

TOKEN_POOLINGS = ("mean", "cls")


@strict
class AirRepConfig(BertConfig):
    """Everything that decides an embedding and a group score, pinned in the checkpoint.

    The released checkpoints carry BERT's own fields only; the defaults below describe them.

    Attributes:
        backbone: Config of a backbone that is not BERT (`{"model_type": "mpnet", …}`), or None.
        projection_dim: D; None means the backbone's hidden size.
        token_pooling: "mean" over all tokens, or the first token's state ("cls").
        normalize: Scale embeddings to unit length, so that scores are cosines.
        attention_scale: Inverse temperature of the attention over a group's scores.
        template: `TextTemplate` settings.
    """

    model_type = "airrep"

    backbone: dict[str, Any] | None = None
    projection_dim: int | None = None
    token_pooling: str = "mean"
    normalize: bool = False
    attention_scale: float | int = 1.0
    template: dict[str, Any] | None = None

    def backbone_config(self) -> Any:  # noqa: ANN401 (one of transformers' config classes)
        """The config that builds the backbone."""
        if self.backbone is None:
            return self
        values = dict(self.backbone)
        model_type = values.pop("model_type", None)
        if model_type not in CONFIG_MAPPING:
            raise CheckpointError(f"config.backbone has the unknown model_type {model_type!r}.")
        return CONFIG_MAPPING[model_type](**values)

    def text_template(self) -> TextTemplate:
        """The template this checkpoint was made with."""
        return TextTemplate.from_dict(self.template or {})


class AirRepModel(PreTrainedModel):
    """Token ids (B, L) to embeddings (B, D), float32 whatever the backbone computes in."""

    config_class = AirRepConfig
    base_model_prefix = "airrep"
    _supports_sdpa = True

    def __init__(self, config: AirRepConfig) -> None:
        super().__init__(config)
        if config.token_pooling not in TOKEN_POOLINGS:
            raise CheckpointError(
                f"config.token_pooling is {config.token_pooling!r}; this version knows "
                f"{' and '.join(TOKEN_POOLINGS)}."
            )
        if not 0 <= config.attention_scale < inf:
            raise CheckpointError(
                f"config.attention_scale is {config.attention_scale}; expected a number >= 0."
            )
        # The attribute is called `bert` for every backbone: released weights are named so.
        backbone_config = config.backbone_config()
        if config.backbone is None:
            self.bert: nn.Module = BertModel(backbone_config, add_pooling_layer=False)
        else:
            self.bert = without_pooler(AutoModel.from_config(backbone_config))
        hidden = backbone_config.hidden_size
        self.projector = nn.Linear(hidden, config.projection_dim or hidden)
        self.post_init()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embed a padded batch.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 for tokens and 0 for padding.

        Returns:
            (B, D) float32.
        """
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = pool_tokens(states, attention_mask, self.config.token_pooling)  # (B, H)
        # The projection is a sliver of the work; in float32 it costs no accuracy either. A product
        # with one row, or a few, may sum in another order than with many: fill up to a bucket.
        weight, bias = self.projector.weight.float(), self.projector.bias.float()
        rows = nn.functional.pad(pooled, (0, 0, 0, -len(pooled) % BUCKET))
        embeddings = nn.functional.linear(rows, weight, bias)[: len(pooled)]  # (B, D)
        if self.config.normalize:
            embeddings = nn.functional.normalize(embeddings, dim=-1)
        return embeddings


def without_pooler(backbone: nn.Module) -> nn.Module:
    """The backbone less a pooling layer that nothing here uses (and that may be random)."""
    if hasattr(backbone, "pooler"):
        backbone.pooler = None
    return backbone


def pool_tokens(states: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """Hidden states (B, L, H) to one vector per text (B, H), in float32."""
    if how == "cls":
        return states[:, 0].float()
    weights = mask.unsqueeze(-1).float()  # (B, L, 1)
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)


# So that `AutoModel.from_pretrained` and tokenizers know a checkpoint of ours when they see one.
AutoConfig.register(AirRepConfig.model_type, AirRepConfig, exist_ok=True)
AutoModel.register(AirRepConfig, AirRepModel, exist_ok=True)
