"""Measured energy, on machines of known power: what is idle is taken off, and what cannot be measured is no zero."""

import time
from pathlib import Path

import pytest
import torch

from kdsnn.energy.measured import Measured, NotMeasured, measure
from kdsnn.energy.meters import Meter, NvmlMeter, RaplMeter, meter_for


class Machine(Meter):
    """Takes 5 W when idle and 25 W more while it runs, 0.25 s for ten samples; time passes only when told."""

    def __init__(self, running_w: float = 25.0, why: str | None = None) -> None:
        self.name, self.time, self.energy, self.running_w, self.why = "machine", 0.0, 0.0, running_w, why

    def why_not(self) -> str | None:
        return self.why

    def joules(self) -> float:
        return self.energy

    def clock(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.energy += 5 * seconds

    def run(self) -> int:
        self.time += 0.25
        self.energy += (5 + self.running_w) * 0.25
        return 10


def measured(machine: Machine) -> Measured | NotMeasured:
    return measure(machine.run, machine, window_s=2, rounds=3, clock=machine.clock, sleep=machine.sleep)


def test_what_is_idle_is_taken_off() -> None:
    found = measured(Machine())
    assert isinstance(found, Measured)
    assert found.j_per_sample == pytest.approx(25 * 0.25 / 10)
    assert found.gross_j_per_sample == pytest.approx(30 * 0.25 / 10)
    assert (found.idle_w, found.samples, found.seconds, found.rounds) == (5, 240, 6, 3)
    assert found.spread_j == pytest.approx(0)
    assert "6.25e+05" in str(found.blocks()[0])


def test_what_cannot_be_measured_says_why_and_is_no_zero() -> None:
    silent = Machine(why="no counter here")
    assert measured(silent) == NotMeasured("machine", "no counter here")
    assert silent.time == 0  # nothing ran
    found = measured(Machine(running_w=0.0))
    assert isinstance(found, NotMeasured)
    assert "no more than when idle (5 W)" in found.why


def zone(folder: Path, name: str, energy: int) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{energy}\n")
    (folder / name / "max_energy_range_uj").write_text("999999\n")


def test_rapl_adds_up_packages_and_goes_on_where_a_counter_starts_anew(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", 900_000)
    zone(tmp_path, "intel-rapl:1", 100_000)
    zone(tmp_path, "intel-rapl:0:0", 500_000)  # a part of the first package
    meter = RaplMeter(tmp_path)
    assert meter.why_not() is None
    first = meter.joules()
    zone(tmp_path, "intel-rapl:0", 150_000)  # past its end, by 250,000
    zone(tmp_path, "intel-rapl:1", 120_000)
    assert meter.joules() - first == pytest.approx(0.25 + 0.02)


def test_rapl_that_is_not_there_or_broken(tmp_path: Path) -> None:
    assert "shows no RAPL counters" in str(RaplMeter(tmp_path).why_not())
    (tmp_path / "intel-rapl:0").mkdir()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("full\n")
    assert "cannot be read" in str(RaplMeter(tmp_path).why_not())


@pytest.mark.skipif(torch.cuda.is_available(), reason="of machines without a GPU")
def test_a_machine_without_a_gpu_says_so() -> None:
    assert "NVML cannot read the energy of cuda:3" in str(NvmlMeter("cuda:3").why_not())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="of machines with a GPU")
def test_the_counter_of_a_gpu_moves() -> None:
    meter = NvmlMeter("cuda:0")
    assert meter.why_not() is None
    before = meter.joules()
    time.sleep(0.5)
    assert meter.joules() > before


def test_the_meter_is_of_what_computed() -> None:
    assert isinstance(meter_for(["2.14.1", "cpu"]), RaplMeter)
    assert meter_for(["2.14.1", "cuda"]).name == "cuda (NVML)"
    assert meter_for(["2.14.1", "cuda:1"]).name == "cuda:1 (NVML)"
