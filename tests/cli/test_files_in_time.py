"""Files and modules of others on frames in time, into runs, and with ranges that data do not say."""

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.export.nir import read_nir
from kdsnn.files.reading import read_json
from tests.cli.conftest import Cli

T = 6


@pytest.fixture
def recurrent(tmp_path: Path) -> Path:
    """A float graph of vectors whose hidden neurons feed themselves."""
    rng = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(np.array([64])),
        "first": nir.Affine(rng.normal(0, 0.6, (12, 64)), rng.normal(0, 0.1, 12)),
        "lif": nir.IF(np.ones(12), np.ones(12)),
        "last": nir.Linear(rng.normal(0, 0.6, (10, 12))),
        "out": nir.IF(np.ones(10), np.ones(10)),
        "end": nir.Output(np.array([10])),
    }
    edges = list(pairwise(nodes))
    nodes["loop"] = nir.Linear(rng.normal(0, 0.3, (12, 12)))
    graph = nir.NIRGraph(nodes, [*edges, ("lif", "loop"), ("loop", "lif")], type_check=False)
    nir.write(tmp_path / "other.nir", graph)
    return tmp_path / "other.nir"


def frames(n: int = 40) -> np.ndarray:
    return ((np.random.default_rng(1).random((n, T, 64)) < 0.3) * 255).astype(np.uint8)


def test_a_recurrent_file_of_frames_is_made_and_run(cli: Cli, recurrent: Path, tmp_path: Path) -> None:
    common = ("--in-time", "-T", T, "--input-bits", 1, "--reset", "subtract", "--max-disagreement", 1)
    done = cli("quantize", recurrent, *common, "--json")
    assert done.code == 0, done.err
    network = read_nir(tmp_path / "other-int8.nir")
    assert (network.image_shape, network.input_bits) == ((T, 64), 1)
    assert {"input-in-time", "recurrence", "subtract-reset"} <= network.features
    assert network.provenance["reset"] == "subtract"
    np.savez(tmp_path / "frames.npz", x=frames(), y=np.arange(40) % 10, steps=T)
    for target in ("reference", "gpu"):
        run = cli("evaluate", tmp_path / "other-int8.nir", "-t", target, "--images", tmp_path / "frames.npz", "--json")
        assert run.code == 0, run.err
        assert run.json["counts"]["spikes"] > 100
    np.save(tmp_path / "bare.npy", frames())  # (N, T, F), which looks like (N, H, W)
    undeclared = cli("quantize", recurrent, "--calibrate", tmp_path / "bare.npy")
    assert undeclared.code == 3
    assert "of frames in time say that they are: --in-time, and -T" in undeclared.err
    shown = cli("quantize", recurrent, *common, "--calibrate", tmp_path / "bare.npy", "--json")
    assert shown.code == 0, shown.err
    assert shown.json["agreement"]["images"] > 0
    planned = cli("export", recurrent, "--in-time", "-T", T, "--reset", "subtract", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["timesteps"] == T
    still = cli("quantize", recurrent, *common, "--calibrate", "digits")
    assert still.code == 3
    assert not still.out


def test_a_thousand_steps(cli: Cli, recurrent: Path, tmp_path: Path) -> None:
    done = cli("quantize", recurrent, "--in-time", "-T", 1000, "--input-bits", 1, "--max-disagreement", 1)
    assert done.code == 0, done.err
    assert read_nir(tmp_path / "other-int8.nir").image_shape == (1000, 64)


def test_a_file_becomes_a_run_that_is_evaluated_and_reported(cli: Cli, recurrent: Path, tmp_path: Path) -> None:
    run, loose = tmp_path / "runs" / "mine", ("-T", 4, "--max-disagreement", 1)
    done = cli("quantize", recurrent, "--calibrate", "digits", *loose, "--run", run, "--json")
    assert done.code == 0, done.err
    assert read_json(run / "quantization.json")["fingerprint"] == done.json["fingerprint"]
    assert not recurrent.with_name("other-int8.nir").exists()
    evaluated = cli("evaluate", run, "-t", "reference", "--json")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.json["accuracy"] == done.json["integer_accuracy"]
    assert cli("report", run).code == 0
    assert (run / "report.html").is_file()
    assert cli("quantize", run).code == 3, "it has no recipe"
    assert cli("quantize", recurrent, *loose, "--run", run).code == 3, "it needs labels"
    both = cli("quantize", recurrent, "--calibrate", "digits", *loose, "--run", run, "-o", tmp_path / "x.nir")
    assert both.code == 2
    assert "--run" in cli("quantize", run, "--run", tmp_path / "other").err


def test_a_range_that_the_data_do_not_say(cli: Cli, recurrent: Path, tmp_path: Path) -> None:
    digits = load_dataset("digits").test
    np.savez(tmp_path / "mine.npz", x=(digits.images / 255 * 4).astype(np.float32), y=digits.labels)
    common = ("quantize", recurrent, "-T", 4, "--max-disagreement", 1, "--calibrate", tmp_path / "mine.npz")
    silent = cli(*common)
    assert silent.code == 3
    assert "outside 0 to 1" in silent.err
    done = cli(*common, "--data-range", "0:4", "--input-scale", 4 / 255, "--json")
    assert done.code == 0, done.err
    shown = (tmp_path / "other-int8.nir", "-t", "reference", "--json", "--images", tmp_path / "mine.npz")
    kept, said = cli("evaluate", *shown), cli("evaluate", *shown, "--data-range", "0:4")
    assert kept.code == said.code == 0, kept.err
    assert kept.json["accuracy"] == said.json["accuracy"] == pytest.approx(done.json["integer_accuracy"], abs=0.2)
    brighter = cli("evaluate", *shown, "--data-range=-4:4")
    assert brighter.json["counts"]["spikes"] != said.json["counts"]["spikes"]
    for wrong in ("4", "a:b", "0:4:8"):
        assert cli("evaluate", *shown, "--data-range", wrong).code == 2
    assert cli("evaluate", *shown, "--data-range", "4:0").code == 3
    assert cli("evaluate", tmp_path / "other-int8.nir", "--data-range", "0:4").code == 2, "of no data"


NET = """
import snntorch, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(64, 10), snntorch.RLeaky(0.9, linear_features=10, threshold=0.3)

    def forward(self, data):
        spk, mem = self.lif.reset_mem()
        made = []
        for frame in data:
            spk, mem = self.lif(self.fc(frame), spk, mem)
            made.append(spk)
        return torch.stack(made)
"""


def test_a_module_of_vectors_is_told_how_to_say_that_they_are_in_time(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import snntorch\nfrom torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Linear(64, 10), "
        "snntorch.Leaky(0.9, threshold=0.3, init_hidden=True, output=True))\n"
    )
    np.savez(tmp_path / "mine.npz", x=frames(), y=np.arange(40) % 10)
    ask = ("convert", f"{tmp_path}/net.py:make", "--images", tmp_path / "mine.npz", "-T", T, "--max-disagreement", 1)
    undeclared = cli(*ask)
    assert undeclared.code == 3
    assert "of vectors in time (N, T, F) say that they are: --in-time, and -T" in undeclared.err
    done = cli(*ask, "--in-time", "-o", tmp_path / "m.nir")
    assert done.code == 0, done.err
    assert read_nir(tmp_path / "m.nir").image_shape == (T, 64)


def test_a_module_is_shown_frames_in_a_range(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(2).uniform(-1, 1, (60, T, 64)), y=np.arange(60) % 10)
    loose = ("--images", tmp_path / "mine.npz", "--max-disagreement", 1, "--json")
    done = cli(
        "convert", f"{tmp_path}/net.py:Net", *loose, "--in-time", "-T", T, "--data-range=-1:1", "-o", tmp_path / "m.nir"
    )
    assert done.code == 0, done.err
    network = read_nir(tmp_path / "m.nir")
    assert network.image_shape == (T, 64)
    assert "recurrence" in network.features
    assert done.json["module_agreement"]["spikes"] > 1000
    run = cli("evaluate", tmp_path / "m.nir", "-t", "reference", "--images", tmp_path / "mine.npz", "--json")
    assert run.code == 0, run.err
    unsaid = cli("convert", f"{tmp_path}/net.py:Net", *loose, "--in-time", "--data-range=-1:1")
    assert unsaid.code == 2, "of how many steps?"
