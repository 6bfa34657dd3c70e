"""The output directory: results never replace an input, or a file that is not ours.

DIR/.files.json   the names of the files that selections write to DIR, and the run that writes
                  them; there before the first of them is, so that a run that was killed knows its
                  own files again
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from airrep.disk.atomic import check_writable
from airrep.disk.locks import locked
from airrep.disk.paths import not_ours, user_path
from airrep.disk.sealed import read_sealed, write_sealed
from airrep.errors import ArgumentError, FileFormatError, OutputError
from curate.manifest.check import check_manifest
from curate.manifest.provenance import FILES_KEY, MANIFEST_FILE, identity, run_in
from curate.report.kept.file import INSIGHT_FILES
from curate.rows.io import places_of
from curate.writing.file_format import ENDINGS, FileEnding, FileFormat

RECORD = ".files.json"
REMOVED, SKIPPED = "removed.jsonl", "skipped.jsonl"
LOCK = ".lock"
_FORMAT = 1


def check_apart(output: str | Path, inputs: Mapping[str, object]) -> None:
    """Refuse an output directory that is, or holds, one of the inputs.

    Results could replace it, and a pattern that finds the input would find the results next time.

    Args:
        output: Directory for results.
        inputs: For each input ("pool", "model"), what the user gave; what does not lie on this
            disk is passed over.

    Raises:
        ArgumentError: An input lies inside.
    """
    if "\0" in str(output):
        raise ArgumentError("output: a null character is in it, which no path has. Name another.")
    directory = Path(os.path.realpath(user_path(output, "output")))
    for name, given in inputs.items():
        for place in places_of(given):
            if Path(os.path.realpath(place)).is_relative_to(directory):
                raise ArgumentError(
                    f"{name}: {place} lies inside the output directory {output}; results could "
                    "replace it. Choose an output directory that holds none of the inputs, for "
                    f"instance {Path(output) / 'results'}."
                )


def check_format(format: str) -> None:  # noqa: A002
    """Refuse a file format that `TrainingSet.save` cannot write.

    Raises:
        ArgumentError: The format is unknown.
    """
    if format not in get_args(FileFormat):
        raise ArgumentError(
            f"format {format!r} is unknown; choose {', '.join(get_args(FileFormat))}."
        )


def check_directory(directory: Path, ending: FileEnding) -> None:
    """Find out before the work that a selection cannot be written to a directory.

    Args:
        directory: Made, if it is not there.
        ending: How the names of the files end that will be written.

    Raises:
        OutputError: It cannot be written to, or holds files of these names that are not ours.
    """
    check_replaceable(directory, ending)
    check_writable(directory)
    with locked(directory / LOCK):  # it will be needed, and may be somebody else's
        check_replaceable(directory, ending)


def check_replaceable(directory: Path, ending: FileEnding) -> None:
    """Refuse a directory in which a file stands that would be replaced and is not ours.

    Raises:
        OutputError: Neither a manifest of ours nor the record beside it lists the file.
    """
    there = []
    for name in (*file_names(ending), MANIFEST_FILE):
        file = directory / name
        above = file.parent
        if above != directory and os.path.lexists(above) and not above.is_dir():
            raise not_ours(above)
        if os.path.lexists(file):
            there.append((name, file))
    ours = listed(directory)  # after that look: another process has listed what it writes now
    for name, file in there:
        if name not in ours or file.is_dir():
            raise not_ours(file)


def file_names(ending: FileEnding) -> tuple[str, ...]:
    """What a selection writes beside its manifest."""
    return (f"train.{ending}", f"selection.{ending}", REMOVED, SKIPPED, *INSIGHT_FILES)


def listed(directory: Path) -> set[str]:
    """The files of a directory that a selection wrote, or was about to write."""
    found: set[str] = set()
    with suppress(FileFormatError, KeyError, TypeError):  # there is none, or it is damaged
        found |= set(read_sealed(directory / RECORD)[FILES_KEY])
    manifest = read_manifest(directory)
    if manifest is not None:
        everything = (name for ending in ENDINGS for name in file_names(ending))
        found |= {MANIFEST_FILE, *manifest.get(FILES_KEY, everything)}
    return found


def remember(directory: Path, ending: FileEnding, manifest: Mapping[str, Any]) -> None:
    """Write down what is about to be written.

    Args:
        directory: Where.
        ending: How the names of the files end.
        manifest: Manifest of the selection.

    Raises:
        OutputError: The directory cannot be written to.
    """
    names = sorted(listed(directory) | {*file_names(ending), MANIFEST_FILE})
    written = {"format": _FORMAT, FILES_KEY: names, "run": run_in(manifest)}
    write_sealed(directory / RECORD, written)


def check_run(
    directory: Path,
    run: Mapping[str, Any],
    objects: Mapping[str, object] = MappingProxyType({}),
    *,
    overwrite: bool,
) -> None:
    """Refuse a directory that holds the selection of another run, unless it may be replaced.

    Args:
        directory: For the results.
        run: See `curate.manifest.provenance.run_of`; a selector of None is one that is not known
            yet.
        objects: Arguments that a manifest cannot hold, because they are no names: an encoder and a
            language model are known by their fingerprint, others are never the same.
        overwrite: Whether another run's selection may be replaced.

    Raises:
        OutputError: It holds another run's.
    """
    if overwrite or not holds_selection(directory):
        return
    manifest = read_manifest(directory)
    known = _remembered_run(directory) if manifest is None else run_in(manifest)
    if known is None:
        return  # no manifest that could be replaced: the files of another are not listed
    given = {**run["arguments"]}
    if given.get("selector", "") is None:
        given["selector"] = known["arguments"].get("selector")
    asked = json.loads(json.dumps({**run, "arguments": given}))
    others = [
        name
        for part in ("arguments", "inputs")
        for name in sorted({*asked[part], *known[part]})
        if name not in objects and asked[part].get(name) != known[part].get(name)
    ]
    prints = [each.get("fingerprint") for each in (manifest or {}).get("encoders", [])]
    others += [n for n, each in objects.items() if getattr(each, "fingerprint", "") not in prints]
    if asked["verb"] != known["verb"]:
        others = [f"it is of curate {known['verb']}"]
    if others:
        raise OutputError(
            f"{directory}: holds the selection of another run (other than now: "
            f"{', '.join(others)}). Choose another directory, or replace it: overwrite=True "
            "(--overwrite)."
        )


def holds_selection(directory: Path) -> bool:
    """Whether a selection is there, whole or damaged."""
    return os.path.lexists(directory / MANIFEST_FILE)


def check_same_selection(directory: Path, manifest: Mapping[str, Any], *, overwrite: bool) -> None:
    """Refuse a directory that holds another selection, unless it may be replaced.

    Raises:
        OutputError: It holds another.
    """
    found = read_manifest(directory)
    if not overwrite and found is not None and identity(found) != identity(manifest):
        raise OutputError(
            f"{directory}: holds another selection. Choose another directory, or replace it: "
            "overwrite=True."
        )


def _remembered_run(directory: Path) -> dict[str, Any] | None:
    """The run that the record beside a manifest names; None if it is damaged as well."""
    with suppress(FileFormatError, KeyError):
        found: dict[str, Any] = read_sealed(directory / RECORD)["run"]
        return found
    return None


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of the selection in a directory; None if there is none, or it is damaged."""
    try:
        content: dict[str, Any] = json.loads((directory / MANIFEST_FILE).read_text("utf-8"))
        check_manifest(content, directory / MANIFEST_FILE)
    except (OSError, ValueError, RecursionError):
        return None
    return content
