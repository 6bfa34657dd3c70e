"""The influence of a row on a target, token by token.

With g_x the gradient of target x's loss, ℓ_t the loss of the t-th of the n completion tokens of row
z, whose loss is their mean, and u_x = D⁻¹ g_x scaled to an rms of 1, the step of Adam that the
scorer `nudge` takes (D = √v, Adam's second moments v, here from batches of the chosen rows):

    share_t = learning_rate · ⟨u_x, ∇ℓ_t⟩ / n        Σ_t share_t = learning_rate · ⟨u_x, ∇L_z⟩

which is the fall of the row's loss, in nats, for a typical step of Adam on the target. `nudge`
with "jvp" scores n times as much, because it counts the sum of the tokens' losses. One backward
pass over the target and one forward-mode pass over the row give all shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airrep.disk.paths import user_path
from airrep.errors import ArgumentError
from airrep.records import Example, with_roles
from curate.report import Insight, TokenExplanation, TokenShare, explain
from curate.report.explanation import RowExplanation
from curate.report.kept.insight import RowText
from curate.stages.inputs import read_input
from curate.stages.scorer_choice import load_model

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from airrep.language_model.tokens import Tokens

_BATCH, _DRAWS = 20, 10  # rows of a batch, and batches at most, of Adam's moments
_UNFINISHED = "\ufffd"  # what decoding ends in where a token holds a part of a character


def check_asked(*, target: bool, tokens: bool, model: object, for_target: object) -> None:
    """Refuse options of an explanation that do not go together.

    Args:
        target: Whether the id is a target's.
        tokens: Whether the row's influence is divided over its tokens.
        model: The model, if one was named.
        for_target: Id of the target, if one was named.

    Raises:
        ArgumentError: They do not go together, or the model is missing.
    """
    if tokens and target:
        raise ArgumentError(
            "tokens are explained of a pool row: give its id without target, and name the target "
            "by for_target (--for)."
        )
    if tokens and model is None:
        raise ArgumentError(
            "shares of tokens come from gradients of the language model that you fine-tune; name "
            "it: model=... (--model ...)."
        )
    if not tokens and for_target is not None:
        raise ArgumentError(
            "for_target (--for) is for an explanation of tokens; ask for it by tokens=True "
            "(--tokens), or leave it out."
        )


def explain_tokens(
    insight: Insight,
    name: str | int,
    for_target: str | int | None,
    model: str | Path | LanguageModel,
    *,
    chosen: Sequence[Example],
    pool: Sequence[Example] | None = None,
    targets: Sequence[Example] | None = None,
    progress: bool = False,
) -> TokenExplanation:
    """Divide a row's influence on a target over the tokens of the row's completion.

    Args:
        insight: What is known of the selection.
        name: Id of the row.
        for_target: Id of the target; default the one that earned the row, or that it helps most.
        model: The language model that is fine-tuned.
        chosen: The chosen rows, best first.
        pool: The rows that could be chosen, where they are in memory.
        targets: The targets, where they are in memory.
        progress: Show a progress bar.

    Raises:
        ArgumentError: No such row or target, or one whose text or answer cannot be had; no model.
        CurateError: The model or the inputs cannot be read.
    """
    said = explain(insight, name)
    assert isinstance(said, RowExplanation)
    if said.earned_by is None:
        raise ArgumentError(
            f"row {said.id} was removed from the pool before anything was scored, so that it has "
            "no influence to divide; ask for a row that could be chosen."
        )
    asked = explain(insight, said.earned_by.id if for_target is None else for_target, target=True)
    x = [each.id for each in insight.targets].index(asked.id)
    row = insight.ids.index(said.id)
    kept = insight.targets[x]
    target = targets[x] if targets is not None else _from_input(insight, "targets", x, kept)
    if said.rank is not None:
        example = chosen[said.rank]
    elif pool is not None:
        example = pool[row]
    else:
        example = _from_input(insight, "pool", row, insight.texts.get(row))
    for what, each in ((f"target {target.id}", target), (f"row {said.id}", example)):
        _check_single(what, each)
    loaded = load_model(model)
    shares = token_shares(loaded, example, target, chosen, progress=progress)
    label = " ".join(f"{target.prompt} → {target.completion}".removeprefix(" → ").split())
    return TokenExplanation(
        said.id,
        target.id,
        sum(each.share for each in shares),
        tuple(shares),
        example.prompt,
        label,
        Path(loaded.name).name,
    )


def token_shares(
    model: LanguageModel,
    row: Example,
    target: Example,
    trained: Sequence[Example],
    *,
    progress: bool = False,
) -> list[TokenShare]:
    """The shares of a row's completion tokens, by the formula above.

    Args:
        model: The model.
        row: The row.
        target: The target.
        trained: Rows like those that will be trained on; Adam's moments are estimated from them.
        progress: Show a progress bar.

    Raises:
        ArgumentError: The network has no forward derivative.
        EmbeddingError: A gradient is NaN or infinite.
    """
    from airrep.gradients.moments import second_moments  # here, because they bring torch
    from airrep.gradients.nudges import adam_direction, token_slopes
    from selection.scorers.nudge import NudgeScorer

    draws = min(_DRAWS, -(-len(trained) // _BATCH))
    moments = second_moments(
        model, trained, batch_size=_BATCH, draws=draws, dtype="float32", progress=progress
    )
    direction = adam_direction(model, model.tokenize([target]), moments)
    (tokens,) = model.tokenize([row])
    slopes = token_slopes(model, tokens, direction)
    shares = slopes * NudgeScorer.learning_rate / len(slopes)
    return list(_in_words(model, tokens, shares.tolist()))


def _in_words(model: LanguageModel, tokens: Tokens, shares: list[float]) -> Iterator[TokenShare]:
    """The tokens as text; those that make one character together become one."""
    ids, done, share = tokens.completion, "", 0.0
    for i in range(len(ids)):
        text = model.tokenizer.decode(ids[: i + 1], clean_up_tokenization_spaces=False)
        share += shares[i]
        if text.endswith(_UNFINISHED) and i + 1 < len(ids):
            continue
        yield TokenShare(text[len(done) :], share)
        done, share = text, 0.0


def _check_single(what: str, example: Example) -> None:
    if not example.completion.strip():
        raise ArgumentError(
            f"{what} has no completion, and so no loss whose gradient could be taken; ask for "
            "another (targets: for_target=..., --for ...)."
        )
    if example.against is not None or example.label is False:
        raise ArgumentError(
            f"{what} compares answers or has one that is not wished for; tokens are explained of "
            "rows and targets with one answer that is learned."
        )


def _from_input(insight: Insight, name: str, number: int, kept: RowText | None) -> Example:
    """A row of the pool, or a target: from the file that the manifest names, or as far as kept.

    Args:
        insight: What is known of the selection.
        name: "pool" or "targets".
        number: Position among the pool rows that could be chosen, or among the targets.
        kept: Its text, as far as it is kept.
    """
    asked, record = insight.manifest["arguments"], insight.manifest["inputs"][name]
    what = f"pool row {insight.ids[number]}" if name == "pool" else f"target {number}"
    source = asked.get(name)
    if source is not None and _are_there([source] if isinstance(source, str) else source):
        columns, other = asked.get("columns"), asked.get("target_columns")
        wanted = columns if name == "pool" or other is None else other
        mode = asked.get("on_bad_row", "error")
        found = read_input(source, name, with_roles(wanted, asked.get("roles")), mode)
        if found.record.fingerprint == record["fingerprint"]:
            is_pool = name == "pool"
            row = int(insight.rows[number]) if is_pool else int(found.examples.rows[number])
            return found.example_at(row)
        raise ArgumentError(
            f"{what}: {record['name']} is no longer what the selection was made from; select again."
        )
    if kept is None or _is_cut(kept):
        left = "its text is not kept" if kept is None else "only the beginning of its text is kept"
        raise ArgumentError(
            f"{what}: {left}, and {record['name']}, from which it was read, is not there. Select "
            "again from a file that stays where it is, or in Python call explain on the result of "
            "select."
        )
    return Example(kept.id, kept.prompt, kept.completion, kept.source)


def _are_there(sources: Sequence[str]) -> bool:
    return all(user_path(each, "path").exists() for each in sources)


def _is_cut(kept: RowText) -> bool:
    found = len(kept.prompt), len(kept.completion)
    return found != (kept.prompt_characters, kept.completion_characters)
