"""Findings of a look at a directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airrep.errors import CurateError


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        file: Where.
        problem: What.
        mend: What to do about it, or what `repair` does.
        repair: Mends it without losing anything that cannot be computed again; None where that
            takes a decision.
    """

    file: Path
    problem: str
    mend: str
    repair: Callable[[], object] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}. {self.mend[:1].upper()}{self.mend[1:]}."


@dataclass(frozen=True)
class Place:
    """A directory that was recognized.

    Attributes:
        directory: Which.
        kind: What it holds, in words.
        note: How much of it, or that it is unfinished.
        findings: What is wrong.
    """

    directory: Path
    kind: str
    note: str
    findings: list[Finding]


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        places: What was recognized.
        findings: What is wrong, and was not mended.
        mended: What was wrong and is no longer.
    """

    places: list[Place]
    findings: list[Finding]
    mended: list[Finding]

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return not self.findings

    def __str__(self) -> str:
        lines = [f"{place.directory}: {place.kind}, {place.note}" for place in self.places]
        lines += [f"mended  {finding.file}: {finding.problem}" for finding in self.mended]
        lines += [f"wrong   {finding}" for finding in self.findings]
        by_itself = sum(finding.repair is not None for finding in self.findings)
        if by_itself:
            lines.append(f"--repair mends {by_itself} of {len(self.findings)}")
        if self.mended and self.fine:
            lines.append("run the command that wrote it again: it computes what was dropped")
        elif self.fine:
            lines.append("nothing is wrong")
        return "\n".join(lines)


def remove(*files: Path) -> Callable[[], None]:
    """A repair: remove files that are computed again when they are missing."""

    def repair() -> None:
        for file in files:
            file.unlink(missing_ok=True)

    return repair


@contextmanager
def noted(
    findings: list[Finding], file: Path, mend: str, repair: Callable[[], object] | None = None
) -> Iterator[None]:
    """Read a file in here: one of our errors becomes a finding.

    Args:
        findings: The finding is appended to these.
        file: See `Finding`, as for the next two.
        mend: What to do about it, or what `repair` does.
        repair: Mends it.
    """
    try:
        yield
    except CurateError as error:
        findings.append(Finding(file, error.problem.removesuffix("."), mend, repair))
