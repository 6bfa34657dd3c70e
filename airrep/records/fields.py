"""The fields of a row that hold its content: the known ones, or those that the user names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airrep.console.wording import shown
from airrep.errors import ArgumentError, RecordError
from airrep.records.messages import SPEAKERS, Message, is_messages, read_messages
from airrep.records.text import as_text

# What the user may name a field for.
CONTENT = ("prompt", "completion", "messages", "text", "chosen", "rejected")
CONTEXT = ("system", "history", "tools", "label")
ROLES = (*CONTENT, *CONTEXT, "source", "id", "ignore")
_SPEAKERS = "roles"  # where `columns` keeps what `roles` says
_MOST_NAMES = 40  # of fields, in a message


@dataclass(frozen=True, slots=True)
class Fields:
    """A row's fields.

    Attributes:
        row: The row, or the fields of it that the user named, by what they are.
        names: What the user calls them, where that differs.
        roles: See `read_messages`.
        ignored: See `read_messages`.
    """

    row: Mapping[str, Any]
    names: Mapping[str, str]
    roles: Mapping[str, str]
    ignored: frozenset[str]

    def name(self, field: str) -> str:
        """What the user calls a field."""
        return self.names.get(field, field)

    def text(self, field: str) -> str:
        """Its text; "" where it is absent; chat messages are an error."""
        value = self.row.get(field)
        return "" if value is None else as_text(value, self.name(field))

    def has_chat(self, *fields: str) -> bool:
        """Whether one of them holds messages."""
        return any(not isinstance(self.row.get(f), str) and self.is_chat(f) for f in fields)

    def is_chat(self, field: str) -> bool:
        """Whether it holds messages and not text, or one message."""
        value = self.row.get(field)
        return isinstance(value, Mapping) or (
            not isinstance(value, str) and (is_messages(value) or value == [])
        )

    def messages(self, field: str, role: str | None = None) -> Sequence[Message]:
        """Its messages; text becomes one message of this role, if there is one."""
        value = self.row[field]
        if role is not None and isinstance(value, str) and not is_messages(value):
            return [{"role": role, "content": as_text(value, self.name(field))}]
        return read_messages(value, self.name(field), self.roles, self.ignored)


def with_roles(
    columns: Mapping[str, Any] | None, roles: Mapping[str, str] | None
) -> Mapping[str, Any] | None:
    """`columns` and `roles` of `normalize` as one mapping, which `columns` may be as well."""
    return {**(columns or {}), _SPEAKERS: roles} if roles else columns


def fields_of(
    row: Mapping[str, Any], columns: Mapping[str, Any] | None, roles: Mapping[str, str] | None
) -> Fields:
    """The fields that count: all of a row, or those that the user names.

    Raises:
        ArgumentError: `columns` or `roles` is wrong.
        RecordError: The row lacks a field that the user names, or it is null.
    """
    if columns and _SPEAKERS in columns:
        roles = columns[_SPEAKERS]
        columns = {role: given for role, given in columns.items() if role != _SPEAKERS}
    speakers = _checked_roles(roles) if roles else {}
    if not columns:
        return Fields(row, {}, speakers, frozenset())
    wanted = _wanted(columns)
    ignored = frozenset(wanted.get("ignore", ()))
    content = {r: names for r, names in wanted.items() if r in (*CONTENT, *CONTEXT)}
    if "completion" in content and "prompt" not in content:
        content["text"] = content.pop("completion")
    if not any(role in CONTENT for role in content):
        kept = {name: value for name, value in row.items() if name not in ignored}
        kept |= {role: _value(row, (name,)) for role, (name,) in content.items()}
        return Fields(kept, {r: n[0] for r, n in content.items()}, speakers, ignored)
    named = {role: _value(row, names) for role, names in content.items() if role in CONTENT}
    named |= {role: row.get(names[0]) for role, names in content.items() if role in CONTEXT}
    called = {role: "+".join(names) for role, names in content.items()}
    return Fields(named, called, speakers, ignored)


def _value(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 (of a row)
    for name in names:
        if name not in row:
            raise RecordError(f"field {name!r} is missing; found {listed(row)}.")
    values = [row[name] for name in names]
    if all(value is None for value in values):
        raise RecordError(f"field {names[0]!r} is null (None) in this row, as if it were missing.")
    if len(values) == 1:
        return values[0]
    filled = zip(names, values, strict=True)
    texts = [as_text(value, name) for name, value in filled if value is not None]
    return "\n".join(text for text in texts if text)


def _wanted(columns: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    try:
        pairs = tuple(sorted((role, _names(given)) for role, given in columns.items()))
        return dict(_checked_columns(pairs))
    except (AttributeError, TypeError):
        raise ArgumentError(
            "columns: expected roles and names of fields (or lists of names), all text, found "
            f"{shown(columns)}."
        ) from None


def _names(given: Any) -> tuple[str, ...]:  # noqa: ANN401 (checked here)
    names = (given,) if isinstance(given, str) else tuple(given)
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError("names of fields are text")
    return names


@lru_cache(maxsize=256)
def _checked_columns(
    columns: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The same, if it makes sense."""
    unknown = sorted({role for role, _ in columns} - set(ROLES))
    if unknown:
        raise ArgumentError(f"columns: unknown role {unknown[0]!r}; roles are {', '.join(ROLES)}.")
    many = [role for role, names in columns if len(names) > 1 and role not in ("prompt", "ignore")]
    if many:
        raise ArgumentError(f"columns: {many[0]!r} is one field; only prompt takes several.")
    content = {role for role, _ in columns if role in CONTENT}
    chosen = {"chosen", "rejected"}
    if content not in (
        set(),
        {"prompt"},
        {"completion"},
        {"messages"},
        {"text"},
        {"prompt", "completion"},
        chosen,
        {"prompt", *chosen},
        {"messages", *chosen},
    ):
        raise ArgumentError(
            f"columns: roles {sorted(content)} do not describe one record; give prompt and "
            "completion, or messages, or text, or chosen and rejected."
        )
    return columns


def _checked_roles(roles: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(roles, Mapping):
        raise ArgumentError(
            f'roles: expected names and their roles, such as {{"narrator": "user"}}, found '
            f"{shown(roles)}."
        )
    for speaker, role in roles.items():
        if not isinstance(speaker, str) or role not in SPEAKERS:
            raise ArgumentError(
                f"roles: {shown(speaker)} is to be {shown(role)}; expected one of "
                f"{', '.join(SPEAKERS)}."
            )
    return roles


def listed(row: Iterable[str]) -> str:
    """Names of fields, for a message."""
    names = list(row)
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"the fields [{', '.join(map(shown, names[:_MOST_NAMES]))}]{more}"
