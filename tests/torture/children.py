"""Commands in child processes, forked from one that has imported everything."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def import_everything() -> None:
    """What the commands import when they need it, so that no child has to."""
    import datasets  # noqa: F401
    import faiss  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import peft  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.feature_extraction.text  # noqa: F401
    import trl  # noqa: F401
    from transformers import LlamaForCausalLM  # noqa: F401

    import airrep.disk.parts
    import airrep.store
    import eval_harness.benchmark.run
    import eval_harness.encoder_training.run
    import eval_harness.runs.jobs

    airrep.store._SHARD_ROWS = 8
    airrep.disk.parts.SECONDS = 0.0  # parts with every batch
    eval_harness.runs.jobs._PATIENCE = 0.05


@dataclass
class Child:
    """A command at work; `log` is what it printed."""

    pid: int
    log: Path
    status: int | None = None

    def wait(self) -> int:
        """Its exit status, or minus the signal that ended it."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def kill_after(self, seconds: float) -> bool:
        """Kill it then; False if it ended before."""
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                return False
            time.sleep(0.002)
        os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", errors="replace")


def start(command: list[str], log: Path, prepare: Callable[[], None] | None = None) -> Child:
    """Run `curate COMMAND` in a child; `prepare` is called there before."""
    log.parent.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid:
        return Child(pid, log)
    status = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        if prepare is not None:
            prepare()
        from curate.cli import main

        status = main(command)
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise AssertionError("not reached")


def die_at(operation: int, below: Path) -> Callable[[], None]:
    """Let a child kill itself right before its n-th operation on files below a directory."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if not _writes(event, arguments) or str(below) not in os.path.abspath(str(arguments[0])):  # noqa: PTH100
            return
        seen += 1
        if seen == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hook)


def count_operations(below: Path, file: Path) -> Callable[[], None]:
    """Let a child write to a file how many such operations it made."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if _writes(event, arguments) and str(below) in os.path.abspath(str(arguments[0])):  # noqa: PTH100
            os.write(stream, b".")

    stream = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    return lambda: sys.addaudithook(hook)


def _writes(event: str, arguments: tuple[object, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
    return event in {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}
