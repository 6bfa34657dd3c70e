"""Checksums of files and bytes, as 32 letters: those of everything the library writes."""

from __future__ import annotations

import hashlib
from hashlib import blake2b
from pathlib import Path

_SIZE = 16  # bytes; against accidents, not against somebody who means harm


def content_digest(*parts: bytes | memoryview) -> str:
    """Digest of bytes laid end to end."""
    digest = blake2b(digest_size=_SIZE)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Digest of a file's bytes, read in pieces.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: blake2b(digest_size=_SIZE)).hexdigest()
