"""Directories of `curate record`, and those inside a benchmark or a training."""

from __future__ import annotations

from pathlib import Path

from airrep.console.wording import counted
from airrep.supervision import SubsetPlan, read_run, read_run_file, run_file
from curate.stages.recorded_model import MODEL_FILE, recorded_facts
from curate.verification.findings import Finding, Place, noted, remove

KIND = "subset runs"
_AGAIN = "the command that recorded the runs, started again,"


def check_runs(directory: Path) -> Place:
    """Read the plan, every run and what is known of the model."""
    drawn = [directory / name for name in ("plan.json", "plan.safetensors")]
    mend = f"both files of the plan are removed; {_AGAIN} draws the same one and keeps the runs"
    findings: list[Finding] = []
    plan = None
    if any(file.exists() for file in drawn):  # else it is yet to be drawn (again)
        with noted(findings, drawn[0], mend, remove(*drawn)):
            plan = SubsetPlan.load(directory)
    file = directory / MODEL_FILE
    with noted(findings, file, f"it is removed; {_AGAIN} writes it anew", remove(file)):
        recorded_facts(directory)
    files_there = sorted((directory / "runs").glob("*.safetensors"))
    planned = set() if plan is None else {run_file(directory, *run) for run in plan.runs}
    for file in files_there:
        if plan is not None and file not in planned:
            found = Finding(file, "no run of this plan", "see where it comes from, or delete it")
            findings.append(found)
            continue
        with noted(findings, file, f"it is removed; {_AGAIN} trains this run again", remove(file)):
            read_run_file(file) if plan is None else read_run(file, plan)
    return Place(directory, KIND, _note(len(files_there), plan), findings)


def _note(there: int, plan: SubsetPlan | None) -> str:
    if plan is None:
        return f"{counted(there, 'run')} without a plan, which {_AGAIN} draws"
    unfinished = "" if there >= len(plan.runs) else ", unfinished"
    return f"{there:,} of {counted(len(plan.runs), 'run')}{unfinished}"
