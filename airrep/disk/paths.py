"""Paths that users name, for what is read and what is written."""

from __future__ import annotations

from pathlib import Path

from airrep.errors import ArgumentError, OutputError


def user_path(given: str | Path, name: str) -> Path:
    """The path that a user means: a leading `~` stands for a home directory.

    Everything that a user names goes through here, whether it is read, written or loaded.

    Args:
        given: The path.
        name: Name of the argument, for messages.

    Raises:
        ArgumentError: It is empty, or `~` names a user who has no home directory here.
    """
    if str(given) == "":
        raise ArgumentError(
            f"{name}: expected a path, found an empty text. Name a path, or leave {name} out."
        )
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise ArgumentError(
            f"{name}: {str(given)!r} names a home directory that is not there ({error}). A file "
            f"whose name begins so is {'./' + str(given)!r}."
        ) from error


def not_ours(file: Path) -> OutputError:
    """The error for a file that stands where a result would go, and that no manifest lists."""
    return OutputError(
        f"{file}: already there, and not known to be a result of this library, so it is not "
        "replaced. Move it, or choose another output."
    )
