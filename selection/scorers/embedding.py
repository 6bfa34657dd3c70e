"""Inner products of embeddings: AirRep, or any sentence encoder as a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from airrep.engines import Engine
from airrep.errors import ArgumentError, EmbeddingError
from airrep.records import Example
from airrep.store import EmbeddingStore, FingerprintedEncoder, StoredEmbeddings
from airrep.template import TextTemplate
from selection.scorers.base import described, read_with
from selection.scores import EmbeddingRows, EmbeddingScores, Scores


class Encoder(Protocol):
    """Anything that turns texts into vectors: an `AirRep`, a `SentenceTransformer`, others."""

    def encode(self, texts: Any, /) -> Any:  # noqa: ANN401 (arrays and tensors alike)
        """Texts to (len(texts), D)."""
        ...


@dataclass(frozen=True)
class EmbeddingScorer:
    """Scores <Enc(target), Enc(row)>, raw: no normalization but the encoder's own.

    Attributes:
        encoder: The encoder. One with a `template` and an `attention_scale` (an AirRep) brings
            its own; others get the default template and scale 1.
        store: Where pool embeddings are kept and found again; None keeps them in memory.
        name: What reports call this scorer.
        options: Passed on to `encoder.encode` for the pool (`progress`, batch sizes).
        engine: Who encodes the pool into the store, and computes scores; None: this process, with
            those of its launcher, and each computes all scores.
    """

    encoder: Encoder
    store: EmbeddingStore | None = None
    name: str = "airrep"
    options: Mapping[str, Any] = field(default_factory=dict)
    engine: Engine | None = None

    @property
    def dim(self) -> int | None:
        """Embedding size, of 4 bytes each; None if the encoder does not tell."""
        return getattr(self.encoder, "dim", None)

    @property
    def selector(self) -> str:
        """See `selection.selectors.default_selector`; what other encoders learned is not known."""
        return "herding" if isinstance(self.encoder, FingerprintedEncoder) else "layered_greedy"

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`. Raises EmbeddingError if the encoder returns something broken."""
        if self.store is None:
            rows: EmbeddingRows = self._encode(pool, **self.options)
        elif isinstance(self.encoder, FingerprintedEncoder):
            rows = self.store.embed(pool, self.encoder, engine=self.engine, **self.options)
        else:
            raise ArgumentError(
                f"{self.name}: a store needs an encoder with a fingerprint, as AirRep has; "
                f"{type(self.encoder).__name__} has none. Leave out the store."
            )
        # Of another library's encoder, every process has embeddings of its own making.
        shared = self.engine if isinstance(self.encoder, FingerprintedEncoder) else None
        scale = float(getattr(self.encoder, "attention_scale", 1.0))
        made = described(self, targets, pool, scale, self._provenance(rows))
        return EmbeddingScores(self._encode(targets), rows, workers=shared, **made)

    def _provenance(self, rows: EmbeddingRows) -> list[dict[str, Any]]:
        """What is known of the encoder; nothing of another library's."""
        encoder = self.encoder
        if not isinstance(encoder, FingerprintedEncoder):
            return []
        counts = {"encoded": rows.shape[0]}
        if isinstance(rows, StoredEmbeddings):
            counts = {n: getattr(rows, n) for n in ("encoded", "reused", "changed")}
        return read_with(self.name, encoder.name, encoder.fingerprint, encoder.precision, **counts)

    def _encode(self, examples: Sequence[Example], **options: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401
        template = getattr(self.encoder, "template", None)
        render = (template if isinstance(template, TextTemplate) else TextTemplate()).render
        texts = [render(example) for example in examples]
        embeddings = np.asarray(self.encoder.encode(texts, **options), dtype=np.float32)
        if embeddings.ndim != 2 or len(embeddings) != len(texts):
            raise EmbeddingError(
                f"{self.name}: expected embeddings ({len(texts)}, D), found {embeddings.shape}."
            )
        return embeddings
