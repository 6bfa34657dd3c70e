"""The formats of rows and of files of rows; light, because the command line asks for them first."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeGuard, get_args

FileEnding: TypeAlias = Literal["parquet", "jsonl"]
TrainerFormat: TypeAlias = Literal["openai", "sharegpt", "alpaca"]
RowFormat: TypeAlias = Literal["trl", "openai", "sharegpt", "alpaca"]
FileFormat: TypeAlias = Literal["parquet", "jsonl", "openai", "sharegpt", "alpaca"]

ENDINGS: tuple[FileEnding, ...] = get_args(FileEnding)


def is_of_trainer(format: FileFormat | RowFormat) -> TypeGuard[TrainerFormat]:  # noqa: A002
    """Whether it is the format of a trainer other than TRL's."""
    return format in get_args(TrainerFormat)


def ending_of(format: FileFormat) -> FileEnding:  # noqa: A002 (the field's own word)
    """How the names of files of this format end."""
    return "parquet" if format == "parquet" else "jsonl"
