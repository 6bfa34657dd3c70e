"""Rows of any common fine-tuning format, read as one kind of record.

`normalize` is the only place in the project that guesses which field means what. The user's rows
are read, never changed. A row becomes what TRL's trainers read (its record, `trl_record`), and of
that record the texts are derived that encoders and the guard see.

Not here: files and containers of rows (`curate.rows`), and tokens (`airrep.language_model`).
"""

from airrep.records.collection import Examples, Fingerprint, ids_of, rows_of, sources_of, taken
from airrep.records.example import Example
from airrep.records.fields import with_roles
from airrep.records.reading import fields_read, normalize, trl_record
from airrep.records.text import as_text

normalise = normalize  # the name that scripts written for earlier versions import

__all__ = [
    "Example",
    "Examples",
    "Fingerprint",
    "as_text",
    "fields_read",
    "ids_of",
    "normalise",
    "normalize",
    "rows_of",
    "sources_of",
    "taken",
    "trl_record",
    "with_roles",
]
