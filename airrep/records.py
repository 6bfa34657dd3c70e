"""Rows of any common instruction format, read as one kind of record.

`normalize` is the only place in the project that guesses which field means what. The user's rows
are read, never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airrep.console.wording import shown
from airrep.errors import ArgumentError, RecordError


@dataclass(frozen=True, slots=True)
class Example:
    """One training or target example.

    Attributes:
        id: Unique within its collection; the row's position unless the user named an id column.
        prompt: What the model is given; empty for plain text.
        completion: What the model should produce; for plain text, all of it.
        source: Where the row says it comes from (a task or dataset name), or "".
        row: Position in the user's rows, from 0.
    """

    id: str
    prompt: str
    completion: str
    source: str = ""
    row: int = 0


@dataclass(frozen=True)
class _Shape:
    """A known record layout: the fields it must have and the ones it may have."""

    prompt: tuple[str, ...]
    completion: str
    optional: tuple[str, ...] = ()

    @property
    def required(self) -> frozenset[str]:
        return frozenset((*self.prompt, self.completion)) - frozenset(self.optional)


_MESSAGES, _SHAREGPT, _TEXT = "messages", "conversations", "text"
_SHAPES = (
    _Shape(("prompt",), "completion"),  # TRL
    _Shape((), _MESSAGES),  # TRL, chat
    _Shape((), _TEXT),  # TRL, plain text
    _Shape(("instruction", "input"), "output", optional=("input",)),  # Alpaca
    _Shape(("instruction", "context"), "response", optional=("context",)),  # Dolly
    _Shape(("input",), "output"),  # the AirRep release
    _Shape((), _SHAREGPT),  # ShareGPT
    _Shape(("inputs",), "targets"),  # FLAN
    _Shape(("question",), "answer"),
    _Shape(("prompt",), "response"),
)
_SOURCE_FIELDS = ("source", "dataset", "task")
_ROLES = ("prompt", "completion", "messages", "text", "source", "id")
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
}
_MOST_NAMES = 40  # of fields, in a message
_COLUMNS_HINT = (
    'columns={"prompt": "<field>", "completion": "<field>"} '
    "(--columns.prompt <field> --columns.completion <field>)"
)


def normalize(
    row: Mapping[str, Any] | str,
    *,
    index: int = 0,
    origin: str = "rows",
    columns: Mapping[str, str] | None = None,
) -> Example:
    """Read one row as an `Example`.

    Known layouts: TRL (`prompt`/`completion`, `messages`, `text`), Alpaca, Dolly, ShareGPT
    (`conversations`), FLAN (`inputs`/`targets`), `question`/`answer`, `input`/`output`,
    `prompt`/`response`. Prompts and completions may be strings or lists of chat messages; of a
    conversation, the last assistant turn is the completion and all before it the prompt. Fields
    whose value is None count as absent.

    Args:
        row: A mapping of fields, or a string (plain text).
        index: Position of the row, from 0; used in messages and as the default id.
        origin: Name of the collection, used in messages.
        columns: Role to field name, where the guess would be wrong or ambiguous. Roles: `prompt`
            and `completion`, or `messages`, or `text`; also `source` and `id`.

    Raises:
        ArgumentError: `columns` names an unknown role or an impossible combination.
        RecordError: The row fits no layout, fits several, lacks a field or holds no text.

    Example:
        >>> normalize({"question": "Two and two?", "answer": "Four."}, index=7)
        Example(id='7', prompt='Two and two?', completion='Four.', source='', row=7)
    """
    try:
        return _example(row, index, columns)
    except RecordError as error:
        error.at(f"{origin}, row {index} (counting from 0)")
        raise


def _example(
    row: Mapping[str, Any] | str, index: int, columns: Mapping[str, str] | None
) -> Example:
    if isinstance(row, str):
        return Example(str(index), "", _checked(row, "text"), "", index)
    if not isinstance(row, Mapping):
        raise RecordError(f"expected a mapping or a string, found {type(row).__name__}.")
    present = tuple(field for field, value in row.items() if value is not None)
    shape = _asked_shape(columns)
    if shape is None:
        shape = _guess_shape(present)
    missing = sorted(shape.required - set(present))
    if missing:
        raise RecordError(f"field {missing[0]!r} is missing; found {_names(row)}.")
    prompt, completion = _prompt_and_completion(row, shape)
    return Example(
        id=_label(row, (columns or {}).get("id")) or str(index),
        prompt=prompt,
        completion=_checked(completion, shape.completion),
        source=_source(row, columns or {}),
        row=index,
    )


def trl_record(
    row: Mapping[str, Any], *, columns: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The row in the one TRL layout that fits it, for a row that `normalize` accepts.

    Conversations become `messages` (ShareGPT's roles renamed), plain text `text`, and the rest
    `prompt` and `completion`, both chat messages or both text. What is in a TRL layout already is
    passed on as it is.
    """
    present = tuple(field for field, value in row.items() if value is not None)
    shape = _asked_shape(columns) or _guess_shape(present)
    answer = row[shape.completion]
    if not shape.prompt:
        if isinstance(answer, str):
            return {"text": answer}
        return {"messages": _chat(answer, shape.completion)}
    question = row[shape.prompt[0]]
    if len(shape.prompt) == 1 and not isinstance(question, str) and not isinstance(answer, str):
        return {
            "prompt": _chat(question, shape.prompt[0]),
            "completion": _chat(answer, shape.completion),
        }
    prompt, completion = _prompt_and_completion(row, shape)
    return {"prompt": prompt, "completion": completion}


def _chat(messages: Sequence[Any], field: str) -> Sequence[Any]:
    """Messages with the roles that chat templates know; as they are where they have them."""
    if all(message.get("role") in _SPEAKERS.values() for message in messages):
        return messages
    return [{"role": role, "content": text} for role, text in _turns(messages, field)]


def _asked_shape(columns: Mapping[str, str] | None) -> _Shape | None:
    """The layout that `columns` asks for; None if it leaves it to us."""
    if not columns:
        return None
    try:
        return _mapped_shape(tuple(sorted(columns.items())))
    except (AttributeError, TypeError):
        raise ArgumentError(
            f"columns: expected roles and names of fields, both text, found {shown(columns)}."
        ) from None


@lru_cache(maxsize=256)
def _mapped_shape(columns: tuple[tuple[str, str], ...]) -> _Shape | None:
    """The layout that an explicit `columns` mapping describes; None if it leaves it to us."""
    roles = dict(columns)
    if not all(isinstance(field, str) for field in roles.values()):
        raise TypeError("names of fields are text")
    unknown = sorted(set(roles) - set(_ROLES))
    if unknown:
        raise ArgumentError(f"columns: unknown role {unknown[0]!r}; roles are {', '.join(_ROLES)}.")
    content = sorted(set(roles) - {"source", "id"})
    if not content:
        return None
    if content == ["completion", "prompt"]:
        return _Shape((roles["prompt"],), roles["completion"])
    if content in (["completion"], ["messages"], ["text"]):
        return _Shape((), roles[content[0]])
    raise ArgumentError(
        f"columns: roles {content} do not describe one record; give prompt and completion, or "
        "messages, or text."
    )


def _guess_shape(present: tuple[str, ...]) -> _Shape:
    shapes = _fitting_shapes(present)
    if len(shapes) == 1:
        return shapes[0]
    found = f"found {_names(present)}"
    if not shapes:
        raise RecordError(
            f"no known record layout ({found}). Say which fields to read, for instance "
            f"{_COLUMNS_HINT}."
        )
    readings = " or ".join("+".join((*s.prompt, s.completion)) for s in shapes)
    raise RecordError(
        f"ambiguous record, it could be read as {readings} ({found}). Settle it with "
        f"{_COLUMNS_HINT}."
    )


@lru_cache(maxsize=1024)
def _fitting_shapes(present: tuple[str, ...]) -> tuple[_Shape, ...]:
    """Layouts that fit; one that uses only part of another's fields gives way to it."""
    fields = frozenset(present)
    used = {s: (s.required | set(s.optional)) & fields for s in _SHAPES if s.required <= fields}
    return tuple(s for s in used if not any(used[s] < other for other in used.values()))


def _prompt_and_completion(row: Mapping[str, Any], shape: _Shape) -> tuple[str, str]:
    answer = row[shape.completion]
    if not shape.prompt and isinstance(answer, Sequence) and not isinstance(answer, str):
        return _conversation(answer, shape.completion)
    parts = (_flat(row.get(field), field) for field in shape.prompt)
    return "\n".join(part for part in parts if part), _flat(answer, shape.completion)


def _flat(value: object, field: str) -> str:
    """A field's text: a string as it is, chat messages joined by newlines, None as ""."""
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(text for _, text in _turns(value, field))
    return as_text(value, field)


def _conversation(messages: Sequence[Any], field: str) -> tuple[str, str]:
    turns = _turns(messages, field)
    last = max((i for i, (role, _) in enumerate(turns) if role == "assistant"), default=None)
    if last is None:
        raise RecordError(f"{field!r} has no assistant turn to learn from.")
    return "\n".join(text for _, text in turns[:last]), turns[last][1]


def _turns(messages: Sequence[Any], field: str) -> list[tuple[str, str]]:
    turns = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise RecordError(
                f"{field}[{number}] should be a message with role and content, found "
                f"{type(message).__name__}."
            )
        speaker = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        if not isinstance(speaker, str) or speaker not in _SPEAKERS:
            raise RecordError(
                f"{field}[{number}] has the role {shown(speaker)}; known roles are "
                f"{', '.join(_SPEAKERS)}."
            )
        turns.append((_SPEAKERS[speaker], _content(content, f"{field}[{number}]")))
    return turns


def _content(content: object, field: str) -> str:
    """A message's text; of multi-part content, its text parts (other parts cannot be read)."""
    if content is None:
        return ""  # a turn that only calls a tool
    if not isinstance(content, Sequence) or isinstance(content, str):
        return as_text(content, field)
    texts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise RecordError(f"{field} has a part that is not text: {shown(part)}.")
        texts.append(as_text(part.get("text"), field))
    return "\n".join(texts)


def as_text(value: object, field: str) -> str:
    """The value itself, if it is text that can be encoded.

    Raises:
        RecordError: It is something else, or holds half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise RecordError(
            f"field {field!r} should be text, found {type(value).__name__} "
            f"({shown(value)}). Convert it, or choose other fields with {_COLUMNS_HINT}."
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecordError(
            f"field {field!r} holds half of a surrogate pair at character {error.start}; "
            "repair the text's encoding."
        ) from None
    return value


def _checked(text: str, field: str) -> str:
    if not as_text(text, field).strip():
        raise RecordError(f"{field!r} is empty; there is nothing to learn from it.")
    return text


def _source(row: Mapping[str, Any], columns: Mapping[str, str]) -> str:
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
        raise RecordError(f"field {field!r} should be a name, found {shown(value)}.") from None
    if not label:
        raise RecordError(f"field {field!r} is missing; found {_names(row)}.")
    return as_text(label, field)


def _names(row: Iterable[str]) -> str:
    names = list(row)
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"the fields [{', '.join(map(shown, names[:_MOST_NAMES]))}]{more}"
