"""Memory that this process may still take: what the machine has free, within the process's limits.

The limits are those of its control groups (version 1 or 2, its own and all above it), past which
the kernel kills it, and RLIMIT_AS, past which nothing more is given to it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import psutil

_SHARE_OF_FREE = 0.75
_MOUNT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# In each version: where groups lie below the mount; the files of the limit and of what is taken;
# and which line of the statistics counts cached files, which the kernel drops before it kills.
_VERSIONS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory() -> int:
    """Bytes that this process can still take before it runs into any limit.

    Example:
        >>> available_memory() > 0
        True
    """
    rooms = [psutil.virtual_memory().available, *_address_space(), *group_rooms()]
    return max(0, min(rooms))


def free_memory() -> int:
    """Bytes that a run, or scoring, may take by default: three quarters of `available_memory`."""
    return int(_SHARE_OF_FREE * available_memory())


def return_freed() -> None:
    """Hand memory that was freed back to the system, which glibc's allocator would rather keep.

    It keeps it in pieces, between what is still in use; what is needed next may fit none of them.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another allocator, or another system
        return


def group_rooms(mount: Path = _MOUNT, own: Path = _OWN) -> Iterator[int]:
    """Bytes left in each control group that has a limit and that the process is in.

    Args:
        mount: Where control groups are mounted.
        own: File with the process's groups, as /proc/self/cgroup has them.
    """
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller in _VERSIONS:
                folder, *files = _VERSIONS[controller]
                below = path.strip("/").split("/") if path != "/" else []
                # In a container the path may be that of the host, of which only the root is there.
                for depth in range(len(below) + 1):
                    group = (mount / folder).joinpath(*below[:depth])
                    yield from _room(group, *files)


def _room(group: Path, limit: str, taken: str, cached: str) -> Iterator[int]:
    """Bytes left in one group; nothing if it has no limit or does not exist."""
    try:
        most, used = ((group / name).read_text("utf-8").strip() for name in (limit, taken))
        if most == "max":
            return
        statistics = (group / "memory.stat").read_text("utf-8").splitlines()
        dropped = next((each.split()[1] for each in statistics if each.split()[0] == cached), "0")
        yield int(most) - int(used) + int(dropped)
    except (OSError, ValueError):
        return


def _address_space() -> Iterator[int]:
    """Bytes of address space left, if that is limited."""
    try:
        import resource  # not on Windows
    except ImportError:
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        yield most - psutil.Process().memory_info().vms
