"""Embeddings in a file: headers that were damaged."""

from contextlib import suppress

import numpy as np
import pytest

from airrep.errors import CurateError, EmbeddingError
from airrep.shards.embedding_file import EmbeddingFile
from curate.stages.own_scores import own_scores


@pytest.mark.parametrize("bit", [0, 3, 6])
def test_a_bit_of_the_header_that_flips_is_an_error_of_ours_or_harmless(tmp_path, bit):
    file = tmp_path / "rows.npy"
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(file, values)
    content = file.read_bytes()
    refused = 0
    for at in range(len(content) - values.nbytes):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        refused += 1
        with suppress(EmbeddingError):
            assert EmbeddingFile(file).shape == (3, 4)
            refused -= 1
        with suppress(CurateError):  # and of nobody else's
            assert own_scores(file, (3, 4)).shape == (3, 4)
    assert refused > 30
