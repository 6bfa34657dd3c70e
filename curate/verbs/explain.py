"""The verb `explain`: why a row is in, and which of its tokens speak for a target."""

from __future__ import annotations

from pathlib import Path

from curate.report.explain import explain as explain_insight
from curate.report.explanation import Explanation
from curate.report.kept.file import read_insight
from curate.report.token_explanation import TokenExplanation


def explain(
    directory: str | Path,
    name: str | int,
    *,
    target: bool = False,
    tokens: bool = False,
    model: str | Path | None = None,
    for_target: str | int | None = None,
    progress: bool = False,
) -> Explanation | TokenExplanation:
    """Say why a pool row is in or not, or which rows help a target most and least.

    With tokens, say which tokens of the row's completion speak for a target.

    Args:
        directory: That `curate select --output` wrote.
        name: Id of a pool row, or of a target; positions from 0 unless columns named an id.
        target: The id is a target's.
        tokens: Divide the row's influence on a target over the tokens of its completion, by
            gradients of the model (docs/report.md).
        model: For tokens: directory or hub id of the language model that you fine-tune.
        for_target: For tokens: id of the target; default the one that earned the row, or, of a row
            that is not in, the one that it helps most.
        progress: Show a progress bar.

    Returns:
        The explanation; as text, what there is to say.

    Raises:
        MissingInputError: The directory holds no selection, or one without what this needs; no
            such model.
        FileFormatError: What it holds is damaged.
        ArgumentError: No row has this id, or no target; options that do not go together; or for
            tokens, the row or the target has no text or no influence to look at.
    """
    if tokens or for_target is not None:
        from curate.training_set import TrainingSet  # here, because it brings datasets

        return TrainingSet.load(directory).explain(
            name,
            target=target,
            tokens=tokens,
            model=model,
            for_target=for_target,
            progress=progress,
        )
    return explain_insight(read_insight(directory), name, target=target)
