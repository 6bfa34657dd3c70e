"""Directories of `curate benchmark` and `curate train`: what binds them, and what they hold."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from airrep.console.wording import counted
from airrep.disk.digests import file_digest
from airrep.disk.sealed import read_sealed
from curate.verification.findings import Finding, Place, noted, remove
from eval_harness.benchmark.trial_file import read_trial
from eval_harness.files.array_file import read_array
from eval_harness.files.outputs import CHECKSUMS, read_checksums

_AGAIN = "the same command, started again,"
_ANEW = f"it is removed; {_AGAIN} writes it anew"
_BINDING = ("config.json", "inputs.json")


def check_output(directory: Path) -> Place:
    """What the directory is bound to, and the results."""
    training = (directory / "training").is_dir()
    listed = directory / CHECKSUMS
    findings: list[Finding] = []
    for file in (directory / name for name in _BINDING):
        mend = (
            "if you know what the directory was made with, delete the file, and the same command "
            "writes it anew; else delete the directory"
        )
        if file.exists() or listed.exists():
            with noted(findings, file, mend):
                read_sealed(file)
    digests: dict[str, str] = {}
    with noted(findings, listed, _ANEW, remove(listed)):
        digests = read_checksums(directory)
    for name, digest in digests.items():
        file = directory / name
        if not file.is_file() or file_digest(file) != digest:
            findings.append(_altered(directory, file))
    note = "finished" if digests else "unfinished, or of a version without digests"
    return Place(directory, "encoder training" if training else "benchmark", note, findings)


def check_trials(directory: Path) -> Place:
    """Read every trial."""
    files = sorted(directory.glob("*.json"))
    findings: list[Finding] = []
    for file in files:
        with noted(findings, file, f"it is removed; {_AGAIN} runs this trial again", remove(file)):
            read_trial(file)
    return Place(directory, "trials of a benchmark", f"{len(files):,} done", findings)


def check_arrays(directory: Path, names: str = "*.npy") -> Place:
    """Compare every array with the digest beside it."""
    files = sorted(directory.glob(names))
    findings: list[Finding] = []
    mend = f"it is removed with its .json; {_AGAIN} computes it again"
    for file in files:
        with noted(findings, file, mend, remove(file, file.with_suffix(".json"))):
            read_array(file)
    return Place(directory, "scores", counted(len(files), "method"), findings)


def check_training(directory: Path) -> Place:
    """The state of a training, its teacher, and what it says came out."""
    record = directory / "learned.json"
    findings = check_arrays(directory, "teacher.npy").findings + _state(directory, record)
    if record.exists():
        with noted(findings, record, _ANEW, remove(record)):
            read_sealed(record)
    note = "done" if record.exists() else "not done"
    return Place(directory, "training of an encoder", note, findings)


def _state(directory: Path, record: Path) -> list[Finding]:
    # here, because it brings torch
    from airrep.training.state import FIGURES_FILE, STATE_FILE, check_state, write_figures

    state, figures = directory / STATE_FILE, directory / FIGURES_FILE
    findings: list[Finding] = []
    if state.exists():
        mend = f"it is removed; {_AGAIN} trains anew, and ends with the same weights"
        with noted(findings, state, mend, remove(state, record)):
            check_state(directory)
            mend = "it is written anew from the state; only people read it"
            with noted(findings, figures, mend, partial(write_figures, directory)):
                read_sealed(figures)
    return findings


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
