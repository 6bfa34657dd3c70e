"""A directory and what lies in it: which kinds they are, and what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from airrep.disk.paths import user_path
from airrep.disk.temporary import is_temporary, leftovers, remove_leftover
from airrep.errors import CurateError, MissingInputError, OutputError
from airrep.shards.files import MANIFEST
from curate.verification.findings import Finding, Place, Verification
from curate.verification.outputs import check_arrays, check_output, check_training, check_trials
from curate.verification.runs import check_runs
from curate.verification.selections import check_selection
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
        What was recognized, what is wrong with it, and how to mend that.

    Raises:
        MissingInputError: No such directory, or nothing in it that the library wrote.
        StoreError: With `repair`: a run is adding to the store.
        OutputError: With `repair`: the directory cannot be written to.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> chosen = curate.select(pool, targets, k=10, scorer="tfidf", output="chosen")
        >>> curate.verify("chosen").fine
        True
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
    places = [
        check(directory)
        for directory in _directories(root)
        for recognizes, check in _KINDS
        if recognizes(directory)
    ]
    findings = [finding for place in places for finding in place.findings]
    findings += _temporary(root, [place.directory for place in places])
    return places, findings


def _directories(root: Path) -> Iterator[Path]:
    """All directories that are not temporary."""
    for place, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if not is_temporary(Path(place) / name))
        yield Path(place)


def _temporary(root: Path, ours: list[Path]) -> Iterator[Finding]:
    """What killed runs left in the directory itself, and in and below those that are ours."""
    for directory in _directories(root):
        if directory != root and not any(directory.is_relative_to(place) for place in ours):
            continue
        for path in leftovers(directory):
            problem, mend = "left by a run that was killed", "it is removed; nothing ever reads it"
            yield Finding(path, problem, mend, partial(remove_leftover, path))


def _repair(finding: Finding) -> None:
    assert finding.repair is not None
    try:
        finding.repair()
    except CurateError:
        raise
    except OSError as error:
        raise OutputError(f"cannot mend {finding.file} ({error.strerror or error}).") from error


def _has(directory: Path, *patterns: str) -> bool:
    """Whether something in the directory has such a name."""
    return any(any(directory.glob(pattern)) for pattern in patterns)


def _manifest_says(directory: Path, key: str) -> bool:
    """Whether the directory has a manifest, of whatever kind, that has this key."""
    try:
        content = json.loads((directory / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and key in content


def _is_store(directory: Path) -> bool:
    return _has(directory, "shard-*.npy") or _manifest_says(directory, "shards")


def _is_selection(directory: Path) -> bool:
    saved = _has(directory, "selection.*") and (directory / "insight").is_dir()
    return saved or _manifest_says(directory, "manifest_version")


# How a directory is recognized, and what looks at it; one directory may be of several kinds.
_RUNS = ("plan.json", "plan.safetensors", "runs/[0-9]*-[0-9]*.safetensors")
_CLAIMED = ("config.json", "checksums.json")
_TRAINING = ("training.safetensors", "learned.json", "teacher.npy")
_KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Place]], ...] = (
    (_is_store, check_store),
    (_is_selection, check_selection),
    (lambda d: _has(d, *_RUNS), check_runs),
    (lambda d: _has(d, "inputs.json") or all(_has(d, n) for n in _CLAIMED), check_output),
    (lambda d: d.name == "trials" and _has(d, "*.json"), check_trials),
    (lambda d: d.name == "scores" and _has(d, "*.npy"), check_arrays),
    (lambda d: _has(d, *_TRAINING), check_training),
)
