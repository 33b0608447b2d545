"""Recordings of events on the command line: the sensor is said once, and kept; what is broken is refused."""

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.data.events.made import by_hand, some_events, write_aedat4

SIZE, T = (8, 10), 5
LOOSE = ("--max-disagreement", 1)
NET = """
import snntorch, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(160, 2), snntorch.Leaky(0.9, threshold=0.2)

    def forward(self, frames):
        mem, made = self.lif.reset_mem(), []
        for frame in frames:
            spk, mem = self.lif(self.fc(frame.flatten(1)), mem)
            made.append(spk)
        return torch.stack(made)
"""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Above and below, 20 of each, a half of them in AEDAT 4."""
    for i in range(40):
        place = tmp_path / "recordings" / ("above", "below")[i % 2]
        events = some_events(i, SIZE, top=i % 2 == 0)
        if i < 20:
            write_aedat4(place / f"{i:02}.aedat4", events)
        else:
            np.savez(place / f"{i:02}.npz", **events)
    return tmp_path / "recordings"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A float graph of frames `(2, 8, 10)`."""
    rng = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(np.array([2, *SIZE])),
        "flat": nir.Flatten({"input": np.array([2, *SIZE])}, 0, -1),
        "dense": nir.Affine(rng.normal(0, 0.3, (2, 160)), rng.normal(0, 0.1, 2)),
        "last": nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.zeros(2)),
        "out": nir.Output(np.array([2])),
    }
    nir.write(tmp_path / "other.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    return tmp_path / "other.nir"


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path}/net.py:Net"


def test_a_module_is_converted_on_recordings(cli: Cli, module: str, recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.nir"
    done = cli("convert", module, "--images", recordings, "--sensor", "8x10", "-T", T, *LOOSE, "-o", file, "--json")
    assert done.code == 0, done.err
    network = read_nir(file)
    assert (network.image_shape, network.input_bits) == ((T, 2, *SIZE), 1)
    frames = np.stack(
        [by_hand(some_events(i, SIZE, top=i % 2 == 0), SIZE, T) for i in (*range(0, 40, 2), *range(1, 40, 2))]
    )
    np.savez(tmp_path / "frames.npz", x=frames, y=np.arange(40) // 20)
    shown = [
        cli("evaluate", file, "-t", "gpu", "--images", data, "--json") for data in (recordings, tmp_path / "frames.npz")
    ]
    assert [one.code for one in shown] == [0, 0], shown[0].err
    assert shown[0].json["counts"] == shown[1].json["counts"]
    assert shown[0].json["counts"]["spikes"] > 0


def test_a_run_on_recordings_keeps_the_sensor(cli: Cli, module: str, recordings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli("convert", module, "--images", recordings, "--sensor", "8x10", "-T", T, *LOOSE, "--run", run, "--json")
    assert done.code == 0, done.err
    evaluated = cli("evaluate", run, "-t", "reference", "--json")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.json["accuracy"] == done.json["integer_accuracy"]


def test_a_file_is_quantized_and_exported_on_recordings(cli: Cli, graph: Path, recordings: Path) -> None:
    said = ("--calibrate", recordings, "--sensor", "8x10", "-T", T, *LOOSE)
    done = cli("quantize", graph, *said, "--json")
    assert done.code == 0, done.err
    assert done.json["integer_accuracy"] is not None
    assert read_nir(graph.with_name("other-int8.nir")).image_shape == (T, 2, *SIZE)
    written = cli("export", graph, *said, "-t", "gpu", "--device", "cpu", "-o", graph.with_name("bundle"))
    assert written.code == 0, written.err


@pytest.mark.parametrize("command", ["convert", "quantize", "export"])
def test_a_sensor_that_is_not_said_is_asked_for(
    cli: Cli, command: str, module: str, graph: Path, recordings: Path
) -> None:
    ask = ("convert", module, "--images") if command == "convert" else (command, graph, "--calibrate")
    assert_error(
        cli(*ask, recordings), 3, "does not say how many pixels its sensor has", "--sensor HxW", "reach to 8x10"
    )
    assert_error(cli(*ask, recordings, "--sensor", "8x9"), 3, "lies outside the 8 x 9 pixels")
    assert_error(cli(*ask, "digits", "--sensor", "8x8"), 3, "digits holds no events", "leave out --sensor")
    for wrong in ("8", "8x", "8x10x2", "0x8", "-1x8"):
        assert_error(cli(*ask, recordings, f"--sensor={wrong}"), 2, f"--sensor '{wrong}' is not HxW")


def test_a_sensor_of_no_recordings_is_refused(cli: Cli, graph: Path, recordings: Path, tmp_path: Path) -> None:
    assert_error(cli("quantize", graph, "--sensor", "8x10"), 2, "name them: --calibrate")
    assert cli("quantize", graph, "--calibrate", recordings, "--sensor", "8x10", "-T", T, *LOOSE).code == 0
    ours = graph.with_name("other-int8.nir")
    assert_error(cli("export", ours, "--sensor", "8x10", "--dry-run"), 2, "are for float NIR files of others")
    assert_error(cli("quantize", tmp_path, "--sensor", "8x10"), 2, "--sensor and --run are for NIR files of others")


def test_a_truncated_recording_is_refused(cli: Cli, module: str, graph: Path, recordings: Path) -> None:
    broken = recordings / "above" / "00.aedat4"
    broken.write_bytes(broken.read_bytes()[:-9])
    for ask in (("convert", module, "--images"), ("quantize", graph, "--calibrate")):
        done = cli(*ask, recordings, "--sensor", "8x10", "-T", T)
        assert_error(done, 3, "00.aedat4 is broken: it ends within a packet", "fetch it again")
