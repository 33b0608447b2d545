"""Vectors (N, F) as data: a dense network of one's own on the road to every command; what is for images says so."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.report.figures import as_svg, raster
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error

NET = """
from torch import nn

def make(input_shape, classes):
    return nn.Sequential(nn.Linear(input_shape[0], 16), nn.ReLU(), nn.Linear(16, classes))
"""
RECIPE = """
name = "vectors"
data = { dataset = "v.npz" }
teacher = { model = "net.py:make", epochs = 15 }
student = { model = "spiking-copy", timesteps = 4 }
train = { epochs = 10 }
"""


def test_the_road_on_vectors(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    np.savez("v.npz", x=np.clip(rng.normal(0.3 + 0.3 * y[:, None], 0.1, (300, 7)), 0, 1), y=y)
    Path("net.py").write_text(NET)
    Path("my.toml").write_text(RECIPE)
    assert cli("distill", "my.toml", "--run", "run").code == 0
    done = cli("quantize", "run", "--max-disagreement", 0.3, "--json")
    assert done.code == 0, done.err
    assert done.json["integer_accuracy"] > 0.8
    assert cli("evaluate", "run", "-t", "gpu", "--json").json["matches_reference"]
    assert cli("report", "run").code == 0
    assert cli("noise", "run", "--levels", "0.1", "--seeds", "1").code == 0
    assert_error(cli("noise", "run", "--kind", "rotate", "--seeds", "1"), 3, "'rotate' is on images, and v.npz holds")
    for change in ("student.model=2conv", "teacher.model=cnn"):
        refused = cli("distill", "my.toml", "--run", "other", "--set", change)
        assert_error(refused, 3, "takes images (C, H, W), and the data are vectors of 7 numbers")
    assert_error(cli("evaluate", "run", "-t", "gpu", "--images", "digits"), 3, "takes (N, 7)")


@pytest.mark.parametrize("shape", [(7,), (1, 5, 4), (2, 5, 4), (3, 5, 4), (4, 1, 1)])
def test_a_report_draws_whatever_an_image_is(shape: tuple[int, ...]) -> None:
    image = {"pixels": np.zeros(shape).tolist(), "label": None, "spikes": {"a": [[0], []]}, "neurons": {"a": 2}}
    assert "<svg" in as_svg(raster(image))
    assert "<svg" in as_svg(raster({**image, "frames": 60, "spikes": {"a": [[0], [], [1]] * 20}}))
