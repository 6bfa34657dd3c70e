"""The language model that recorded runs started from: a file beside the runs remembers it.

OUTPUT/model.json   where the model was, its format, and its losses before any training
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from airrep.disk.locks import locked
from airrep.disk.parts import discard, kept_in
from airrep.disk.paths import user_path
from airrep.disk.sealed import read_sealed, write_sealed
from airrep.errors import ArgumentError, MissingInputError, SupervisionError
from airrep.records import Example
from airrep.supervision import SubsetLosses
from curate.stages.scorer_choice import load_model
from eval_harness.runners.recipe import Precision

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel

MODEL_FILE = "model.json"
_FIELDS = {"model", "fingerprint", "separator", "max_tokens", "losses"}


def remember_model(
    directory: Path,
    model: str | Path,
    loaded: LanguageModel,
    evaluation: Sequence[Example],
    precision: Precision,
) -> npt.NDArray[np.float64]:
    """Write down which model the runs start from; returns its losses before them."""
    from airrep.language_model.losses import completion_losses  # it brings torch

    known = _facts_of(directory, model, loaded)
    if known and len(known["losses"]) == len(evaluation):
        before = np.array(known["losses"], dtype=np.float64)
    else:
        with kept_in(directory, MODEL_FILE):
            before = completion_losses(loaded, evaluation, dtype=precision)
    place = user_path(model, "model")
    content = {
        "model": str(place.resolve()) if place.exists() else str(model),
        "fingerprint": loaded.fingerprint,
        "separator": loaded.format.separator,
        "max_tokens": loaded.format.max_tokens,
        "losses": before.tolist(),
    }
    with locked(directory / ".lock"):  # of two models that begin at once, one is refused
        if content != _facts_of(directory, model, loaded):
            write_sealed(directory / MODEL_FILE, content)
    discard(directory, MODEL_FILE)
    return before


def _facts_of(directory: Path, model: str | Path, loaded: LanguageModel) -> dict[str, Any]:
    """What is known of this model; {} if nothing is.

    Raises:
        SupervisionError: The directory holds runs of another model, or the file is damaged.
    """
    known = recorded_facts(directory)
    if known and known["fingerprint"] != loaded.fingerprint:
        raise SupervisionError(
            f"{directory}: holds runs of another model ({known['model']}, fingerprint "
            f"{known['fingerprint']}); {model} has {loaded.fingerprint}: other weights, tokenizer, "
            "separator or max_tokens. Choose another directory, or delete this one."
        )
    return known


def recorded_facts(directory: Path) -> dict[str, Any]:
    """What `remember_model` wrote; {} if it did not.

    Raises:
        SupervisionError: The file is damaged.
    """
    file = directory / MODEL_FILE
    if not file.exists():
        return {}
    remedy = "delete it, and start the recording again: it writes it anew and keeps the runs"
    found = read_sealed(file, remedy, error=SupervisionError)
    if not found.keys() >= _FIELDS:
        raise SupervisionError("damaged (fields are missing)", where=file, remedy=remedy)
    return found


def recorded_model(
    directory: Path, recorded: SubsetLosses, model: str | Path | LanguageModel | None
) -> LanguageModel:
    """The model that the runs were recorded with.

    Raises:
        ArgumentError: It is not known where it is.
        MissingInputError: It is not where it was.
        SupervisionError: `model` is another one.
    """
    facts = recorded_facts(directory)
    if model is None and not facts:
        raise ArgumentError(
            f"{directory}: does not say which model was fine-tuned ({MODEL_FILE} is missing); "
            "name it: model=... (--model ...)."
        )
    options = {key: facts[key] for key in ("separator", "max_tokens") if key in facts}
    try:
        loaded = load_model(facts["model"] if model is None else model, **options)
    except MissingInputError as error:
        if model is not None:
            raise
        raise MissingInputError(
            error.problem,
            where=error.where,
            remedy=f"The runs in {directory} were recorded with it; say where it is now: "
            "model=... (--model ...)",
        ) from error
    expected = recorded.provenance["model"]
    if loaded.fingerprint != expected:
        raise SupervisionError(
            f"{directory}: holds runs of another model (fingerprint {expected}) than {loaded.name} "
            f"({loaded.fingerprint}): other weights, tokenizer, separator or max_tokens. Give the "
            "model they were recorded with, or record runs of this one in another directory."
        )
    return loaded
