"""What the benchmarks share: options, data, the machine, memory, and the report they write.

Every benchmark writes NAME.md to read and NAME.json with each single value. The JSON holds what
was run (`settings`), on what (`machine`), and the same tables as the Markdown.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from airrep.disk.atomic import atomic_file, write_json

ROOT = Path(__file__).resolve().parents[2]
_MIB = 1 << 20


# --- options and data ---


def parser(description: str, *, data: bool = True) -> argparse.ArgumentParser:
    """The options that all benchmarks have; --worker is how they call themselves."""
    made = argparse.ArgumentParser(
        description=description.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument(
        "--output", type=Path, default=Path("out/benchmarks"), help="where the report goes"
    )
    if data:
        place = os.environ.get("CURATE_BENCH_DATA") or ROOT.parent / "shared" / "data"
        made.add_argument(
            "--data", type=Path, default=Path(place),
            help="directory that holds t0.parquet (environment: CURATE_BENCH_DATA)",
        )  # fmt: skip
    made.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    return made


def find_data(directory: Path, name: str) -> Path:
    """The data file; a benchmark without its data ends here, and that is not a failure."""
    file = directory / name
    if not file.is_file():
        print(f"skipped: there is no {file}; name its directory with --data or CURATE_BENCH_DATA.")
        raise SystemExit(0)
    return file


# --- memory, measured in a process of its own ---


def run_worker(
    script: str, task: dict[str, Any], given: object = None, *, python: str = sys.executable
) -> dict[str, Any]:
    """Run `script --worker TASK` with `given` as JSON on its standard input; its JSON answer."""
    done = subprocess.run(
        [python, script, "--worker", json.dumps(task)],
        input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def peak_mib() -> float:
    """The most memory this process has held so far; of the GPU, if it computes on one.

    Not `ru_maxrss` where it can be avoided: Linux lets a child begin with its parent's.
    """
    if gpu := _gpu():
        return gpu.max_memory_allocated() / _MIB
    return _status("VmHWM") or _maxrss()


def resident_mib() -> float:
    """The memory this process holds now (its peak, where the system does not tell)."""
    if gpu := _gpu():
        return gpu.memory_allocated() / _MIB
    return _status("VmRSS") or _maxrss()


def _gpu() -> Any:
    """torch.cuda, if this process has computed there."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _status(key: str) -> float | None:
    file = Path("/proc/self/status")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key)), None)


def _maxrss() -> float:
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (_MIB if sys.platform == "darwin" else 1024)


# --- the machine ---


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(threads: int) -> dict[str, Any]:
    """Hardware and versions, as far as they can be found out."""
    memory = None
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    packages = ("airrep-curate", "torch", "transformers", "sentence-transformers", "numpy")
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "threads": threads,
        "memory_gib": memory and round(memory, 1),
        "load_at_start": [round(x, 2) for x in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in packages}},
    }


def _cpu_model() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# --- the report ---


@dataclass(frozen=True)
class Spread:
    """Repeats of one measurement: a center, and how far they lie apart."""

    values: Sequence[float]
    center: Callable[[Sequence[float]], float] = statistics.median
    decimals: int | None = None  # None: three significant digits

    def __str__(self) -> str:
        summary = (self.center(self.values), min(self.values), max(self.values))
        middle, low, high = (
            number(x) if self.decimals is None else f"{x:.{self.decimals}f}" for x in summary
        )
        return middle if len(self.values) == 1 else f"{middle} ({low}–{high})"

    def to_json(self) -> dict[str, Any]:
        """Center, extremes and every value."""
        return {
            self.center.__name__: self.center(self.values),
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
        }


@dataclass(frozen=True)
class Table:
    """One table: cells are text, numbers, `Spread`s, or None for an empty one."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""

    def to_markdown(self) -> str:
        """Title, table, note."""
        ruler = ["---", *["---:"] * (len(self.columns) - 1)]
        cells = [[_cell(value) for value in row] for row in self.rows]
        lines = [f"| {' | '.join(line)} |" for line in (self.columns, ruler, *cells)]
        return "\n".join([f"## {self.title}", "", *lines, *(["", self.note] if self.note else [])])

    def to_json(self) -> dict[str, Any]:
        """One mapping per row."""
        rows = [
            {
                name: value.to_json() if isinstance(value, Spread) else value
                for name, value in zip(self.columns, row, strict=True)
            }
            for row in self.rows
        ]
        return {"title": self.title, "rows": rows, "note": self.note}


@dataclass(frozen=True)
class Report:
    """A benchmark's result."""

    name: str
    title: str
    introduction: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    tables: Sequence[Table]
    details: dict[str, Any] = field(default_factory=dict)

    def write(self, output: Path) -> None:
        """Write NAME.md and NAME.json, whole or not at all, and show the Markdown."""
        text = self.to_markdown()
        with atomic_file(output / f"{self.name}.md") as temporary:
            temporary.write_text(text, "utf-8")
        content = {
            "name": self.name,
            "title": self.title,
            "settings": self.settings,
            "machine": self.machine,
            "tables": [table.to_json() for table in self.tables],
            "details": self.details,
        }
        write_json(output / f"{self.name}.json", content)
        print(f"\n{text}\nwrote {output / self.name}.md and .json")

    def to_markdown(self) -> str:
        """The report to read."""
        on = self.machine
        versions = ", ".join(f"{name} {v}" for name, v in on["versions"].items() if v)
        memory = f"{on['memory_gib']} GiB" if on["memory_gib"] else "unknown memory"
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        footer = (
            f"Settings: {settings}.\n\n"
            f"Machine: {on['cpu']}, {on['cores']} cores, {on['threads']} threads, {memory}, "
            f"{on['system']}; load average at the start {on['load_at_start'][0]}. {versions}."
        )
        parts = [f"# {self.title}", self.introduction, *(t.to_markdown() for t in self.tables)]
        return "\n\n".join([*parts, footer]) + "\n"


def number(value: float) -> str:
    """Three significant digits, in full: 0.0123, 45.6, 1,230."""
    if value == 0 or not abs(value) < float("inf"):
        return str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)
