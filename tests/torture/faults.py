"""The faults, each on one stage, as often as asked."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from bench import Bench
from children import die_at
from stages import STAGES, differences, results

from curate.verification import verify

NOT_BY_ITSELF = "a file that only a person can decide on"


def kills(bench: Bench, name: str, count: int) -> None:
    """SIGKILL at a random moment, or right before a random operation on a file; again and again."""
    stage, whole, chance = STAGES[name], bench.undisturbed(name), bench.chance
    tally = bench.tally("SIGKILL", name)
    while count > 0:
        place = bench.place()
        for _ in range(int(chance.integers(1, 5))):
            if chance.random() < 0.5:
                at = int(chance.integers(1, whole.operations + 1))
                killed = bench.start(stage, place, die_at(at, place)).wait() < 0
            else:
                killed = bench.start(stage, place).kill_after(chance.uniform(0, whole.seconds))
            if not killed:
                break
            tally.tried += 1
            count -= 1
            if count == 0:
                break
        bench.finish(tally, stage, place)
        bench.clean(place)


def power_cuts(bench: Bench, name: str, count: int) -> None:
    """What a cut may leave (see `power`), right before or after a random call, or at the end."""
    from power import cut_at  # of tests/doubles, see program.py

    stage, whole = STAGES[name], bench.undisturbed(name)
    tally = bench.tally("power cut", name)
    for _ in range(count):
        place = bench.place()
        left = place.with_name(f"{place.name}-left")
        at = int(bench.chance.integers(1, 2 * whole.operations))
        child = bench.start(stage, place, cut_at(at, place, left, bench.chance))
        ended = child.wait() == 0
        bench.clean(place)
        left.rename(place)
        tally.tried += 1
        if ended:
            bench.compare(tally, stage, place)
            tally.outcomes["had ended"] += 1
        bench.finish(tally, stage, place)
        bench.clean(place)


def full_disk(bench: Bench, name: str, count: int) -> None:
    """A file system that is too small; then it is made larger."""
    stage, whole = STAGES[name], bench.undisturbed(name)
    tally = bench.tally("full disk", name)
    for _ in range(count):
        place = bench.place()
        pages = int(bench.chance.integers(1, max(2, whole.bytes // 4096)))
        with mounted(place, f"size={4096 * pages}"):
            child = bench.start(stage, place)
            tally.tried += 1
            if child.wait() == 0:
                tally.outcomes["fitted"] += 1
            elif bench.refused(tally, child, "cannot write", "cannot lock"):
                tally.outcomes["refused in words"] += 1
            remount(place, "size=64m")
            bench.finish(tally, stage, place)


def read_only(bench: Bench, name: str, count: int) -> None:
    """Killed somewhere, then the file system is read-only, then it is not."""
    stage, whole = STAGES[name], bench.undisturbed(name)
    tally = bench.tally("read-only", name)
    for _ in range(count):
        place = bench.place()
        with mounted(place, "size=64m"):
            bench.start(stage, place).kill_after(bench.chance.uniform(0, whole.seconds))
            remount(place, "ro")
            child = bench.start(stage, place)
            tally.tried += 1
            if child.wait() == 0 and name == "embed":
                tally.outcomes["nothing was left to write"] += 1
            elif bench.refused(tally, child, "cannot write", "cannot lock"):
                tally.outcomes["refused in words"] += 1
            remount(place, "rw")
            bench.finish(tally, stage, place)


def damage(bench: Bench, name: str, count: int) -> None:
    """A file is cut, or a bit in it is flipped; of every file in turn."""
    stage, chance = STAGES[name], bench.chance
    tally = bench.tally("damaged file", name)
    files = [
        file.relative_to(bench.undisturbed(name).place)
        for file in sorted(bench.undisturbed(name).place.rglob("*"))
        if file.is_file() and file.stat().st_size and ".lock" not in str(file)
    ]
    order = itertools.chain.from_iterable(chance.permutation(len(files)) for _ in itertools.count())
    for number in itertools.islice(order, count):
        place = bench.copy(name)
        file = place / files[number]
        how = _damage(file, chance)
        tally.tried += 1
        _look(bench, tally, stage, place, file, how)
        bench.clean(place)


def _damage(file: Path, chance: np.random.Generator) -> str:
    content = bytearray(file.read_bytes())
    at = int(chance.integers(len(content)))
    if chance.random() < 0.3:
        file.write_bytes(content[:at])
        return f"cut to {at} bytes"
    content[at] ^= 1 << int(chance.integers(8))
    file.write_bytes(content)
    return f"byte {at} is {content[at]:#x}"


def _look(bench, tally, stage, place, file, how) -> None:
    what = f"{file.relative_to(place)}, {how}"
    if verify(place).fine:
        # Then it has to be harmless: nothing that is read has changed, and going on is the same.
        try:
            found = differences(bench.undisturbed(stage.name).results, results(place))
        except Exception as error:
            found = [repr(error)]
        if found:
            tally.lost.append(f"not found: {what}: {found[:3]}")
            return
        tally.outcomes["harmless"] += 1
        bench.finish(tally, stage, place)
        return
    tally.outcomes["found by verify"] += 1
    child = bench.start(stage, place)
    if child.wait() == 0:
        try:
            same = not differences(bench.undisturbed(stage.name).results, results(place))
        except Exception:  # a file that the command did not read again
            same = False
        tally.outcomes["mended by the next run" if same else "not seen by the next run"] += 1
    elif bench.refused(tally, child, str(file), str(file.parent), file.stem, "broken"):
        tally.outcomes["refused in words"] += 1
    left = verify(place, repair=True).findings
    for finding in left:
        if finding.file.name in ("config.json", "inputs.json"):
            finding.file.unlink(
                missing_ok=True
            )  # what the finding says to do, and what no program should
            tally.outcomes[NOT_BY_ITSELF] += 1
    bench.finish(tally, stage, place)


def worker_dies(bench: Bench, name: str, count: int) -> None:
    """Two processes share the work, and one of them is killed."""
    stage, whole = STAGES[name], bench.undisturbed(name)
    tally = bench.tally("a worker dies", name)
    for _ in range(count):
        place = bench.place()
        one, other = (bench.start(stage, place) for _ in range(2))
        tally.tried += 1
        if one.kill_after(bench.chance.uniform(0, 2 * whole.seconds)):
            tally.outcomes["killed at work"] += 1
        if other.wait() != 0:
            tally.lost.append(f"the other did not end: {other.said[-600:]}")
            continue
        bench.compare(tally, stage, place)
        bench.finish(tally, stage, place)
        bench.clean(place)


def two_at_once(bench: Bench, name: str, count: int) -> None:
    """Two processes on one store, or on one output."""
    stage = STAGES[name]
    tally = bench.tally("two at once", name)
    for _ in range(count):
        place = bench.place()
        for child in [bench.start(stage, place) for _ in range(2)]:
            if child.wait() == 0:
                tally.outcomes["ended"] += 1
            elif bench.refused(tally, child, "another run is adding to this store"):
                tally.outcomes["refused in words"] += 1
        tally.tried += 1
        bench.finish(tally, stage, place)
        bench.clean(place)


def clock(bench: Bench, name: str, count: int) -> None:
    """Killed, then all files are of another time, and the clock runs backwards."""
    stage, whole, chance = STAGES[name], bench.undisturbed(name), bench.chance
    tally = bench.tally("clock jumps", name)
    for _ in range(count):
        place = bench.place()
        bench.start(stage, place).kill_after(chance.uniform(0, whole.seconds))
        for file in place.rglob("*"):
            years = int(chance.integers(-20, 20)) * 31_536_000
            os.utime(file, (time.time() + years, time.time() + years))
        tally.tried += 1
        bench.finish(tally, stage, place, _backwards)
        bench.clean(place)


def _backwards() -> None:
    now = itertools.count(1_000_000_000, -3600)
    time.time = lambda: float(next(now))
    time.time_ns = lambda: next(now) * 10**9


def can_mount() -> bool:
    """Whether this process may mount (`unshare --mount`, as root)."""
    return subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
