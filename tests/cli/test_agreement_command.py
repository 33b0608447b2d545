"""Edge (2) in the commands: float against integer, measured, kept, shown, and refused beyond a limit."""

import json
import re
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.evaluation.agreement import agreement_of
from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli


@pytest.fixture
def outlier(tmp_path: Path) -> Path:
    """Ten classes that read ten parts of an image of 40 pixels, and one weight that is far larger than all others."""
    weight = np.kron(np.eye(10), np.full(4, 0.2)) + np.random.default_rng(0).normal(0, 0.02, (10, 40))
    nodes = {
        "in": nir.Input(np.array([40])),
        "dense": nir.Linear(weight),
        "last": nir.IF(r=np.ones(10), v_threshold=np.ones(10), v_reset=np.zeros(10)),
        "out": nir.Output(np.array([10])),
    }
    names = list(nodes)
    nir.write(tmp_path / "outlier.nir", nir.NIRGraph(nodes, list(pairwise(names)), type_check=False))
    return tmp_path / "outlier.nir"


def test_two_bits_of_weights_are_refused_with_the_layer_and_nothing_is_written(cli: Cli, run: Path) -> None:
    before = (run / "model.nir").read_bytes(), (run / "quantization.json").read_bytes()
    done = cli("quantize", run, "--weight-bits", 2, "--method", "max")
    assert done.code == 4
    assert "not the float network any more" in done.err
    assert "layer 'if1'" in done.err
    assert "--max-disagreement 1" in done.err
    assert ((run / "model.nir").read_bytes(), (run / "quantization.json").read_bytes()) == before
    assert cli("quantize", run, "--weight-bits", 2, "--method", "max", "--max-disagreement", 1).code == 0


def test_the_figures_stand_in_the_run_the_file_the_verdict_and_the_report(cli: Cli, run: Path) -> None:
    done = cli("quantize", run)
    assert done.code == 0, done.err
    kept = json.loads((run / "quantization.json").read_text())["agreement"]
    said = f"{100 * kept['agreeing'] / 200:.1f} % of 200 predictions agree (training images of digits"
    assert kept["images"] == 200
    assert [layer["name"] for layer in kept["layers"]] == ["if1", "pool1", "if2", "pool2", "if3", "if4"]
    assert said in done.out
    assert agreement_of(read_nir(run / "model.nir")) == kept
    shown = cli("evaluate", run, "-t", "gpu", "-n", 10).out
    assert re.search(r"module → float: [\d,]+ spikes equal in [\d,]+ neuron-steps, on 96 images ", shown)
    assert f"float → integer: {said}" in shown
    assert "integer → gpu: every spike equal" in shown
    assert said in cli("evaluate", run, "-t", "reference", "-n", 10, "--json").json["edges"]["float_to_integer"]
    report = cli("report", run)
    assert report.code == 0, report.err
    assert json.loads((run / "report.json").read_text())["agreement"] == kept
    assert said in (run / "report.html").read_text()


def test_without_a_data_set_the_images_are_synthetic_and_called_so(cli: Cli, outlier: Path) -> None:
    done = cli("quantize", outlier, "--input-bits", 1, "--json")
    assert done.code == 0, done.err
    assert done.json["agreement"]["shown"] == "synthetic 1-bit images"
    shown = cli("evaluate", outlier.with_name("outlier-int8.nir"), "-t", "gpu", "--images", _images(outlier)).out
    assert "file → float: not checked (of a file: kdsnn quantize --expect)" in shown
    assert "predictions agree (synthetic 1-bit images" in shown


def _images(near: Path) -> Path:
    path = near.with_name("images.npz")
    np.savez(path, x=np.full((3, 40), 255, dtype=np.uint8))
    return path
