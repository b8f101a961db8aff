"""Cores by affinity and quota, in trees as containers see them."""

import os
from pathlib import Path

import pytest
from model_serving.cores import cores_given
from model_serving.settings import Settings

MOUNT = "30 25 0:26 {root} {mounted} rw,nosuid - {kind} {source} {options}"


class Machine:
    """/proc/self and file systems of control groups, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.proc = folder, folder / "self"
        self.proc.mkdir()
        self.mounts = ["22 25 0:5 / /proc rw - proc proc rw"]

    def mount(self, at: str, kind: str, options: str = "rw", root: str = "/") -> Path:
        mounted = self.folder / at
        mounted.mkdir(parents=True, exist_ok=True)
        self.mounts.append(MOUNT.format(root=root, mounted=mounted, kind=kind, source=kind, options=options))
        return mounted

    def cores(self, groups: str) -> int:
        (self.proc / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        (self.proc / "cgroup").write_text(groups + "\n")
        return cores_given(self.proc)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    return Machine(tmp_path)


def version_1(folder: Path, quota: int, period: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize(
    ("said", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),  # rounded up
        ("10000 100000", 1),
        ("max 100000", 16),
        ("6400000 100000", 16),  # more than there are
        ("nonsense", 16),
        ("1 0", 16),
    ],
)
def test_version_2_in_a_container(machine: Machine, said: str, cores: int) -> None:
    (machine.mount("cgroup", "cgroup2") / "cpu.max").write_text(said + "\n")
    assert machine.cores("0::/") == cores


def test_version_2_without_a_namespace_counts_the_groups_around_it(machine: Machine) -> None:
    mounted = machine.mount("cgroup", "cgroup2")
    inner = mounted / "system.slice" / "app.service"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("800000 100000\n")
    (inner.parent / "cpu.max").write_text("300000 100000\n")
    assert machine.cores("0::/system.slice/app.service") == 3


def test_version_1_in_a_container(machine: Machine) -> None:
    # Docker without a namespace: the path is the host's, and its group is what is mounted.
    mounted = machine.mount("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct", root="/docker/abc")
    version_1(mounted, 250_000)
    machine.mount("memory", "cgroup", "rw,memory", root="/docker/abc")
    assert machine.cores("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc") == 3


def test_version_1_where_the_path_is_not_there(machine: Machine) -> None:
    version_1(machine.mount("cpu", "cgroup", "rw,cpu"), 100_000)
    assert machine.cores("1:cpu:/kubepods/pod1/c1") == 1


def test_both_versions_side_by_side(machine: Machine) -> None:
    machine.mount("unified", "cgroup2")
    version_1(machine.mount("cpu", "cgroup", "rw,cpu") / "a" / "b", -1)
    version_1(machine.folder / "cpu" / "a", 50_000)
    assert machine.cores("1:cpu:/a/b\n0::/") == 1


def test_without_control_groups_affinity_counts(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores_given(machine.folder / "nowhere") == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5})
    (machine.mount("cgroup", "cgroup2") / "cpu.max").write_text("800000 100000\n")
    assert machine.cores("0::/") == 2


def test_the_setting_wins() -> None:
    assert Settings(workers=7).worker_count == 7
    assert 1 <= Settings(workers=0).worker_count <= len(os.sched_getaffinity(0))
