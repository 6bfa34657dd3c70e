"""A directory and what lies in it: which kinds they are, and what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from airrep.disk.paths import user_path
from airrep.disk.temporary import is_temporary, leftovers, remove_leftover
from airrep.errors import CurateError, MissingInputError, OutputError
from airrep.shards.files import MANIFEST
from curate.verification.findings import Finding, Place, Verification
from curate.verification.outputs import check_arrays, check_output, check_training, check_trials
from curate.verification.runs import check_runs
from curate.verification.selections import check_selection, is_selection
from curate.verification.stores import check_store

_ROUNDS = 2  # of mending: a manifest that is found again may show damaged shards


def verify(directory: str | Path, *, repair: bool = False) -> Verification:
    """Look for what is cut, altered, missing or left behind in what the library wrote.

    Args:
        directory: An embedding store, a directory of `record`, `benchmark` or `train`, a saved
            selection, or one that holds any of these.
        repair: Mend what can be computed again: damaged shards, runs, trials and scores are
            dropped, so that the next run of the same command makes them anew, and temporary files
            of killed runs are removed. Rows, results and checkpoints are never removed.

    Returns:
        What was recognised, what is wrong with it, and how to mend that.

    Raises:
        MissingInputError: No such directory, or nothing in it that the library wrote.
        StoreError: With `repair`: a run is adding to the store.
        OutputError: With `repair`: the directory cannot be written to.
    """
    root = user_path(directory, "directory")
    if not root.is_dir():
        raise MissingInputError(f"{root}: no such directory; name one that the library wrote.")
    places, findings = _look(root)
    if not places and not findings:
        raise MissingInputError(
            f"{root}: nothing here can be verified: no embedding store, no runs, no benchmark or "
            "training, no saved selection."
        )
    mended: list[Finding] = []
    for _ in range(_ROUNDS if repair else 0):
        now = [finding for finding in findings if finding.repair is not None]
        for finding in now:
            _repair(finding)
        mended += now
        places, findings = _look(root)
    return Verification(places, findings, mended)


def _look(root: Path) -> tuple[list[Place], list[Finding]]:
    places = list(_places(root))
    findings = [finding for place in places for finding in place.findings]
    findings += _temporary(root, [place.directory for place in places])
    return places, findings


def _directories(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """All directories that are not temporary, with the names of their files."""
    for place, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not is_temporary(Path(place) / name))
        yield Path(place), sorted(files)


def _temporary(root: Path, ours: list[Path]) -> Iterator[Finding]:
    """What killed runs left in the directory itself, and in and below those that are ours."""
    for directory, _ in _directories(root):
        if directory != root and not any(directory.is_relative_to(place) for place in ours):
            continue
        for path in leftovers(directory):
            problem, mend = "left by a run that was killed", "it is removed; nothing ever reads it"
            yield Finding(path, problem, mend, partial(_remove_leftover, path))


def _remove_leftover(path: Path) -> None:
    remove_leftover(path)


def _places(root: Path) -> Iterator[Place]:
    for directory, files in _directories(root):
        for recognises, check in _KINDS:
            if recognises(directory, files):
                yield check(directory)


def _repair(finding: Finding) -> None:
    assert finding.repair is not None
    try:
        finding.repair()
    except OSError as error:
        if isinstance(error, CurateError):
            raise
        raise OutputError(f"cannot mend {finding.file} ({error.strerror or error}).") from error


def _manifest(directory: Path, files: list[str]) -> Any:  # noqa: ANN401 (what JSON holds)
    if MANIFEST not in files:
        return None
    try:
        return json.loads((directory / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _is_store(directory: Path, files: list[str]) -> bool:
    content = _manifest(directory, files)
    shards = any(name.startswith("shard-") and name.endswith(".npy") for name in files)
    return shards or (isinstance(content, dict) and "shards" in content)


def _is_selection(directory: Path, files: list[str]) -> bool:
    saved = any(name.startswith("selection.") for name in files)
    inside = saved and (directory / "insight").is_dir()
    return inside or is_selection(_manifest(directory, files))


def _is_runs(directory: Path, files: list[str]) -> bool:
    runs = any((directory / "runs").glob("[0-9]*-[0-9]*.safetensors"))
    return runs or {"plan.json", "plan.safetensors"} & set(files) != set()


def _is_output(_: Path, files: list[str]) -> bool:
    return "inputs.json" in files or {"config.json", "checksums.json"} <= set(files)


def _is_scores(directory: Path, files: list[str]) -> bool:
    return directory.name == "scores" and any(name.endswith(".npy") for name in files)


def _is_trials(directory: Path, files: list[str]) -> bool:
    return directory.name == "trials" and any(name.endswith(".json") for name in files)


def _is_training(_: Path, files: list[str]) -> bool:
    return bool({"training.safetensors", "learned.json", "teacher.npy"} & set(files))


_KINDS: tuple[tuple[Callable[[Path, list[str]], bool], Callable[[Path], Place]], ...] = (
    (_is_store, check_store),
    (_is_selection, check_selection),
    (_is_runs, check_runs),
    (_is_output, check_output),
    (_is_trials, check_trials),
    (_is_scores, check_arrays),
    (_is_training, check_training),
)
