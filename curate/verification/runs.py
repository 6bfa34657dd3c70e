"""Directories of `curate record`, and those inside a benchmark or a training."""

from __future__ import annotations

from pathlib import Path

from airrep.console.wording import counted
from airrep.errors import SupervisionError
from airrep.supervision import SubsetPlan, read_run, read_run_file, run_file
from curate.stages.recorded_model import MODEL_FILE, recorded_facts
from curate.verification.findings import Finding, Place, remove

KIND = "subset runs"
_AGAIN = "the command that recorded the runs, started again,"


def check_runs(directory: Path) -> Place:
    """Read the plan, every run and what is known of the model."""
    findings = []
    plan = None
    try:
        plan = SubsetPlan.load(directory)
    except SupervisionError as error:
        files = [directory / name for name in ("plan.json", "plan.safetensors")]
        mend = f"both files of the plan are removed; {_AGAIN} draws the same one and keeps the runs"
        if any(file.exists() for file in files):  # else it is yet to be drawn (again)
            findings.append(Finding(files[0], _reason(error), mend, remove(*files)))
    try:
        recorded_facts(directory)
    except SupervisionError as error:
        file = directory / MODEL_FILE
        mend = f"it is removed; {_AGAIN} writes it anew"
        findings.append(Finding(file, _reason(error), mend, remove(file)))
    files_there = sorted((directory / "runs").glob("*.safetensors"))
    planned = set() if plan is None else {run_file(directory, *run) for run in plan.runs}
    for file in files_there:
        if plan is not None and file not in planned:
            found = Finding(file, "no run of this plan", "see where it comes from, or delete it")
            findings.append(found)
            continue
        try:
            read_run_file(file) if plan is None else read_run(file, plan)
        except SupervisionError as error:
            mend = f"it is removed; {_AGAIN} trains this run again"
            findings.append(Finding(file, _reason(error), mend, remove(file)))
    return Place(directory, KIND, _note(len(files_there), plan), findings)


def _note(there: int, plan: SubsetPlan | None) -> str:
    if plan is None:
        return f"{counted(there, 'run')} without a plan, which {_AGAIN} draws"
    unfinished = "" if there >= len(plan.runs) else ", unfinished"
    return f"{there:,} of {counted(len(plan.runs), 'run')}{unfinished}"


def _reason(error: SupervisionError) -> str:
    """The message's middle: without the file before it, and without what to do."""
    return str(error).split(": ", 1)[-1].split("; ", 1)[0].rstrip(".")
