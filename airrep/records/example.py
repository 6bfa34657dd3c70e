"""One training or target example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airrep.records.messages import text_of

_LAYOUT = ("text", "messages", "prompt", "completion", "chosen", "rejected", "completions", "label")
_CONTEXT = ("tools", "chat_template_kwargs")  # of a prompt that is a conversation


@dataclass(frozen=True, slots=True)
class Example:
    """One training or target example.

    Attributes:
        id: Unique within its collection; the row's position unless the user named an id column.
        prompt: What the model is given, as text; empty for plain text.
        completion: What the model should produce, as text; for plain text, all of it. Of a
            conversation, the last assistant turn with its reasoning and tool calls; of a
            preference, the chosen answer. Empty for a row that is only a prompt.
        source: Where the row says it comes from (a task or dataset name), or "".
        row: Position in the user's rows, from 0.
        record: The row as TRL's trainers read it, which `trl_record` returns; None stands for
            prompt and completion, or for plain text.

    Example:
        >>> Example("0", "Two and two?", "Four.").trl
        {'prompt': 'Two and two?', 'completion': 'Four.'}
    """

    id: str
    prompt: str
    completion: str
    source: str = ""
    row: int = 0
    record: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def trl(self) -> Mapping[str, Any]:
        """The row in the one TRL layout that fits it."""
        if self.record is not None:
            return self.record
        if self.prompt:
            return {"prompt": self.prompt, "completion": self.completion}
        return {"text": self.completion}

    @property
    def layout(self) -> str:
        """The record's fields that say what TRL makes of it, and whether they are messages."""
        record = self.trl
        fields = [name for name in _LAYOUT if name in record]
        chat = fields[0] != "messages" and not isinstance(record[fields[0]], str)
        return "+".join(fields) + " as messages" * chat

    @property
    def content(self) -> str:
        """Equal for rows that are trained on alike: roles, tools and arguments count as well."""
        texts = f"{self.prompt}\0{self.completion}"
        record = self.trl
        if record.keys() <= {"text", "prompt", "completion"}:
            shown = record.get("text", record.get("completion"))
            if shown == self.completion and record.get("prompt", "") == self.prompt:
                return texts
        return f"{texts}\0{json.dumps(record, ensure_ascii=False, default=str)}"

    @property
    def pair(self) -> Example:
        """The same with its last answer as the completion: what a conversation is asked for."""
        turns = self.trl.get("messages")
        if turns is None:
            return self
        last = max(i for i, turn in enumerate(turns) if turn["role"] == "assistant")
        carried = {k: v for k, v in self.trl.items() if k != "messages"}
        split = {"prompt": list(turns[:last]), "completion": [turns[last]]}
        return replace(self, record=split | carried)

    def answering(self, completion: str) -> Example:
        """The same prompt with another completion; what was rejected or wished for is dropped."""
        record = self.pair.trl
        made: dict[str, Any] = {k: record[k] for k in _CONTEXT if k in record}
        prompt = record.get("prompt")
        if prompt is None and "chosen" in record and not isinstance(record["chosen"], str):
            prompt = record["chosen"][:-1]
        if prompt is None:
            made["text"] = completion
        elif isinstance(prompt, str):
            made |= {"prompt": prompt, "completion": completion}
        else:
            turn = {"role": "assistant", "content": completion}
            made |= {"prompt": prompt, "completion": [turn]}
        return replace(self, completion=completion, record=made)

    @property
    def rejected(self) -> str | None:
        """The text of a preference's rejected answer; None for other rows."""
        answer = self.trl.get("rejected")
        if answer is None or isinstance(answer, str):
            return answer
        return text_of(answer if "prompt" in self.trl else answer[-1:])

    @property
    def against(self) -> Example | None:
        """The same prompt with a preference's rejected answer; None for other rows."""
        answer = self.trl.get("rejected")
        if answer is None:
            return None
        made: dict[str, Any] = {k: self.trl[k] for k in _CONTEXT if k in self.trl}
        prompt = self.trl.get("prompt")
        if prompt is None and not isinstance(answer, str):
            prompt, answer = answer[:-1], answer[-1:]
        made |= {"text": answer} if prompt is None else {"prompt": prompt, "completion": answer}
        return replace(self, completion=self.rejected or "", record=made)

    @property
    def label(self) -> bool | None:
        """Whether an unpaired answer (KTO) is desired; None for other rows."""
        label = self.trl.get("label")
        return label if isinstance(label, bool) else None
