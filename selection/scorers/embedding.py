"""Inner products of embeddings: AirRep, or any sentence encoder as a baseline."""

from __future__ import annotations

import warnings
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
from selection.scorers.flat_scores import check_flat
from selection.scores import EmbeddingRows, EmbeddingScores, Scores

_SAMPLE = 1024  # rows whose tokens are looked at: the same ones, whoever encodes, store or not
MANY_UNKNOWN, MOST_UNKNOWN = 0.05, 0.5
OTHERS = (
    'scorer="tfidf" or "bm25", which read any script, or a multilingual encoder= such as '
    "intfloat/multilingual-e5-small or "
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
)


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
        """See `Scorer.score`.

        Raises:
            EmbeddingError: The encoder returns something broken.
            ArgumentError: It does not know most of the tokens, or tells no row from another. Where
                it does not know some, or for some targets, there is a warning.
        """
        unknown = self._unknown(targets, pool)
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
        made = described(self, targets, pool, scale, self._provenance(rows, unknown))
        scores = EmbeddingScores(self._encode(targets), rows, workers=shared, **made)
        return check_flat(
            scores, pool, f"{self._reader} tells none of them from another", f"Take {OTHERS}."
        )

    @property
    def _reader(self) -> str:
        """What messages call the encoder."""
        return str(getattr(self.encoder, "name", type(self.encoder).__name__))

    def _unknown(self, targets: Sequence[Example], pool: Sequence[Example]) -> dict[str, float]:
        """Share of unknown tokens of pool and targets, of evenly spaced rows; {} if not known.

        Raises:
            ArgumentError: Most are unknown.
        """
        found = unknown_shares(self.encoder, targets, pool)
        if not found:
            return {}
        name = max(found, key=lambda each: found[each])
        unread = f"{found[name]:.0%} of the tokens of the {name} are unknown to {self._reader}"
        if found[name] > MOST_UNKNOWN:
            raise ArgumentError(
                f"{self.name}: {unread}, which cannot tell such texts apart. Take {OTHERS}."
            )
        if found[name] > MANY_UNKNOWN:
            warnings.warn(
                f"{self.name}: {unread}, which reads such texts badly. Better: {OTHERS}.",
                stacklevel=3,
            )
        return found

    def _provenance(self, rows: EmbeddingRows, unknown: dict[str, float]) -> list[dict[str, Any]]:
        """What is known of the encoder; nothing of another library's."""
        encoder = self.encoder
        if not isinstance(encoder, FingerprintedEncoder):
            return []
        counts: dict[str, Any] = {"encoded": rows.shape[0]}
        if isinstance(rows, StoredEmbeddings):
            counts = {n: getattr(rows, n) for n in ("encoded", "reused", "changed")}
        if unknown:
            counts["unknown"] = unknown
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


def unknown_shares(
    encoder: Encoder, targets: Sequence[Example], pool: Sequence[Example]
) -> dict[str, float]:
    """Share of unknown tokens of pool and targets, of evenly spaced rows; {} if not known."""
    share = getattr(encoder, "unknown_share", None)
    if share is None:
        return {}
    found = {}
    for name, examples in (("pool", pool), ("targets", targets)):
        places = np.linspace(0, len(examples) - 1, min(len(examples), _SAMPLE)).astype(int)
        found[name] = round(share([examples[i] for i in places.tolist()]), 4)
    return found
