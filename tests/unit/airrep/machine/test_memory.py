"""Free memory is what the process may take, not what the machine has."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from airrep.machine import memory
from airrep.machine.memory import available_memory, group_rooms

GIB = 2**30


def _group(folder, files, limit, taken, cached=0, key="inactive_file"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(files, (limit, taken), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{key} {cached}\n")


V2 = ("memory.max", "memory.current")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "cgroup"

    def write(*lines):
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    return write


def test_version_2_counts_every_group_above_and_what_the_kernel_would_drop(tmp_path, own):
    mount = tmp_path / "mount"
    _group(mount / "slice", V2, 4 * GIB, 3 * GIB, cached=GIB // 2)
    _group(mount / "slice" / "job", V2, "max", GIB)
    found = list(group_rooms(mount, own("0::/slice/job")))
    assert found == [GIB + GIB // 2]


def test_a_container_sees_its_own_group_as_the_root(tmp_path, own):
    mount = tmp_path / "mount"
    _group(mount, V2, 2 * GIB, GIB)
    assert list(group_rooms(mount, own("0::/"))) == [GIB]
    assert list(group_rooms(mount, own("0::/docker/not-seen-from-here"))) == [GIB]


def test_version_1_has_other_names(tmp_path, own):
    mount = tmp_path / "mount"
    _group(mount / "memory", V1, 2**63 - 4096, 3 * GIB, key="total_inactive_file")
    _group(mount / "memory" / "job", V1, 5 * GIB, 3 * GIB, GIB, key="total_inactive_file")
    lines = ["9:name=systemd:/", "4:memory:/job", "2:cpu,cpuacct:/job", "0::/"]
    found = list(group_rooms(mount, own(*lines)))
    assert min(found) == 3 * GIB
    assert len(found) == 2


def test_without_control_groups_there_is_no_limit(tmp_path, own):
    assert list(group_rooms(tmp_path, tmp_path / "none")) == []
    assert list(group_rooms(tmp_path, own("0::/gone"))) == []
    _group(tmp_path / "broken", V2, "?", "?")
    assert list(group_rooms(tmp_path, own("0::/broken"))) == []


def test_the_tightest_limit_counts(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * GIB))
    monkeypatch.setattr(memory, "_address_space", lambda: iter(()))
    for rooms, expected in (((), 8), ((9 * GIB, 3 * GIB), 3), ((-GIB,), 0)):
        monkeypatch.setattr(memory, "group_rooms", lambda rooms=rooms: iter(rooms))
        assert available_memory() == expected * GIB


def test_address_space_is_a_limit():
    code = (
        "import resource\n"
        "from airrep.machine.memory import available_memory\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({GIB}, {GIB}))\n"
        "print(available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < GIB
