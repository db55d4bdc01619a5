"""CPU seconds and peak memory by process, from /proc."""

import os
from dataclasses import dataclass, field
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Children = dict[int, list[int]]


@dataclass(slots=True)
class Usage:
    """What one named tree of processes has used: CPU seconds since the start, peak resident memory in MB."""

    root: int
    cpu_start_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: dict[int, float] = field(default_factory=dict)

    def start(self) -> None:
        """Count from now on."""
        self.cpu_start_s = _cpu_s(tree(self.root))

    def sample(self, children: Children) -> None:
        """Look again; a process that has ended keeps its last values."""
        pids = tree(self.root, children)
        for pid in pids:
            peak = _peak_mb(pid)
            if peak:
                self.peak_mb[pid] = peak
        self.cpu_s = max(self.cpu_s, _cpu_s(pids) - self.cpu_start_s)


def children_of_all() -> Children:
    """Return the children of every process: one reading of the whole of /proc, which is not cheap."""
    found: Children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def tree(root: int, children: Children | None = None) -> list[int]:
    """Return the pids of a process and its descendants."""
    if children is None:
        children = children_of_all()
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def parent_of(pid: int) -> int:
    """Return a process's parent, 0 where it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the command's name: state, parent, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = _stat(pid)
        # utime, stime, and those of children that have been waited for.
        total += sum(int(value) for value in fields[11:15])
    return total / _TICKS_PER_S


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
