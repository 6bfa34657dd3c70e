"""The layouts of rows that are known, and the record of TRL's that each of them becomes.

docs/rows.md has the same as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeGuard

from airrep.console.wording import shown
from airrep.errors import RecordError
from airrep.records.fields import Fields
from airrep.records.messages import Message, calls_of, read_messages, text_of
from airrep.records.text import as_text, filled

Record = dict[str, Any]

_CHATS = ("messages", "conversations", "conversation", "contents")
_SYSTEM = ("system", "system_prompt", "system_instruction", "systemInstruction")
_BEFORE = frozenset((*_SYSTEM, "history"))
_REFERENCES = ("answer", "solution", "ground_truth", "reference_answer")  # of prompt-only rows
_ANSWERS = ("completion", "response", "chosen", *_CHATS)
_LABELS = ("label", "kto_tag")  # whether an answer is desired, if true or false
_CARRIED = ("tools", "chat_template_kwargs", "images")  # what TRL reads beside a conversation
# Beside a conversation these say parts of it again.
_SAME_AS_CHAT = {
    "prompt",
    "text",
    "problem",
    "solution",
    "question",
    "answer",
    "query",
    "answers",
    "instruction",
    "input",
    "user",
    "assistant",
}


@dataclass(frozen=True)
class Layout:
    """A known layout.

    Attributes:
        required: Fields that it must have.
        make: The record of a row of this layout.
        optional: Fields that it may have.
        beside: Fields that say the same again, and may be ones of other layouts.
    """

    required: tuple[str, ...]
    make: Callable[[Fields], Record]
    optional: tuple[str, ...] = ()
    beside: frozenset[str] = frozenset()


@lru_cache(maxsize=1024)
def fitting_layouts(present: tuple[str, ...]) -> tuple[Layout, ...]:
    """Layouts that fit; one that uses only part of another's fields gives way to it.

    Args:
        present: Names of the fields that are not None.
    """
    fields = frozenset(present)
    fit = [each for each in LAYOUTS if fields.issuperset(each.required)]
    used = [fields.intersection(each.required + each.optional) for each in fit]
    return tuple(
        each
        for each, own in zip(fit, used, strict=True)
        if not any(
            own < of_other
            or (other is not each and own <= of_other | other.beside and not of_other < own)
            for other, of_other in zip(fit, used, strict=True)
        )
    )


def readings(layouts: Sequence[Layout]) -> str:
    """The fields of each layout, for a message."""
    return " or ".join("+".join(each.required) for each in layouts)


# --- makers of records ---


def _text(fields: Fields) -> Record:
    if fields.is_chat("text"):
        return _chat("text", fields)
    for name in (*_SYSTEM, "history", "tools"):
        if fields.row.get(name):
            raise RecordError(
                f"beside plain text there is the field {fields.name(name)!r}, which plain text has "
                f'no place for. Leave it out of what is read: columns={{"ignore": {name!r}}}.'
            )
    return {"text": filled(fields.text("text"), fields.name("text"))}


def _chat(field: str, fields: Fields) -> Record:
    messages = _with_context(fields.messages(field), fields)
    if not any(message["role"] == "assistant" for message in messages):
        raise RecordError(
            f"{fields.name(field)!r} has no assistant turn to learn from. Of rows that are prompts "
            f'alone, say so: columns={{"prompt": {fields.name(field)!r}}}.'
        )
    desired = fields.row.get("kto_tag")
    if isinstance(desired, bool):
        return _carried({**_split(messages, len(messages) - 1), "label": desired}, fields)
    return _carried(_by_weight(messages, fields.name(field)), fields)


def _by_weight(messages: Sequence[Message], field: str) -> Record:
    """Turns of weight 0 are not trained on: TRL's way to say so is prompt and completion."""
    turns = [i for i, each in enumerate(messages) if each["role"] == "assistant"]
    trained = [i for i in turns if _is_trained(messages[i])]
    if trained == turns:
        return {"messages": messages}
    if trained == [len(messages) - 1]:
        return _split(messages, len(messages) - 1)
    raise RecordError(
        f"{field!r} has assistant turns of weight 0 among others, which TRL cannot train on as "
        "asked. Split the row: a row for each turn that counts, which is its last."
    )


def _is_trained(message: Message) -> bool:
    return message.get("weight") not in (0, 0.0) and message.get("train") is not False


def _split(messages: Sequence[Message], at: int) -> Record:
    return {"prompt": list(messages[:at]), "completion": list(messages[at:])}


def _pair(prompts: tuple[str, ...], answer: str, fields: Fields) -> Record:
    """Prompt and answer: as text, or as messages where one is one, or where there is a context."""
    value = fields.row.get(answer)
    if answer == "output" and _is_ranked(value):
        best_and_worst = {**fields.row, "chosen": value[0], "rejected": value[-1]}
        return _preference(prompts, replaced(fields, best_and_worst))
    if _has_context(prompts, fields) or fields.has_chat(*prompts, answer):
        prompt = _prompt_messages(prompts, fields)
        record: Record = {"prompt": prompt, "completion": _answer(answer, fields)}
    else:
        question = _joined(prompts, fields)
        if question and prompts != ("prompt",) and not question[-1].isspace():
            question += "\n"  # TRL puts nothing between prompt and completion
        record = {"prompt": question, "completion": filled(value, fields.name(answer))}
        if not prompts:
            return {"text": record["completion"]}
    for name in _LABELS:
        if isinstance(fields.row.get(name), bool):
            record["label"] = fields.row[name]
    return _carried(record, fields)


def _is_ranked(value: Any) -> TypeGuard[list[str]]:  # noqa: ANN401 (any value of a row)
    """Whether it is a list of answers, the best first."""
    return isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)


def _joined(prompts: Sequence[str], fields: Fields) -> str:
    texts = (fields.text(name) for name in prompts)
    return "\n".join(text for text in texts if text)


def _prompt_messages(prompts: tuple[str, ...], fields: Fields) -> Sequence[Message]:
    if len(prompts) == 1 and fields.is_chat(prompts[0]):
        return _with_context(fields.messages(prompts[0]), fields)
    question = _joined(prompts, fields)
    return _with_context([{"role": "user", "content": question}] if question else [], fields)


def _answer(answer: str, fields: Fields) -> Sequence[Message]:
    messages = fields.messages(answer, "assistant")
    if not any(_says_something(each) for each in messages):
        filled("", fields.name(answer))
    return messages


def _says_something(message: Message) -> bool:
    return bool(str(message.get("content") or "").strip() or message.get("tool_calls"))


def _has_context(prompts: tuple[str, ...], fields: Fields) -> bool:
    """Whether there are fields for what stands before the prompt; of a pool, in every row.

    TRL reads no tools beside a prompt of text, so that in its own layout they say nothing.
    """
    row = fields.row
    return not _BEFORE.isdisjoint(row) or ("tools" in row and prompts != ("prompt",))


def _with_context(messages: Sequence[Message], fields: Fields) -> Sequence[Message]:
    """Messages with the row's system prompt and earlier turns before them."""
    before: list[Message] = []
    for name in _SYSTEM:
        said = fields.row.get(name)
        if isinstance(said, Mapping):  # Gemini's
            said = text_of(read_messages([{"role": "system", **said}], name, {}))
        if said:
            before.append({"role": "system", "content": as_text(said, fields.name(name))})
    if before and messages and messages[0]["role"] in ("system", "developer"):
        if messages[0].get("content") != before[0]["content"]:
            raise RecordError(
                f"two system prompts: {shown(before[0]['content'])} beside the conversation, and "
                f"{shown(messages[0].get('content'))} in it. Leave one of them out."
            )
        before = []
    before += _earlier_turns(fields)
    return [*before, *messages] if before else messages


def _earlier_turns(fields: Fields) -> Iterator[Message]:
    """The turns of a `history`: pairs of a question and an answer, or messages."""
    turns, name = fields.row.get("history"), fields.name("history")
    if turns is None:
        return
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise RecordError(f"{name!r} should be a list of earlier turns, found {shown(turns)}.")
    for turn in turns:
        if isinstance(turn, Mapping):
            yield from read_messages([turn], name, fields.roles, fields.ignored)
        elif isinstance(turn, Sequence) and not isinstance(turn, str) and len(turn) == 2:
            yield {"role": "user", "content": as_text(turn[0], name)}
            yield {"role": "assistant", "content": as_text(turn[1], name)}
        else:
            raise RecordError(
                f"{name!r} should hold pairs of a question and an answer, found {shown(turn)}."
            )


def _preference(prompts: tuple[str, ...], fields: Fields) -> Record:
    """Chosen and rejected answers; a prompt that is part of both stays where it is."""
    chats = [fields.is_chat(name) for name in ("chosen", "rejected")]
    if (
        not any(chats)
        and not any(map(fields.is_chat, prompts))
        and not _has_context(prompts, fields)
    ):
        answers = {n: filled(fields.text(n), fields.name(n)) for n in ("chosen", "rejected")}
        question = _joined(prompts, fields)
        if question and prompts != ("prompt",) and not question[-1].isspace():
            question += "\n"
        return _carried(({"prompt": question} if prompts else {}) | answers, fields)
    chosen, rejected = _answer("chosen", fields), _answer("rejected", fields)
    record: Record = {"chosen": chosen, "rejected": rejected}
    if not prompts or chosen[0]["role"] != "assistant":  # the prompt begins both
        return _carried(record, fields)
    prompt = _prompt_messages(prompts, fields)
    if prompts[0] in _CHATS and prompt and prompt[-1]["role"] == "assistant":
        prompt = prompt[:-1]
    return _carried({"prompt": prompt, **record}, fields)


def _openai_preference(fields: Fields) -> Record:
    given = fields.row["input"]
    if not isinstance(given, Mapping) or "messages" not in given:
        raise RecordError(f"'input' should hold messages and tools, found {shown(given)}.")
    answers = {
        "chosen": fields.row["preferred_output"],
        "rejected": fields.row["non_preferred_output"],
    }
    tools = {"tools": given["tools"]} if given.get("tools") else {}
    return _preference(
        ("prompt",), replaced(fields, {"prompt": given["messages"], **answers, **tools})
    )


def _calls(fields: Fields) -> Record:
    """A query and the tool calls that answer it, as xLAM and APIGen write them."""
    value = fields.row["answers"]
    calls = calls_of(value if isinstance(value, str) else "")
    if isinstance(value, list) and value and all(isinstance(call, Mapping) for call in value):
        calls = [{"type": "function", "function": dict(call)} for call in value]
    answer: Message = {"role": "assistant", "content": None, "tool_calls": calls}
    if not calls:
        answer = {"role": "assistant", "content": filled(fields.text("answers"), "answers")}
    return _carried(
        {"prompt": _prompt_messages(("query",), fields), "completion": [answer]}, fields
    )


def _prompt_only(fields: Fields) -> Record:
    for name in _ANSWERS:
        if name in fields.row:  # and null, or another layout would fit
            raise RecordError(
                f"field {fields.name(name)!r} is null (None): there is nothing to learn from it."
            )
    if fields.is_chat("prompt") or _has_context(("prompt",), fields):
        record: Record = {"prompt": _prompt_messages(("prompt",), fields)}
    else:
        record = {"prompt": filled(fields.text("prompt"), fields.name("prompt"))}
    references = {
        name: fields.row[name] for name in _REFERENCES if fields.row.get(name) is not None
    }
    return _carried(record | references, fields)


def _steps(fields: Fields) -> Record:
    steps = fields.row["completions"]
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise RecordError(f"'completions' should be a list of texts, found {shown(steps)}.")
    made = [as_text(step, f"completions[{i}]") for i, step in enumerate(steps)]
    return {"prompt": fields.text("prompt"), "completions": made, "labels": fields.row["labels"]}


def _segments(fields: Fields) -> Record:
    """Axolotl's segments: those that are trained on have to be the last ones."""
    parts, segments = ["", ""], fields.row["segments"]
    if not isinstance(segments, Sequence) or not all(isinstance(s, Mapping) for s in segments):
        raise RecordError(
            f"'segments' should be mappings of label and text, found {shown(segments)}."
        )
    for number, each in enumerate(segments):
        trained, said = bool(each.get("label")), as_text(each.get("text"), f"segments[{number}]")
        if parts[1] and not trained:
            raise RecordError(
                "'segments' has text that is not trained on after text that is, which TRL cannot "
                "express. Split the row where it goes on."
            )
        parts[trained] += said
    prompt, completion = parts[0], filled(parts[1], "segments")
    return {"prompt": prompt, "completion": completion} if prompt else {"text": completion}


def _carried(record: Record, fields: Fields) -> Record:
    """With what TRL reads beside a conversation."""
    values = ((name, fields.row.get(name)) for name in _CARRIED)
    record |= {name: value for name, value in values if value is not None}
    return record


def replaced(fields: Fields, row: Mapping[str, Any]) -> Fields:
    """The same fields of another row."""
    return Fields(row, fields.names, fields.roles, fields.ignored)


def _question(
    *prompts: str, answer: str, optional: tuple[str, ...] = (), beside: tuple[str, ...] = ()
) -> Layout:
    required = (*(name for name in prompts if name not in optional), answer)
    return Layout(required, partial(_pair, prompts, answer), optional, frozenset(beside))


def _compared(*prompts: str, optional: tuple[str, ...] = ()) -> Layout:
    required = (*(name for name in prompts if name not in optional), "chosen", "rejected")
    make = partial(_preference, prompts)
    return Layout(required, make, optional, frozenset({"messages", "text"}))


LAYOUTS = (
    _question("prompt", answer="completion"),  # TRL
    *(Layout((name,), partial(_chat, name), (), frozenset(_SAME_AS_CHAT)) for name in _CHATS),
    Layout(("text",), _text),
    _question("instruction", "input", answer="output", optional=("input",), beside=("text",)),
    _question("instruction", "context", answer="response", optional=("context",)),  # Dolly
    _question("input", answer="output"),  # the AirRep release, Nemotron
    _question("inputs", answer="targets"),  # FLAN
    *(
        _question(prompt, answer=answer, beside=_REFERENCES if answer == "solution" else ())
        for prompt, answer in (
            ("question", "answer"),
            ("question", "response"),
            ("prompt", "response"),
            ("query", "response"),
            ("query", "answer"),
            ("problem", "solution"),
            ("problem", "answer"),
            ("user", "assistant"),
        )
    ),
    _compared(),
    *(_compared(name) for name in ("prompt", "question", *_CHATS)),
    _compared("instruction", "input", optional=("input",)),
    Layout(("input", "preferred_output", "non_preferred_output"), _openai_preference),
    Layout(("query", "answers", "tools"), _calls),
    Layout(("prompt",), _prompt_only, _REFERENCES),
    Layout(("prompt", "completions", "labels"), _steps),
    Layout(("segments",), _segments),
)

# All that a record may be made of.
READ = frozenset(
    {name for each in LAYOUTS for name in (*each.required, *each.optional)}
    | {*_SYSTEM, *_REFERENCES, *_LABELS, *_CARRIED, *_ANSWERS, "history"}
)
