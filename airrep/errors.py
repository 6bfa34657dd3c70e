"""The one error family.

    CurateError
    ├── ArgumentError (ValueError)        an argument that cannot be right
    ├── RecordError (ValueError)          a row that cannot be read as an example
    ├── MissingInputError (FileNotFoundError)  a path or dataset that is not there
    ├── FileFormatError (ValueError)      a file that cannot be parsed
    ├── CheckpointError (ValueError)      weights or config that do not fit together
    ├── EmbeddingError (ValueError)       NaN, infinite or wrongly shaped embeddings or scores
    ├── StoreError (RuntimeError)         an embedding store that is damaged or another model's
    ├── LossError (ArithmeticError)       a loss that is NaN or infinite
    ├── SupervisionError (RuntimeError)   losses that do not belong to their plan, pool or model
    └── OutputError (OSError)             a result that could not be written

Each is also the builtin that fits, so callers need not know this module. A message says what was
expected, what was found, where, and what to do about it. Code that shows an error in another place,
or raises another one, uses its attributes and never takes the message apart.
"""

from __future__ import annotations

import json
from typing import Self


class CurateError(Exception):
    """Base of every error raised on purpose by this project.

    Attributes:
        problem: What was expected and what was found.
        where: The file, row or setting; None if the problem names it.
        remedy: What to do about it; None if the problem says that as well.

    Example:
        >>> print(FileFormatError("damaged", where="runs/model.json", remedy="delete it"))
        runs/model.json: damaged; delete it.
        >>> print(ArgumentError("k is 0, expected at least 1."))
        k is 0, expected at least 1.
    """

    def __init__(self, problem: str, *, where: object = None, remedy: str | None = None) -> None:
        """Make the error; see the attributes. A path or any object can be the place."""
        super().__init__(problem)
        self.problem = problem
        self.where = None if where is None else str(where)
        self.remedy = remedy

    def at(self, where: object) -> Self:
        """The error itself, which from now on names the place; a narrower place stays after it."""
        self.where = str(where) if self.where is None else f"{where}: {self.where}"
        return self

    def to_json(self) -> str:
        """The error as text, for `from_json` in another process."""
        return json.dumps([type(self).__name__, self.problem, self.where, self.remedy])

    @staticmethod
    def from_json(text: str) -> CurateError:
        """The error of this family that `to_json` wrote."""
        kind, problem, where, remedy = json.loads(text)
        found: CurateError = globals()[kind](problem, where=where, remedy=remedy)
        return found

    def __str__(self) -> str:
        if self.where is None and self.remedy is None:
            return self.problem
        text = self.problem if self.where is None else f"{self.where}: {self.problem}"
        if self.remedy is not None:
            joint = ". " if self.remedy[:1].isupper() else "; "
            text = f"{text.removesuffix('.')}{joint}{self.remedy}"
        return f"{text.removesuffix('.')}."


class ArgumentError(CurateError, ValueError):
    """An argument is out of range, unknown, or does not fit the others."""


class RecordError(CurateError, ValueError):
    """A row cannot be read as a training example."""


class MissingInputError(CurateError, FileNotFoundError):
    """An input path, glob or dataset does not exist."""


class FileFormatError(CurateError, ValueError):
    """A file exists but its content is not what its format promises."""


class CheckpointError(CurateError, ValueError):
    """A checkpoint is incomplete, or its weights and config disagree."""


class EmbeddingError(CurateError, ValueError):
    """Embeddings or scores hold NaN or infinity, or have the wrong shape."""


class StoreError(CurateError, RuntimeError):
    """An embedding store is damaged, or was made by another model or template."""


class LossError(CurateError, ArithmeticError):
    """A loss is NaN or infinite."""


class SupervisionError(CurateError, RuntimeError):
    """Recorded losses are missing, damaged, or belong to another plan, pool or model."""


class OutputError(CurateError, OSError):
    """A result could not be written."""
