"""A row as an `Example`, and as the record that TRL's trainers read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airrep.errors import RecordError
from airrep.records.example import Example
from airrep.records.fields import Fields, fields_of, listed
from airrep.records.layouts import READ, Record, fitting_layouts, readings
from airrep.records.messages import Message, text_of
from airrep.records.text import COLUMNS_HINT, as_text, filled

_LOWER = frozenset(name.lower() for name in READ)
_SOURCE_FIELDS = ("source", "dataset", "task")


def normalize(
    row: Mapping[str, Any] | str,
    *,
    index: int = 0,
    origin: str = "rows",
    columns: Mapping[str, Any] | None = None,
    roles: Mapping[str, str] | None = None,
) -> Example:
    """Read one row as an `Example`.

    The layouts that are known are those of docs/rows.md: TRL's (also with tools, preferences, and
    prompts alone), ShareGPT, Alpaca, OpenAI, Anthropic and Gemini messages, and pairs such as
    `question`/`answer`. Of a conversation, the last assistant turn is the completion and all
    before it the prompt. Fields whose value is None count as absent.

    Args:
        row: A mapping of fields, or a string (plain text).
        index: Position of the row, from 0; used in messages and as the default id.
        origin: Name of the collection, used in messages.
        columns: What a field is (its role) to its name, where the guess would be wrong or
            ambiguous. Roles: `prompt` and `completion`, or `messages`, or `text`, or `chosen` and
            `rejected`; beside them `system`, `history`, `tools` and `label`; also `source`, `id`,
            and `ignore` for fields that are not to be read. `prompt` and `ignore` take lists.
        roles: Names of speakers in conversations to the roles that they have, for instance
            {"narrator": "user"}.

    Raises:
        ArgumentError: `columns` or `roles` names what does not exist, or makes no record.
        RecordError: The row fits no layout, fits several, lacks a field, holds no text, or holds
            content that is not understood.

    Example:
        >>> normalize({"question": "Two and two?", "answer": "Four."}, index=7)
        Example(id='7', prompt='Two and two?', completion='Four.', source='', row=7)
    """
    try:
        return _example(row, index, columns, roles)
    except RecordError as error:
        error.at(f"{origin}, row {index} (counting from 0)")
        raise


def trl_record(
    row: Mapping[str, Any],
    *,
    columns: Mapping[str, Any] | None = None,
    roles: Mapping[str, str] | None = None,
) -> Record:
    """The row in the one TRL layout that fits it.

    Conversations become `messages`, plain text `text`, pairs `prompt` and `completion` (both
    messages or both text), preferences `chosen` and `rejected`, with `tools`,
    `chat_template_kwargs`, `images` and `label` where the row has them. What is in a TRL layout
    already is passed on as it is. TRL puts nothing between prompt and completion, so the prompt of
    a layout that is not TRL's own ends in a line break.

    Args:
        row: See `normalize`.
        columns: See `normalize`.
        roles: See `normalize`.

    Raises:
        ArgumentError: See `normalize`.
        RecordError: See `normalize`.

    Example:
        >>> trl_record({"conversations": [{"from": "gpt", "value": "Hello."}]})
        {'messages': [{'role': 'assistant', 'content': 'Hello.'}]}
    """
    return _record(fields_of(row, columns, roles))


def fields_read(names: Iterable[str], columns: Mapping[str, Any] | None) -> list[str]:
    """Of the fields that rows have, those that `normalize` looks at.

    Args:
        names: Names of fields.
        columns: See `normalize`.
    """
    asked = {name for given in (columns or {}).values() for name in _listed(given)}
    return [n for n in names if n in asked or n in _SOURCE_FIELDS or n.lower() in _LOWER]


def _listed(given: Any) -> Iterable[str]:  # noqa: ANN401 (of `columns`, not yet checked)
    return (given,) if isinstance(given, str) else (g for g in given if isinstance(g, str))


def _example(
    row: Mapping[str, Any] | str,
    index: int,
    columns: Mapping[str, Any] | None,
    roles: Mapping[str, str] | None,
) -> Example:
    if isinstance(row, str):
        return Example(str(index), "", filled(row, "text"), "", index)
    if not isinstance(row, Mapping):
        raise RecordError(f"expected a mapping or a string, found {type(row).__name__}.")
    fields = fields_of(row, columns, roles)
    record = _record(fields)
    prompt, completion = _texts(record, fields)
    return Example(
        id=_label(row, (columns or {}).get("id")) or str(index),
        prompt=prompt,
        completion=completion,
        source=_source(row, columns or {}),
        row=index,
        record=record,
    )


def _record(fields: Fields) -> Record:
    present = tuple(field for field, value in fields.row.items() if value is not None)
    layouts = fitting_layouts(present)
    if not layouts:  # perhaps with capitals
        lower = {n.lower(): value for n, value in fields.row.items() if isinstance(n, str)}
        layouts = fitting_layouts(tuple(name for name, value in lower.items() if value is not None))
        if len(layouts) == 1 and len(lower) == len(fields.row):
            fields = Fields(lower, fields.names, fields.roles, fields.ignored)
        else:
            layouts = ()
    if len(layouts) == 1:
        return layouts[0].make(fields)
    found = f"found {listed(present)}"
    if layouts:
        raise RecordError(
            f"ambiguous record, it could be read as {readings(layouts)} ({found}). Settle it with "
            f"{COLUMNS_HINT}."
        )
    empty = [name for name in fields.row if name not in present]
    nulls = f"; {listed(empty)} are null (None)" if empty else ""
    raise RecordError(
        f"no known record layout ({found}{nulls}). Say which fields to read, for instance "
        f"{COLUMNS_HINT}."
    )


def _texts(record: Record, fields: Fields) -> tuple[str, str]:
    """What a record's prompt and its completion say."""
    if "text" in record:
        return "", record["text"]
    if "messages" in record:
        return _conversation(record["messages"], fields.name("messages"))
    if "completions" in record:
        return record["prompt"], "\n".join(record["completions"])
    answer = next((record[name] for name in ("completion", "chosen") if name in record), None)
    if answer is not None and "prompt" not in record and not isinstance(answer, str):
        return _conversation(answer, fields.name("chosen"))
    prompt = _said(record.get("prompt", ""))
    if answer is None:
        reference = next((v for k, v in record.items() if k != "prompt" and isinstance(v, str)), "")
        return filled(prompt, fields.name("prompt")), reference
    if isinstance(answer, str):
        return prompt.removesuffix("\n") if _was_added(fields) else prompt, answer
    return prompt, text_of(answer)


def _was_added(fields: Fields) -> bool:
    """Whether the line break at a prompt's end is ours: in every layout but TRL's own."""
    return fields.row.get("prompt") is None


def _said(value: str | Sequence[Message]) -> str:
    return value if isinstance(value, str) else text_of(value)


def _conversation(messages: Sequence[Message], field: str) -> tuple[str, str]:
    """What stands before the last assistant turn, and that turn."""
    last = max((i for i, each in enumerate(messages) if each["role"] == "assistant"), default=-1)
    completion = text_of(messages[last:][:1])
    return text_of(messages[:last]), filled(completion, field)


def _source(row: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    if "source" in columns:
        return _label(row, columns["source"])
    guesses = (field for field in _SOURCE_FIELDS if isinstance(row.get(field), str))
    return next((as_text(row[field], field) for field in guesses), "")


def _label(row: Mapping[str, Any], field: str | None) -> str:
    """The value of an id or source column as text; "" where no column was named."""
    if field is None:
        return ""
    value = row.get(field)
    try:
        label = "" if value is None else str(value)
    except (ValueError, RecursionError):
        raise RecordError(
            f"field {field!r} should be a name, found {type(value).__name__}."
        ) from None
    if not label:
        raise RecordError(f"field {field!r} is missing; found {listed(row)}.")
    return as_text(label, field)
