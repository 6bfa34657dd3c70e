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
expected, what was found, where, and what to do about it.
"""


class CurateError(Exception):
    """Base of every error raised on purpose by this project."""


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
