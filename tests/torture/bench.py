"""What every fault is tried on: undisturbed results to compare with, places to work in, a tally."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
from children import Child, count_operations, start
from stages import STAGES, Results, Stage, differences, results

from airrep.disk.temporary import is_temporary
from curate.cli import main
from curate.verification import verify


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: its results, seconds, operations on files and size on disk."""

    place: Path
    results: Results
    seconds: float
    operations: int
    bytes: int


@dataclass
class Tally:
    """What was tried, what came of it, and what was lost."""

    fault: str
    stage: str
    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


class Bench:
    """Inputs, a folder to work in, and random numbers of its own."""

    def __init__(self, inputs: Path, work: Path, seed: int) -> None:
        self.inputs, self.work = inputs, work
        self.chance = np.random.default_rng(seed)
        self.logs = work / "logs"
        self.whole: dict[str, Undisturbed] = {}
        self.tallies: dict[tuple[str, str], Tally] = {}
        self._places = 0

    def tally(self, fault: str, stage: str) -> Tally:
        return self.tallies.setdefault((fault, stage), Tally(fault, stage))

    def undisturbed(self, name: str) -> Undisturbed:
        """Made once for each stage."""
        if name not in self.whole:
            if name == "report":
                chosen = self.undisturbed("select").place / STAGES["select"].output
                shutil.copytree(chosen, self.inputs / "chosen", dirs_exist_ok=True)
            # Once here, so that no child has to fill the caches of the libraries.
            with redirect_stdout(StringIO()):
                assert main(STAGES[name].command(self.inputs, self.place(f"warm-{name}"))) == 0
            stage, place = STAGES[name], self.place(f"whole-{name}")
            counted = self.work / f"{name}.operations"
            began = time.perf_counter()
            child = self.start(stage, place, count_operations(place, counted))
            assert child.wait() == 0, child.said
            seconds = time.perf_counter() - began
            size = int(subprocess.check_output(["du", "-sB1", place]).split()[0])
            self.whole[name] = Undisturbed(
                place, results(place), seconds, counted.stat().st_size, size
            )
            findings = verify(place).findings if name != "report" else []
            assert findings == [], findings
        return self.whole[name]

    def place(self, name: str = "") -> Path:
        self._places += 1
        place = self.work / (name or f"place-{self._places}")
        place.mkdir(parents=True)
        return place

    def copy(self, name: str) -> Path:
        """A place where the stage is done."""
        place = self.place()
        shutil.copytree(self.undisturbed(name).place, place, dirs_exist_ok=True)
        return place

    def start(self, stage: Stage, place: Path, prepare=None) -> Child:
        self._places += 1
        log = self.logs / f"{self._places}-{stage.name}.log"
        return start(stage.command(self.inputs, place), log, prepare)

    def finish(self, tally: Tally, stage: Stage, place: Path, prepare=None) -> None:
        """Run to the end, and compare with the undisturbed run; what is left behind goes."""
        child = self.start(stage, place, prepare)
        if child.wait() != 0:
            tally.lost.append(f"{stage.name} did not end: {child.said[-400:]}")
            return
        self.compare(tally, stage, place)
        tally.outcomes["ended alike"] += 1
        if stage.name == "report":
            return
        found = verify(place).findings
        left = [finding for finding in found if is_temporary(finding.file)]
        tally.lost += [f"after {tally.fault}: {f}" for f in found if f not in left]
        if left:
            tally.outcomes["left a temporary file"] += len(left)
            again = verify(place, repair=True)
            tally.lost += [f"not mended: {finding}" for finding in again.findings]

    def compare(self, tally: Tally, stage: Stage, place: Path) -> None:
        got = results(place)
        found = [
            name
            for name in differences(self.undisturbed(stage.name).results, got)
            # What was dropped and is needed by nothing that is left to do is not made again.
            if name in got or not ("/scores/" in name or "/teacher." in name)
        ]
        tally.lost += [f"{stage.name}, {place.name}: {name} differs" for name in found]

    def refused(self, tally: Tally, child: Child, *wanted: str) -> bool:
        """Whether it ended with one of our errors; anything else is lost."""
        said = child.said
        good = child.wait() == 1 and "Traceback" not in said
        if good and any(word in said for word in wanted):
            return True
        tally.lost.append(f"{tally.fault}: status {child.wait()}, {said[-600:]}")
        return False

    def clean(self, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
