"""The first bytes of a file, where they say that it is not what its name promises."""

from __future__ import annotations

from pathlib import Path

from airrep.errors import FileFormatError

MOST = 1024  # bytes that tell
_LFS = b"version https://git-lfs.github.com/spec/"
_PACKED = {
    b"\x1f\x8b": ("gzip", ".gz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", ".zst"),
    b"BZh": ("bzip2", ".bz2"),
    b"\xfd7zXZ\x00": ("xz", ".xz"),
}
_WIDE = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")


def check_download(head: bytes, path: Path) -> None:
    """Refuse what was downloaded in place of the file: a Git LFS pointer, a web page.

    Args:
        head: The file's first bytes as they lie there.
        path: The file.

    Raises:
        FileFormatError: It is one of these.
    """
    if head.startswith(_LFS):
        raise FileFormatError(
            "this is a Git LFS pointer, not the file that it stands for",
            where=path,
            remedy="Download the file itself, with `git lfs pull` for instance",
        )
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_MARKUP):
        raise FileFormatError(
            "this is a web page (HTML or XML), not rows",
            where=path,
            remedy="Download the file itself: such a page asks for a login, or shows the file",
        )


def check_text(head: bytes, name: str) -> None:
    """Refuse what is no text in UTF-8: packed files, Parquet, UTF-16 and UTF-32.

    Args:
        head: The first bytes, unpacked if the file's name says that it is packed.
        name: What the file is called.

    Raises:
        FileFormatError: It is one of these.
    """
    for magic, (packer, suffix) in _PACKED.items():
        if head.startswith(magic):
            raise FileFormatError(
                f"this is packed by {packer}, and its name does not say so",
                where=name,
                remedy=f"Let its name end with {suffix}, or unpack it",
            )
    if head.startswith(b"PAR1"):
        raise FileFormatError(
            "this is a Parquet file", where=name, remedy="Let its name end with .parquet"
        )
    if encoding := _wide_encoding(head):
        raise FileFormatError(
            f"this is text in {encoding}; expected UTF-8", where=name, remedy="Save it as UTF-8"
        )


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark, or by the zero bytes of a first ASCII letter."""
    marked = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if marked or len(head) < 4:
        return marked
    zeros = [byte == 0 for byte in head[:4]]
    if zeros in ([False, True, True, True], [True, True, True, False]):
        return "UTF-32"
    return "UTF-16" if zeros in ([False, True] * 2, [True, False] * 2) else None
