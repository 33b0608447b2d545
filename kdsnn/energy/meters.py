"""Meters of energy that a machine has: the RAPL counters of its processor, and the NVML counter of a GPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Meter", "NvmlMeter", "RaplMeter", "meter_for"]

POWERCAP = Path("/sys/class/powercap")


class Meter(ABC):
    """Something that counts joules.

    Attributes:
        name: what it measures, for tables.
    """

    name: str

    @abstractmethod
    def why_not(self) -> str | None:
        """Why it cannot be read here; None where it can."""

    @abstractmethod
    def joules(self) -> float:
        """Joules since some start, which never fall."""


class RaplMeter(Meter):
    """The packages of this machine's processors (Intel and AMD), as Linux shows them: cores and caches, not the memory.

    Args:
        folder: of the kernel's power capping framework.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        self.name = "CPU packages (RAPL)"
        self._zones = sorted(zone for zone in folder.glob("intel-rapl:*") if zone.name.count(":") == 1)
        self._last = dict.fromkeys(self._zones, 0)
        self._whole = dict.fromkeys(self._zones, 0)

    def why_not(self) -> str | None:
        """Why it cannot be read here."""
        if not self._zones:
            return "this machine shows no RAPL counters (/sys/class/powercap/intel-rapl:*)"
        try:
            for zone in self._zones:
                _number(zone / "energy_uj")
        except PermissionError:
            return "the RAPL counters may be read by root alone: chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
        except (OSError, ValueError) as error:
            return f"the RAPL counters cannot be read: {error}"
        return None

    def joules(self) -> float:
        """Of all packages. A counter that starts anew at its end has done so once since it was last read."""
        for zone in self._zones:
            now = _number(zone / "energy_uj")
            gained = now - self._last[zone]
            if gained < 0:
                gained += _number(zone / "max_energy_range_uj") + 1
            self._whole[zone] += gained
            self._last[zone] = now
        return 1e-6 * sum(self._whole.values())


class NvmlMeter(Meter):
    """A GPU of NVIDIA, by its own counter, which moves some ten to fifty times a second.

    Args:
        device: as torch names it, `cuda` or `cuda:1`; NVML numbers GPUs otherwise, and knows this one by its UUID.
    """

    def __init__(self, device: str = "cuda") -> None:
        self.name = f"{device} (NVML)"
        self._device = device
        self._handle: Any = None

    def why_not(self) -> str | None:
        """Why it cannot be read here."""
        import pynvml
        import torch

        try:
            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(self._device).uuid
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            self.joules()
        except (pynvml.NVMLError, AssertionError, RuntimeError) as error:
            return f"NVML cannot read the energy of {self._device}: {error}"
        return None

    def joules(self) -> float:
        """Since the driver was loaded; `why_not` has opened the counter."""
        import pynvml

        return 1e-3 * float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))


def meter_for(versions: Iterable[str]) -> Meter:
    """The meter of what computed: `versions` are the values of a result's, among them a device such as `cuda:0`."""
    device = next((text for text in versions if text.startswith("cuda")), None)
    return RaplMeter() if device is None else NvmlMeter(device)


def _number(path: Path) -> int:
    return int(path.read_text())
