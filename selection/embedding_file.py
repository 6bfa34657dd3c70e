"""Embeddings of your own in one .npy file: how `ScoreMatrix.from_embeddings` reads them."""

from airrep.shards.embedding_file import EmbeddingFile

__all__ = ["EmbeddingFile"]
