"""The formats of files of rows; light, because the command line asks for them first."""

from __future__ import annotations

from typing import Literal, TypeAlias

FileFormat: TypeAlias = Literal["parquet", "jsonl"]
