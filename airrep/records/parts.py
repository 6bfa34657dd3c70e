"""Content of several parts: OpenAI's, Anthropic's and Gemini's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airrep.console.wording import shown
from airrep.errors import RecordError
from airrep.records.text import as_text, joined

_TEXT = ("text", "input_text", "output_text", "refusal")
_THOUGHT = ("thinking", "reasoning", "thought")
_MEDIA = ("image", "image_url", "input_image", "video", "audio", "input_audio", "document", "file")


def content_text(content: Any) -> str:  # noqa: ANN401 (text, parts or nothing)
    """The text of a message's content; pictures and sound have none.

    Raises:
        RecordError: It is neither text nor parts.
    """
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


def read_parts(
    content: Any,  # noqa: ANN401 (checked here)
    where: str,
    role: str,
    base: Mapping[str, Any],
    calls: Sequence[Any],
) -> Iterator[dict[str, Any]]:
    """A message of parts as messages of TRL: what tools answered comes first, a message each.

    Args:
        content: Text, parts or None.
        where: The message, for messages.
        role: Who says it.
        base: What else the message holds.
        calls: Tool calls that are known from elsewhere.

    Raises:
        RecordError: A part is not understood.
    """
    if content is None or isinstance(content, str):
        yield _message(role, content and as_text(content, where), base, calls)
        return
    if not isinstance(content, Sequence):
        as_text(content, where)
    found: dict[str, list[Any]] = {"text": [], "thought": [], "call": [*calls], "answer": []}
    for number, part in enumerate(content):
        kind, kept = _kind(part, f"{where}.content[{number}]")
        found["text" if kind == "media" else kind].append(kept)
    yield from found["answer"]
    shown_parts = found["text"]
    if found["answer"] and not shown_parts:
        return
    extras = dict(base)
    if found["thought"]:
        extras["reasoning_content"] = joined(*found["thought"])
    said: Any = shown_parts
    if all(part["type"] == "text" for part in shown_parts):
        said = "\n".join(part["text"] for part in shown_parts)
    yield _message(role, said if shown_parts or not found["call"] else None, extras, found["call"])


def _message(
    role: str,
    content: str | list[dict[str, Any]] | None,
    base: Mapping[str, Any],
    calls: Sequence[Any],
) -> dict[str, Any]:
    made = {"role": role, "content": content, **base}
    if calls:
        made["tool_calls"] = list(calls)
    return made


def _kind(part: Any, where: str) -> tuple[str, Any]:  # noqa: ANN401 (checked here)
    """What a part is, and what is to be kept of it."""
    if isinstance(part, str):
        return "text", {"type": "text", "text": as_text(part, where)}
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind is None and isinstance(part, Mapping):
        return _of_gemini(part, where)
    if kind in _TEXT:
        said = next(
            (part[k] for k in ("text", "value", "refusal") if part.get(k) is not None), None
        )
        return "text", {"type": "text", "text": as_text(said, where)}
    if kind in _THOUGHT:
        names = ("thinking", "reasoning", "text", "value")
        return "thought", as_text(next((part[k] for k in names if part.get(k)), None), where)
    if kind in _MEDIA:
        return "media", dict(part)
    if kind in ("tool_use", "tool_call", "function_call"):
        return "call", _call(part)
    if kind in ("tool_result", "tool_response"):
        return "answer", _answer(part)
    raise RecordError(f"{where} is a part that is not text or known: {shown(part)}.")


def _of_gemini(part: Mapping[str, Any], where: str) -> tuple[str, Any]:
    if isinstance(part.get("text"), str):
        said = as_text(part["text"], where)
        return (
            ("thought", said) if part.get("thought") else ("text", {"type": "text", "text": said})
        )
    call, answer = part.get("functionCall"), part.get("functionResponse")
    if isinstance(call, Mapping):
        return "call", _call({"name": call.get("name"), "arguments": call.get("args")})
    if isinstance(answer, Mapping):
        return "answer", _answer({**answer, "content": answer.get("response")})
    raise RecordError(f"{where} is a part that is not text or known: {shown(part)}.")


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    value = part.get("value", part)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = {"name": value}
    inner = value.get("function", value) if isinstance(value, Mapping) else value
    if not isinstance(inner, Mapping):
        raise RecordError(f"a part should call a tool by name and arguments, found {shown(part)}.")
    names = ("arguments", "input", "args", "parameters")
    arguments: Any = next((inner[name] for name in names if inner.get(name) is not None), {})
    made = {"type": "function", "function": {"name": inner.get("name"), "arguments": arguments}}
    return {"id": part["id"], **made} if part.get("id") is not None else made


def _answer(part: Mapping[str, Any]) -> dict[str, Any]:
    content = part.get("content", part.get("value"))
    if isinstance(content, Sequence) and not isinstance(content, str):
        content = "\n".join(
            str(each.get("text", "")) if isinstance(each, Mapping) else str(each)
            for each in content
        )
    elif not isinstance(content, str):
        content = json.dumps(content, ensure_ascii=False, default=str)
    made = {"role": "tool", "content": content}
    names = {"name": part.get("name"), "tool_call_id": part.get("tool_use_id") or part.get("id")}
    return made | {name: value for name, value in names.items() if value is not None}
