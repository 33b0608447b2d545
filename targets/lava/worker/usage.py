"""What the processes of a run used: time on the processors, and memory. Zeros where the system has no /proc."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["cpu_s", "memory_mib", "peak_mib"]


def cpu_s(pids: Sequence[int]) -> float:
    """Seconds on the processors so far, in the programs and in the system for them, all processes together."""
    ticks = sum(int(n) for pid in pids for n in _read(pid, "stat").rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pids: Sequence[int]) -> float:
    """Memory that the processes hold together now, what they share counted once, in MiB."""
    return sum(_kib(_read(pid, "smaps_rollup"), "Pss:") for pid in pids) / 1024


def peak_mib(pids: Sequence[int]) -> float:
    """The most memory that one of the processes held so far, what it shares with others included, in MiB."""
    return max((_kib(_read(pid, "status"), "VmHWM:") for pid in pids), default=0) / 1024


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _kib(text: str, key: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(key)), 0)
