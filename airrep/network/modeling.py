"""The encoder network: a backbone, token pooling, a linear projector.

The backbone is a BERT-family sentence encoder, or the causal language model that will be
fine-tuned.

Shapes: B texts in a batch, L tokens (padded), H hidden size, D embedding size.
"""

# Annotations are evaluated here: `@strict` checks a config's values against them.

from sys import float_info
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    PreTrainedModel,
)
from transformers.models.auto import CONFIG_MAPPING

from airrep.console.wording import shown
from airrep.errors import CheckpointError
from airrep.network.gradient_pooling import GradientPooling
from airrep.network.token_pooling import (
    LANGUAGE_MODEL_POOLINGS,
    TOKEN_POOLINGS,
    PredictionPooling,
    feature_blocks,
    pool_states,
)
from airrep.template import TextTemplate


@strict
class AirRepConfig(BertConfig):
    """Everything that decides an embedding and a group score, pinned in the checkpoint.

    The released checkpoints carry BERT's own fields only; the defaults below describe them.

    Attributes:
        backbone: Config of a backbone that is not BERT (`{"model_type": "mpnet", …}`), or None.
        projection_dim: D; None means the backbone's hidden size.
        token_pooling: "mean", "cls", "segments" or "levels"; "prediction" or "gradient" for a
            language model (see `airrep.network.token_pooling`).
        normalize: Scale embeddings to unit length, so that scores are cosines.
        attention_scale: Inverse temperature of the attention over a group's scores.
        template: `TextTemplate` settings.
        separator: For a language model: what it reads between a prompt and a completion of text.
    """

    model_type = "airrep"

    backbone: dict[str, Any] | None = None
    projection_dim: int | None = None
    token_pooling: str = "mean"
    normalize: bool = False
    attention_scale: float | int = 1.0
    template: dict[str, Any] | None = None
    separator: str = "\n"

    def backbone_config(self) -> Any:  # noqa: ANN401 (one of transformers' config classes)
        """The config that builds the backbone."""
        if self.backbone is None:
            return self
        # in what it computes is decided when it is loaded
        values = {k: v for k, v in self.backbone.items() if k not in ("dtype", "torch_dtype")}
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
                f"{', '.join(TOKEN_POOLINGS)}."
            )
        if config.token_pooling not in ("mean", "cls") and not config.text_template().separable:
            raise CheckpointError(
                f"config.token_pooling {config.token_pooling!r} needs a template whose "
                "completion_prefix cannot be part of a prompt (one with a line break)."
            )
        if not 0 <= config.attention_scale <= float_info.max:  # integers can be larger
            raise CheckpointError(
                f"config.attention_scale is {shown(config.attention_scale, 40)}; expected a number "
                ">= 0."
            )
        # The attribute is called `bert` for every backbone: released weights are named so.
        backbone_config = config.backbone_config()
        # Only saves memory, and fails on batches that are no multiple of it.
        backbone_config.chunk_size_feed_forward = 0
        self.prediction: PredictionPooling | None = None
        self.gradient: GradientPooling | None = None
        if config.token_pooling in LANGUAGE_MODEL_POOLINGS:
            self.bert: nn.Module = AutoModelForCausalLM.from_config(backbone_config)
            if config.token_pooling == "gradient":
                self.gradient = GradientPooling(self.bert)
            else:
                self.prediction = PredictionPooling(
                    backbone_config.hidden_size, backbone_config.num_hidden_layers
                )
        elif config.backbone is None:
            self.bert = BertModel(backbone_config, add_pooling_layer=False)
        else:
            self.bert = without_pooler(AutoModel.from_config(backbone_config))
        features = sum(self.feature_blocks)
        dim = config.projection_dim or backbone_config.hidden_size
        self.projector = nn.Linear(features, dim)
        self.post_init()

    @property
    def feature_blocks(self) -> list[int]:
        """Widths of the parts of what the projector sees (see `airrep.network.token_pooling`)."""
        if self.gradient is not None:
            return [self.gradient.width]  # how long layers' gradients are is of one measure
        backbone = self.config.backbone_config()
        layers = backbone.num_hidden_layers
        return feature_blocks(self.config.token_pooling, backbone.hidden_size, layers)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Embed a padded batch.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 for tokens and 0 for padding.
            start: (B,) position of each completion's first token; only "mean" and "cls" do
                without.

        Returns:
            (B, D) float32.
        """
        return self.embed(self.features(input_ids, attention_mask, start))

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Features (B, F) to embeddings (B, D), float32, of length 1 if the config says so."""
        embeddings = self.project(features)
        return nn.functional.normalize(embeddings, dim=-1) if self.config.normalize else embeddings

    def features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the projector sees, (B, F) float32; see `forward`."""
        if start is None:
            start = torch.zeros(len(input_ids), dtype=torch.int64, device=input_ids.device)
        reading = self.prediction or self.gradient
        if reading is not None:
            found: torch.Tensor = reading(self.bert, input_ids, attention_mask, start)
            return found
        how = self.config.token_pooling
        seen = attention_mask if self.config.backbone else _for_all_queries(attention_mask)
        read = self.bert(
            input_ids=input_ids,
            attention_mask=seen,
            return_dict=True,
            output_hidden_states=how == "levels",
        )
        states = read.hidden_states if how == "levels" else [read.last_hidden_state]
        return pool_states(states, attention_mask, start, how)

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Features (B, F) to embeddings (B, D), float32, whose lengths are as they come."""
        # The projection is a sliver of the work; in float32 it costs no accuracy either.
        weight, bias = self.projector.weight.float(), self.projector.bias.float()
        return nn.functional.linear(features, weight, bias)


def _for_all_queries(mask: torch.Tensor) -> torch.Tensor | None:
    """(B, L) to (B, 1, 1, L), which BERT need not spread out over its queries; None for all ones.

    Attention is faster without a mask, and transformers drops one of ones, too.
    """
    return None if mask.all() else mask[:, None, None].bool()


def without_pooler(backbone: nn.Module) -> nn.Module:
    """The backbone less a pooling layer that nothing here uses (and that may be random)."""
    if hasattr(backbone, "pooler"):
        backbone.pooler = None
    return backbone


# So that `AutoModel.from_pretrained` and tokenizers know a checkpoint of ours when they see one.
AutoConfig.register(AirRepConfig.model_type, AirRepConfig, exist_ok=True)
AutoModel.register(AirRepConfig, AirRepModel, exist_ok=True)
