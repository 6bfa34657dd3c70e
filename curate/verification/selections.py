"""Directories of `curate select --output` and `TrainingSet.save`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from airrep.console.wording import counted
from airrep.disk.digests import file_digest
from airrep.disk.sealed import check_format, read_sealed, reading
from airrep.errors import FileFormatError
from curate.manifest.provenance import FILES_KEY, MANIFEST_FILE, MANIFEST_VERSION, identity
from curate.report.kept.file import read_insight
from curate.report.seal import Seal, reports
from curate.verification.findings import Finding, Place, noted

KIND = "saved selection"


def check_selection(directory: Path) -> Place:
    """Compare every file with the digests in the manifest; nothing is ever removed."""
    file = directory / MANIFEST_FILE
    try:
        with reading(file, None, FileFormatError):
            manifest = read_sealed(file)
            check_format(manifest["manifest_version"], MANIFEST_VERSION, file, FileFormatError)
    except FileFormatError as error:
        mend = "select again into a new directory; if you edited it, that is all there is to it"
        problem = error.problem if file.exists() else "missing"
        return Place(directory, KIND, "unfinished", [Finding(file, problem, mend)])
    verb = manifest.get("verb", "select")
    again = f"select again: curate {verb} --config {file} --output {directory}"
    digests = manifest.get(FILES_KEY)
    if digests is None:
        findings = _readable(directory, again)
        return Place(directory, KIND, "of a version without digests", findings)
    findings = []
    for name, digest in digests.items():
        part = directory / name
        if not part.is_file():
            findings.append(Finding(part, "missing", again))
        elif file_digest(part) != digest:
            problem = "not what was written (its digest differs)"
            findings.append(Finding(part, problem, f"if you did not edit it, {again}"))
    shown = reports(directory)
    findings += _reports(shown, identity(manifest), directory)
    return Place(directory, KIND, counted(len(digests) + len(shown), "file"), findings)


def _reports(shown: dict[Path, Seal], mine: str, directory: Path) -> Iterator[Finding]:
    """Reports that were altered, or show another selection."""
    for file, seal in shown.items():
        again = f"delete it, and make it anew: curate report {directory} --output {file}"
        if seal.selection != mine:
            yield Finding(file, "a report of another selection than the one beside it", again)
        elif not seal.intact:
            problem = "not what was written (its digest differs)"
            yield Finding(file, problem, f"if you did not edit it, {again}")


def _readable(directory: Path, again: str) -> list[Finding]:
    """Of a selection without digests: what cannot be read."""
    findings = []
    for file in sorted(directory.glob("*.parquet")):
        try:
            pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            findings.append(Finding(file, f"cannot be read ({error})", again))
    if (directory / "insight").is_dir():
        with noted(findings, directory / "insight", again):
            read_insight(directory)
    return findings
