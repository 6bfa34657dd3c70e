"""Messages of any chat format, as the messages that TRL and chat templates read.

Messages that are such already are passed on as they are, the very same objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airrep.console.wording import shown
from airrep.errors import RecordError
from airrep.records.parts import content_text, read_parts
from airrep.records.text import as_text, joined

Message = Mapping[str, Any]

REASONING = ("reasoning_content", "thinking", "reasoning")
# What messages of TRL may hold besides role and content, and what tells nothing of the content.
_PASSED_ON = {*REASONING, "tool_calls", "name", "tool_call_id", "id", "weight", "train"}
_OF_OTHERS = {"from", "value", "text", "parts", "function_call"}
_NATIVE_ROLES = ("system", "developer", "user", "assistant", "tool")
_CALLER, _RESULT = "tool call", "tool"  # a call is an assistant's turn
SPEAKERS = {
    **{role: role for role in _NATIVE_ROLES},
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function": _RESULT,
    "ipython": _RESULT,
    "observation": _RESULT,
    "tool_response": _RESULT,
    "function_call": _CALLER,
    "tool_call": _CALLER,
}


def read_messages(
    value: Any,  # noqa: ANN401 (checked here)
    field: str,
    roles: Mapping[str, str],
    ignored: frozenset[str] = frozenset(),
) -> Sequence[Message]:
    """The messages of a field; the very same list if nothing has to be converted.

    Args:
        value: A list of messages, or JSON text of one.
        field: Its name, for messages.
        roles: The user's names of speakers, and which role each of them has.
        ignored: Fields of messages that are not to be read.

    Raises:
        RecordError: It is something else, or a message holds what is not understood.
    """
    if isinstance(value, str):
        value = _from_json(value, field)
    if isinstance(value, Mapping):  # one message
        value = [value]
    if not isinstance(value, Sequence):
        raise RecordError(f"{field} should be a list of messages, found {type(value).__name__}.")
    made: list[Message] = []
    for number, message in enumerate(value):
        made += _read(message, f"{field}[{number}]", roles, ignored)
    same = len(made) == len(value) and all(a is b for a, b in zip(made, value, strict=True))
    return value if same else made


def text_of(messages: Sequence[Message]) -> str:
    """What messages say, one after the other: reasoning, content and tool calls."""
    return "\n".join(map(message_text, messages))


def message_text(message: Message) -> str:
    """What a message says: its reasoning, its content and its tool calls."""
    thoughts = next((message[name] for name in REASONING if isinstance(message.get(name), str)), "")
    calls = (_call_text(call) for call in message.get("tool_calls") or ())
    return joined(thoughts, content_text(message.get("content")), *calls)


def _call_text(call: Any) -> str:  # noqa: ANN401 (a mapping, of one of two forms)
    function = call.get("function", call)
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, default=str)
    return f"{function.get('name')}({arguments})"


def is_messages(value: Any) -> bool:  # noqa: ANN401 (any value of a row)
    """Whether a value is a list of messages, to judge by its first one, or JSON text of one."""
    if isinstance(value, str):
        return value.lstrip()[:1] == "[" and is_messages(_json_or_none(value))
    if not isinstance(value, Sequence) or not value or not isinstance(value[0], Mapping):
        return False
    return not {"role", "from"}.isdisjoint(value[0])


def _json_or_none(text: str) -> Any:  # noqa: ANN401 (whatever it holds)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _from_json(text: str, field: str) -> Any:  # noqa: ANN401 (whatever it holds)
    made = _json_or_none(text)
    if not isinstance(made, list) or not all(isinstance(each, Mapping) for each in made):
        raise RecordError(
            f"{field} should be a list of messages or JSON text of one, found the text "
            f"{shown(text)}. Write it as JSON (a Python repr is not), or name a field of plain "
            'text: columns={"text": "<field>"}.'
        )
    return made


def _read(
    message: Any,  # noqa: ANN401 (checked here)
    where: str,
    roles: Mapping[str, str],
    ignored: frozenset[str],
) -> Iterator[Message]:
    """A message as one or several of TRL's."""
    if not isinstance(message, Mapping):
        raise RecordError(
            f"{where} should be a message with role and content, found {type(message).__name__}."
        )
    speaker = message.get("role")
    if speaker is None:
        speaker = message.get("from")
    role = _role(speaker, where, roles)
    _check_fields(message, where, ignored)
    for name in REASONING:
        if message.get(name) is not None:
            as_text(message[name], f"{where}.{name}")
    if _is_native(message, role):
        content = message.get("content")
        if isinstance(content, str):
            as_text(content, where)
        else:
            content_text(content)
        _calls(message, where)
        yield message
        return
    base = {k: v for k, v in message.items() if k in _PASSED_ON and k not in ignored}
    content = next((message[k] for k in ("content", "value", "text") if message.get(k)), None)
    if message.get("parts") is not None:
        content = message["parts"]
    calls = _calls(message, where)
    if message.get("function_call"):  # OpenAI's, of before there were tools
        calls += _calls(
            {"tool_calls": [{"type": "function", "function": message["function_call"]}]}, where
        )
    if role == _CALLER:
        role, said = "assistant", as_text(content, where) if content is not None else ""
        found = calls_of(said)
        calls, content = [*calls, *found], None if found else said
    yield from read_parts(content, where, role, base, calls)


def _calls(message: Message, where: str) -> list[Any]:
    """The tool calls of a message, checked."""
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, Sequence) or not all(map(_is_call, calls)):
        raise RecordError(
            f"{where} should call tools by a list of mappings with name and arguments, found "
            f"{shown(calls)}."
        )
    return list(calls)


def _is_call(call: Any) -> bool:  # noqa: ANN401 (checked here)
    return isinstance(call, Mapping) and isinstance(call.get("function", call), Mapping)


def _role(speaker: Any, where: str, roles: Mapping[str, str]) -> str:  # noqa: ANN401
    if isinstance(speaker, str):
        known = roles.get(speaker, speaker)
        role = SPEAKERS.get(known) or SPEAKERS.get(known.lower())
        if role is not None:
            return role
    raise RecordError(
        f"{where} has the role {shown(speaker)}; known roles are {', '.join(SPEAKERS)}. Say "
        'which of them it is: roles={"<role>": "user"} (--roles.<role> user).'
    )


def _check_fields(message: Message, where: str, ignored: frozenset[str]) -> None:
    """Refuse a field that carries content and is not understood."""
    for name, value in message.items():
        if name in ("role", "content") or name in _PASSED_ON or name in _OF_OTHERS:
            continue
        if name not in ignored and _carries_content(value):
            raise RecordError(
                f"{where} has the field {shown(name)}, which is not understood: {shown(value)}. "
                f'Rename it, or leave it out of what is read: columns={{"ignore": {name!r}}}.'
            )


def _carries_content(value: Any) -> bool:  # noqa: ANN401 (any value of a row)
    """A text of several words, or something nested; a number or a name tells of the message."""
    if isinstance(value, str):
        return len(value.split()) > 1
    return isinstance(value, Mapping | Sequence) and len(value) > 0


def _is_native(message: Message, role: str) -> bool:
    if message.get("role") != role or role == _CALLER:
        return False
    if not _OF_OTHERS.isdisjoint(message) and any(message.get(n) is not None for n in _OF_OTHERS):
        return False
    content = message.get("content")
    if content is None or isinstance(content, str):
        return True
    return isinstance(content, Sequence) and all(_is_native_part(part) for part in content)


def _is_native_part(part: Any) -> bool:  # noqa: ANN401 (checked here)
    if not isinstance(part, Mapping):
        return False
    if part.get("type") == "text":
        return isinstance(part.get("text"), str) and part.get("value") is None
    return part.get("type") in ("image", "video", "audio")


def calls_of(text: str) -> list[dict[str, Any]]:
    """Tool calls that are written as JSON: an object with a name, or a list of them; else none."""
    found = _json_or_none(text)
    listed = found if isinstance(found, list) else [found]
    if not listed or not all(
        isinstance(c, Mapping) and isinstance(c.get("name"), str) for c in listed
    ):
        return []
    return [{"type": "function", "function": dict(call)} for call in listed]
