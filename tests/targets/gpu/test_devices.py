"""Where the torch target runs: what it finds, what it says of it, and that all of a network lies there.

Torch's device `meta` has shapes and no numbers: it stands in for a GPU, since it mixes with no tensor of the CPU.
"""

import ctypes
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest
import torch

from kdsnn.errors import TargetUnavailableError, UsageError
from kdsnn.network import Network
from kdsnn.targets.base import Availability
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.gpu.exact_products import Arithmetic
from kdsnn.targets.gpu.reused_memory import Scratch
from kdsnn.testing import example_networks, random_images, random_network

NETWORKS = {network.name: network for network in example_networks()}
ON_CPU = Availability(True, f"torch {version('torch')} on CPU")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that torch is asked for, of which it has all, on a machine with a driver for AMD's GPUs alone."""
    devices: list[str] = []

    def load(name: str) -> None:
        if name != "libamdhip64.so":
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(torch, "zeros", lambda *_size, device: devices.append(device))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the card {device}")
    return devices


@pytest.mark.parametrize(
    ("device", "wanted", "name"),
    [("auto", "cuda", "the card cuda"), ("cuda:1", "cuda:1", "the card cuda:1"), ("meta", "meta", "CPU")],
)
def test_a_device_that_is_there_is_named(asked: list[str], device: str, wanted: str, name: str) -> None:
    assert GpuTarget(device).probe() == Availability(True, f"torch {torch.__version__} on {name}")
    assert asked == [wanted]


def test_torch_is_not_asked_about_the_cpu(asked: list[str]) -> None:
    assert GpuTarget("cpu").probe() == ON_CPU
    assert asked == []


def test_a_driver_without_a_gpu_leaves_the_cpu(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert GpuTarget().probe().detail == f"torch {torch.__version__} on CPU"
    assert asked == ["cpu"]


def test_torch_is_not_asked_where_no_driver_is(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def load(name: str) -> None:
        tried.append(name)
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert GpuTarget().probe() == ON_CPU
    assert asked == []
    assert tried == ["libcuda.so.1", "libamdhip64.so"]


def test_a_device_that_fails_says_why_in_a_line(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_size: int, device: str) -> None:
        raise RuntimeError(f"{device} is lost\nand much more of it")

    monkeypatch.setattr(torch, "zeros", fails)
    found = GpuTarget("auto").probe()
    assert found == Availability(False, "no device 'cuda': cuda is lost", "run on the CPU with --device cpu")


def test_a_machine_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("kdsnn.targets.gpu.target.version", missing)
    found = GpuTarget("cpu").probe()
    assert not found.available
    assert found.detail == "torch is not installed"
    monkeypatch.setitem(sys.modules, "kdsnn.targets.gpu.program", None)
    with pytest.raises(TargetUnavailableError, match="torch cannot be imported"):
        GpuTarget("cpu").compile(NETWORKS["image"])


def test_a_gpu_that_is_full_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    network, before = NETWORKS["leaky"], torch.get_float32_matmul_precision()
    program = GpuTarget("cpu").compile(network)
    monkeypatch.setattr("kdsnn.targets.gpu.program.integrate", full)
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(TargetUnavailableError, match="the GPU ran out of memory") as raised:
            program.run(random_images(network, 2))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert "--device cpu" in raised.value.hint


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_all_of_a_network_lies_on_its_device(network: Network) -> None:
    program = GpuTarget("meta").compile(network)
    assert program.versions["device"] == "meta"
    assert program.versions["products"] == "float32"  # int8 is tried on CPUs alone
    images = np.zeros((3, *network.image_shape), np.uint8)
    with torch.inference_mode():
        frames = program._frames(images, 0, network.timesteps)  # its results cannot be read from this device
        trains = [train for _, train in program._simulate(frames, network.timesteps, {})]
    held = [of for events in program.events.values() for of in (events.dense, events.effective)]
    assert {tensor.device.type for tensor in (frames, *trains, *held)} == {"meta"}
    assert [train.shape[:2] for train in trains] == [(network.timesteps, 3)] * len(network.spiking)


def test_a_gpu_has_no_int8_products() -> None:
    with pytest.raises(UsageError, match="not known to be exact on 'meta'"):
        GpuTarget("meta", "int8").compile(NETWORKS["image"])


def test_a_gpu_takes_more_at_once_than_the_caches_of_a_cpu_hold() -> None:
    network = random_network(10)
    program = GpuTarget("meta").compile(network)
    states = program.block * max(p.neurons for p in network.spiking)
    assert program.batch == 2**27 // states
    on_cpu, on_gpu = (Arithmetic(Scratch(torch.device(kind)), int8=False) for kind in ("cpu", "meta"))
    assert (on_cpu.rows_at_once, on_gpu.rows_at_once) == (2**20, 2**26)  # 4 bytes each
    assert Arithmetic(Scratch(torch.device("cpu")), int8=True).rows_at_once == 2**22


def test_memory_is_used_again_and_grows_where_more_is_asked_for() -> None:
    scratch = Scratch(torch.device("cpu"))
    first = scratch.take("sums", (2, 3), torch.int32)
    assert scratch.take("sums", (6,), torch.int32).data_ptr() == first.data_ptr()
    assert scratch.take("sums", (2, 2), torch.int32).data_ptr() == first.data_ptr()
    others = [scratch.take("rows", (2, 3), torch.int32), scratch.take("sums", (2, 3), torch.int8)]
    assert first.data_ptr() not in {other.data_ptr() for other in others}
    larger = scratch.take("sums", (7,), torch.int32)
    assert larger.shape == (7,)
    assert scratch.take("sums", (2, 3), torch.int32).data_ptr() == larger.data_ptr()
