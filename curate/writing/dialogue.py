"""A record as turns and answers, from which the formats of other trainers are written.

What none of these formats has a field for is an error here: pictures, reasoning, arguments of the
chat template, plain text, and prompts without an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airrep.console.wording import shown
from airrep.errors import RecordError
from airrep.records import Example
from airrep.records.messages import REASONING, Message
from airrep.records.parts import content_text

_NO_FIELD = {
    "images": "there is no field for its pictures",
    "chat_template_kwargs": "there is no field for its arguments of the chat template",
    "completions": "there is no field for its steps",
    "text": "it is plain text, without a prompt and an answer",
}


@dataclass(frozen=True)
class Call:
    """A call of a tool; arguments are of any kind, or JSON text of that."""

    name: str
    arguments: Any
    id: str | None = None

    @property
    def as_object(self) -> dict[str, Any]:
        """Name and arguments, of which JSON text of an object becomes that object."""
        arguments = self.arguments
        if isinstance(arguments, str):
            found = _json_or_none(arguments)
            arguments = found if isinstance(found, dict) else arguments
        return {"name": self.name, "arguments": arguments}


@dataclass(frozen=True)
class Turn:
    """A message without what tells nothing of its content.

    Attributes:
        role: system, developer, user, assistant or tool.
        content: Text, a list of texts, or None.
        calls: Calls of tools.
        labels: `name` and `tool_call_id`, where it has them.
    """

    role: str
    content: str | list[str] | None
    calls: tuple[Call, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content as one text."""
        return "\n".join(self.content) if isinstance(self.content, list) else self.content or ""


@dataclass(frozen=True)
class Dialogue:
    """A record as turns.

    Attributes:
        prompt: What stands before the answer.
        answer: The last assistant turn, or the chosen one; in a conversation with what follows it.
        rejected: The rejected answer of a preference.
        label: Whether the answer is desired (KTO).
        tools: The tools, as objects.
        only_answer: Whether assistant turns of the prompt are not trained on.
        from_text: Whether prompt and answer are text, and no messages.
    """

    prompt: Sequence[Turn]
    answer: Sequence[Turn]
    rejected: Turn | None = None
    label: bool | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    only_answer: bool = True
    from_text: bool = False

    @classmethod
    def of(cls, example: Example) -> Dialogue:
        """The record of a row as turns.

        Raises:
            RecordError: It holds what no format but TRL's has a field for.
        """
        record = example.trl
        for name, problem in _NO_FIELD.items():
            if record.get(name):
                raise RecordError(problem)
        tools = _tools(record.get("tools"))
        if "messages" in record:
            turns = [_turn(each) for each in record["messages"]]
            last = max(i for i, turn in enumerate(turns) if turn.role == "assistant")
            return cls(turns[:last], turns[last:], tools=tools, only_answer=False)
        found = next((record[name] for name in ("completion", "chosen") if name in record), None)
        if found is None:
            raise RecordError("it is a prompt without an answer")
        prompt, answer, other = record.get("prompt"), found, record.get("rejected")
        from_text = isinstance(answer, str)
        if from_text:
            if prompt is None:
                raise RecordError("its answers are plain text, without a prompt")
            prompt = [{"role": "user", "content": example.prompt}]
        elif prompt is None:
            prompt, answer, other = _shared(answer, record["rejected"])
        return cls(
            [_turn(each) for each in prompt],
            [_only(answer)],
            None if other is None else _only(other),
            example.label,
            tools,
            from_text=from_text,
        )

    @property
    def turns(self) -> list[Turn]:
        """Prompt and answer."""
        return [*self.prompt, *self.answer]

    @property
    def said(self) -> tuple[object, ...]:
        """Equal for dialogues that say the same; a line break at a prompt's end is no difference.

        Tool calls are compared by what they say and not by white space in their JSON.
        """
        rejected = [] if self.rejected is None else [self.rejected]
        functions = [tool.get("function", tool) for tool in self.tools]
        return (*map(_said, (self.prompt, self.answer, rejected)), self.label, functions)


def _said(turns: Sequence[Turn]) -> list[tuple[object, ...]]:
    said = [
        (
            turn.role,
            turn.text.rstrip("\n"),
            [call.as_object for call in turn.calls],
            turn.labels.get("name") if turn.role != "tool" else None,
        )
        for turn in turns
    ]
    return [each for each in said if any(each[1:])]


def _turn(message: Message) -> Turn:
    if any(message.get(name) for name in REASONING):
        raise RecordError("there is no field for its reasoning")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        if any(part.get("type") != "text" for part in content):
            raise RecordError("there is no field for its pictures, sounds or files")
        texts = [content_text([part]) for part in content]
        content = texts if len(texts) > 1 else "".join(texts)
    labels = {n: str(message[n]) for n in ("name", "tool_call_id") if message.get(n) is not None}
    calls = tuple(map(_call, message.get("tool_calls") or ()))
    return Turn(message["role"], content, calls, labels)


def _call(call: Mapping[str, Any]) -> Call:
    function = call.get("function", call)
    name = function.get("name")
    if not isinstance(name, str):
        raise RecordError(f"it calls a tool whose name is {shown(name)}")
    called = call.get("id")
    return Call(name, function.get("arguments"), None if called is None else str(called))


def _only(answer: str | Sequence[Message]) -> Turn:
    """The one assistant turn that an answer consists of."""
    if isinstance(answer, str):
        return Turn("assistant", answer)
    roles = [message["role"] for message in answer]
    if roles != ["assistant"]:
        raise RecordError(
            f"an answer has to be one assistant turn, found the turns {', '.join(roles)}"
        )
    return _turn(answer[0])


def _shared(chosen: Sequence[Message], rejected: Sequence[Message]) -> tuple[Any, Any, Any]:
    """The prompt with which two conversations begin, and their last turns."""
    if list(chosen[:-1]) != list(rejected[:-1]):
        raise RecordError("its two answers have different prompts")
    return chosen[:-1], chosen[-1:], rejected[-1:]


def _tools(given: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 (a list, or JSON text)
    found = _json_or_none(given) if isinstance(given, str) and given else given or []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise RecordError(f"its tools should be a list of objects, found {shown(given)}")
    return found


def _json_or_none(text: str) -> Any:  # noqa: ANN401 (whatever it holds)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
