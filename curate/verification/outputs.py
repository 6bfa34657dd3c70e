"""Directories of `curate benchmark` and `curate train`: what binds them, and what they hold."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from airrep.console.wording import counted
from airrep.disk.digests import file_digest
from airrep.disk.sealed import read_sealed
from airrep.errors import FileFormatError, SupervisionError
from curate.verification.findings import Finding, Place, remove
from eval_harness.benchmark.trial_file import read_trial
from eval_harness.files.array_file import read_array
from eval_harness.files.outputs import CHECKSUMS, read_checksums

_AGAIN = "the same command, started again,"
_BINDING = ("config.json", "inputs.json")


def check_output(directory: Path) -> Place:
    """What the directory is bound to, and the results."""
    training = (directory / "training").is_dir()
    findings = []
    for name in _BINDING:
        file = directory / name
        mend = (
            "if you know what the directory was made with, delete the file, and the same command "
            "writes it anew; else delete the directory"
        )
        try:
            if file.exists() or (directory / CHECKSUMS).exists():
                read_sealed(file, FileFormatError, "")
        except FileFormatError as error:
            findings.append(Finding(file, str(error.__cause__), mend))
    try:
        digests = read_checksums(directory)
    except FileFormatError as error:
        digests = {}
        file = directory / CHECKSUMS
        mend = f"it is removed; {_AGAIN} writes it anew"
        findings.append(Finding(file, str(error.__cause__ or error), mend, remove(file)))
    for name, digest in digests.items():
        file = directory / name
        if file.is_file() and file_digest(file) == digest:
            continue
        findings.append(_altered(directory, file))
    note = "finished" if digests else "unfinished, or of a version without digests"
    return Place(directory, "encoder training" if training else "benchmark", note, findings)


def check_trials(directory: Path) -> Place:
    """Read every trial."""
    files = sorted(directory.glob("*.json"))
    findings = []
    for file in files:
        try:
            read_trial(file)
        except FileFormatError as error:
            mend = f"it is removed; {_AGAIN} runs this trial again"
            findings.append(Finding(file, str(error.__cause__ or error), mend, remove(file)))
    return Place(directory, "trials of a benchmark", f"{len(files):,} done", findings)


def check_arrays(directory: Path, names: str = "*.npy") -> Place:
    """Compare every array with the digest beside it."""
    files = sorted(directory.glob(names))
    findings = []
    for file in files:
        try:
            read_array(file)
        except FileFormatError as error:
            beside = file.with_suffix(".json")
            mend = f"it is removed with its .json; {_AGAIN} computes it again"
            problem = str(error).split(": ", 1)[-1].split("; ", 1)[0]
            findings.append(Finding(file, problem, mend, remove(file, beside)))
    return Place(directory, "scores", counted(len(files), "method"), findings)


def check_training(directory: Path) -> Place:
    """The state of a training, its teacher, and what it says came out."""
    record = directory / "learned.json"
    findings = check_arrays(directory, "teacher.npy").findings + _state(directory, record)
    if record.exists():
        try:
            read_sealed(record, FileFormatError, "")
        except FileFormatError as error:
            mend = f"it is removed; {_AGAIN} writes it anew"
            findings.append(Finding(record, str(error.__cause__ or error), mend, remove(record)))
    note = "done" if record.exists() else "not done"
    return Place(directory, "training of an encoder", note, findings)


def _state(directory: Path, record: Path) -> list[Finding]:
    # here, because it brings torch
    from airrep.training.state import FIGURES_FILE, STATE_FILE, check_state, write_figures

    state, figures = directory / STATE_FILE, directory / FIGURES_FILE
    if not state.exists():
        return []
    try:
        check_state(directory)
    except SupervisionError as error:
        mend = f"it is removed; {_AGAIN} trains anew, and ends with the same weights"
        return [Finding(state, str(error.__cause__ or error), mend, remove(state, record))]
    try:
        read_sealed(figures, FileFormatError, "")
    except FileFormatError as error:
        mend = "it is written anew from the state; only people read it"
        problem = str(error.__cause__ or error)
        return [Finding(figures, problem, mend, partial(write_figures, directory))]
    return []


def _altered(directory: Path, file: Path) -> Finding:
    problem = "not what was written (its digest differs)" if file.is_file() else "missing"
    record = directory / "training" / "learned.json"
    inside = file.relative_to(directory).parts
    if inside[0] == "encoder":
        mend = f"{record.name} is removed, and {_AGAIN} saves the checkpoint again"
        return Finding(file, problem, mend, remove(record))
    if inside[:2] == ("training", "untrained"):
        # Its config is what says that it is there.
        mend = f"the checkpoint is dropped, and {_AGAIN} writes it anew"
        config = directory / "training" / "untrained" / "config.json"
        return Finding(file, problem, mend, remove(record, config, file))
    return Finding(file, problem, f"{_AGAIN} writes it anew; if you edited it, keep a copy")
