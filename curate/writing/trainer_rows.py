"""Dialogues as rows of OpenAI, ShareGPT and Alpaca: plain objects of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from airrep.errors import RecordError
from curate.writing.dialogue import Dialogue, Turn

Row = dict[str, Any]
_SPEAKERS = {"user": "human", "assistant": "gpt", "tool": "observation"}


def openai_row(dialogue: Dialogue) -> Row:
    """`messages` and `tools`; a preference as `input`, `preferred_output`, `non_preferred_output`.

    Raises:
        RecordError: There is no field for it.
    """
    if dialogue.label is not None:
        raise RecordError("there is no field for its label")
    tools: Row = {}
    if dialogue.tools:
        wrapped = (t if {"type", "function"} & {*t} else _function(t) for t in dialogue.tools)
        tools["tools"] = list(wrapped)
    turns, last = _messages(dialogue.turns), len(dialogue.prompt)
    if dialogue.rejected is not None:
        rejected = _messages([*dialogue.prompt, dialogue.rejected])[last:]
        return {
            "input": {"messages": turns[:last], **tools},
            "preferred_output": turns[last:],
            "non_preferred_output": rejected,
        }
    for turn in _untrained(dialogue, turns):
        turn["weight"] = 0
    return {"messages": turns, **tools}


def sharegpt_row(dialogue: Dialogue) -> Row:
    """`conversations`, `system` and `tools`, with `chosen` and `rejected`, or `kto_tag`.

    Raises:
        RecordError: There is no field for it.
    """
    system, turns = _without_system(dialogue.turns)
    made = [_spoken(turn) for turn in turns]
    row: Row = {"conversations": made}
    if dialogue.rejected is not None:
        row |= {"chosen": made.pop(), "rejected": _spoken(dialogue.rejected)}
    elif dialogue.label is not None:
        row["kto_tag"] = dialogue.label
    else:
        for turn in _untrained(dialogue, made, skipped=len(dialogue.turns) - len(turns)):
            turn["weight"] = 0
    if dialogue.tools:
        row["tools"] = _json(dialogue.tools)
    return system | row


def alpaca_row(dialogue: Dialogue) -> Row:
    """`instruction`, `input` and `output`, with `system` and `history` where there is a context.

    A preference has `chosen` and `rejected`, an unpaired one `kto_tag`.

    Raises:
        RecordError: There is no field for it.
    """
    if dialogue.tools or any(turn.calls or turn.role == "tool" for turn in _all(dialogue)):
        raise RecordError("there is no field for its tools; openai and sharegpt have one")
    context, turns = _without_system(dialogue.prompt)
    roles = [turn.role for turn in (*turns, *dialogue.answer)]
    if roles != ["user", "assistant"] * (len(roles) // 2) and roles != ["assistant"]:
        raise RecordError(
            f"its turns have to be user and assistant in turn, found {', '.join(roles)}"
        )
    texts = [turn.text for turn in turns]
    question = _separated(texts[-1]) if dialogue.from_text else "".join(texts[-1:])
    earlier = [texts[i : i + 2] for i in range(0, len(texts) - 1, 2)]
    if earlier or (not dialogue.from_text and question.endswith("\n")):
        context["history"] = earlier  # beside which a line break at the end is one of the question
    row = {"instruction": question, "input": ""}
    answer = dialogue.answer[0].text
    if dialogue.rejected is not None:
        return {**row, "chosen": answer, "rejected": dialogue.rejected.text, **context}
    row |= {"output": answer, **context}
    return row if dialogue.label is None else {**row, "kto_tag": dialogue.label}


def _separated(prompt: str) -> str:
    """A prompt of text without the line break before its answer, which readers of Alpaca add."""
    cut = prompt.removesuffix("\n")
    return prompt if cut[-1:].isspace() else cut


def _untrained(dialogue: Dialogue, made: Sequence[Row], skipped: int = 0) -> Iterator[Row]:
    """What was made of the assistant turns that are not trained on."""
    if dialogue.only_answer:
        for turn, row in zip(dialogue.prompt[skipped:], made, strict=False):
            if turn.role == "assistant":
                yield row


def _all(dialogue: Dialogue) -> Iterator[Turn]:
    yield from dialogue.turns
    if dialogue.rejected is not None:
        yield dialogue.rejected


def _without_system(turns: Sequence[Turn]) -> tuple[Row, Sequence[Turn]]:
    """The system prompt as a field, if there is one, and the turns after it."""
    if turns and turns[0].role == "system":
        return {"system": turns[0].text}, turns[1:]
    return {}, turns


def _spoken(turn: Turn) -> Row:
    """A turn of ShareGPT's."""
    if turn.role not in _SPEAKERS:
        raise RecordError(
            f"there is no place for a turn of the role {turn.role} within a conversation"
        )
    if not turn.calls:
        return {"from": _SPEAKERS[turn.role], "value": turn.text}
    if turn.text:
        raise RecordError("there is no field for a turn that calls a tool and says something")
    calls = [call.as_object for call in turn.calls]
    return {"from": "function_call", "value": _json(calls[0] if len(calls) == 1 else calls)}


def _messages(turns: Sequence[Turn]) -> list[Row]:
    """Messages of OpenAI's, in which each answer of a tool names the call that it answers."""
    made, waiting = [], list[tuple[str, str]]()
    taken = {call.id for turn in turns for call in turn.calls}
    free = (name for name in map("call_{}".format, count()) if name not in taken)
    for turn in turns:
        message: Row = {"role": turn.role, "content": _content(turn), **turn.labels}
        if turn.calls:
            ids = [call.id or next(free) for call in turn.calls]
            waiting += [(call.name, id_) for call, id_ in zip(turn.calls, ids, strict=True)]
            message["tool_calls"] = [
                {"id": id_, **_function({"name": call.name, "arguments": _text(call.arguments)})}
                for call, id_ in zip(turn.calls, ids, strict=True)
            ]
        elif turn.role == "tool":
            _link(message, waiting)
        made.append(message)
    return made


def _link(answer: Row, waiting: list[tuple[str, str]]) -> None:
    """Give an answer the id of the first call that waits for one, of the same tool if it says."""
    known = answer.get("tool_call_id")
    fits = (
        call
        for call in waiting
        if (call[1] == known if known else call[0] == answer.get("name", call[0]))
    )
    call = next(fits, None)
    if call is not None:
        waiting.remove(call)
        answer["tool_call_id"] = call[1]


def _content(turn: Turn) -> Any:  # noqa: ANN401 (text, parts or None)
    if isinstance(turn.content, list):
        return [{"type": "text", "text": text} for text in turn.content]
    return turn.content if turn.calls else turn.content or ""


def _function(of: Mapping[str, Any]) -> Row:
    return {"type": "function", "function": of}


def _text(arguments: Any) -> str:  # noqa: ANN401 (any value of JSON)
    return arguments if isinstance(arguments, str) else _json(arguments)


def _json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
