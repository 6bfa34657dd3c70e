"""Word overlap: the baselines that cost nothing, and that many methods do not beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import bm25s
import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer

from airrep.errors import ArgumentError
from airrep.records import Example
from airrep.template import TextTemplate
from selection.scorers.base import described
from selection.scores import BlockScores, DenseScores, Scores

_WORD = r"(?u)\b\w+\b"
_COSINE_SCALE = 5.0  # cosines and BM25 shares lie in [0, 1]: as for normalized embeddings


@dataclass(frozen=True)
class TfidfScorer:
    """Cosine of TF-IDF vectors; the vocabulary and its weights come from the pool."""

    template: TextTemplate = field(default_factory=TextTemplate)
    name = "tfidf"
    embeds = False

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""
        vectorizer = TfidfVectorizer(token_pattern=_WORD, sublinear_tf=True, dtype=np.float32)
        try:
            rows = vectorizer.fit_transform(self.template.render(e) for e in pool)
        except ValueError as error:  # "empty vocabulary"
            raise ArgumentError(f"tfidf: the pool holds no words to compare ({error}).") from error
        queries = vectorizer.transform(self.template.render(e) for e in targets)

        def block(start: int, stop: int) -> npt.NDArray[np.float32]:
            return np.asarray((queries @ rows[start:stop].T).todense(), dtype=np.float32)

        return BlockScores(block, **described(self, targets, pool, _COSINE_SCALE))


@dataclass(frozen=True)
class Bm25Scorer:
    """BM25 (Lucene's variant) with the target as query, divided by the query's best score.

    BM25 grows with the length of the query; the division puts targets on one scale, so that no
    target outweighs the others by its length alone.
    """

    template: TextTemplate = field(default_factory=TextTemplate)
    name = "bm25"
    embeds = False

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`. The scores (T, N) are computed at once."""
        rows = self._tokens(pool)
        if not any(rows):
            raise ArgumentError("bm25: the pool holds no words to compare.")
        index = bm25s.BM25(method="lucene")
        index.index(rows, show_progress=False)
        scores = np.zeros((len(targets), len(pool)), dtype=np.float32)
        for x, words in enumerate(self._tokens(targets)):
            known = [word for word in words if word in index.vocab_dict]
            if known:
                scores[x] = index.get_scores(known)
        scores /= np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return DenseScores(scores, **described(self, targets, pool, _COSINE_SCALE))

    def _tokens(self, examples: Sequence[Example]) -> list[list[str]]:
        texts = [self.template.render(e) for e in examples]
        split = bm25s.tokenize(
            texts, token_pattern=_WORD, stopwords=None, return_ids=False, show_progress=False
        )
        return [list(words) for words in split]
