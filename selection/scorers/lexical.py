"""Word overlap: the baselines that cost nothing, and that many methods do not beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer

from airrep.errors import ArgumentError
from airrep.records import Example
from selection.scorers.base import described
from selection.scorers.flat_scores import check_flat
from selection.scores import BlockScores, DenseScores, Scores
from selection.words import words

_COSINE_SCALE = 5.0  # cosines and BM25 shares lie in [0, 1]: as for normalized embeddings


@dataclass(frozen=True)
class TfidfScorer:
    """Cosine of TF-IDF vectors; the vocabulary and its weights come from the pool."""

    name = "tfidf"
    embeds = False

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`."""
        vectorizer = TfidfVectorizer(analyzer=_words, sublinear_tf=True, dtype=np.float32)
        try:
            rows = vectorizer.fit_transform(pool)
        except ValueError as error:  # "empty vocabulary"
            raise ArgumentError(f"tfidf: the pool holds no words to compare ({error}).") from error
        queries = vectorizer.transform(targets)

        def block(start: int, stop: int) -> npt.NDArray[np.float32]:
            return np.asarray((queries @ rows[start:stop].T).todense(), dtype=np.float32)

        return _checked(BlockScores(block, **described(self, targets, pool, _COSINE_SCALE)), pool)


@dataclass(frozen=True)
class Bm25Scorer:
    """BM25 (Lucene's variant) with the target as query, divided by the query's best score.

    BM25 grows with the length of the query; the division puts targets on one scale, so that no
    target outweighs the others by its length alone.
    """

    name = "bm25"
    embeds = False

    def score(self, targets: Sequence[Example], pool: Sequence[Example]) -> Scores:
        """See `Scorer.score`. The scores (T, N) are computed at once."""
        rows = [_words(example) for example in pool]
        if not any(rows):
            raise ArgumentError("bm25: the pool holds no words to compare.")
        index = bm25s.BM25(method="lucene")
        index.index(rows, show_progress=False)
        scores = np.zeros((len(targets), len(pool)), dtype=np.float32)
        for x, target in enumerate(targets):
            known = [word for word in _words(target) if word in index.vocab_dict]
            if known:
                scores[x] = index.get_scores(known)
        scores /= np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return _checked(DenseScores(scores, **described(self, targets, pool, _COSINE_SCALE)), pool)


def _words(example: Example) -> list[str]:
    """The words of prompt and completion; a template's own would be in every row."""
    return words(example.prompt) + words(example.completion)


def _checked(scores: Scores, pool: Sequence[Example]) -> Scores:
    return check_flat(
        scores,
        pool,
        "no word tells one row from another",
        "Give targets in the language of the pool and on its subjects, or take a scorer that "
        'compares meanings: scorer="airrep", with a multilingual encoder= where languages differ.',
        of_words=True,
    )
