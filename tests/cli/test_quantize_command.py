"""`kdsnn quantize` beyond the default: few bits, fine-tuning, sensitivity, and graphs of other people."""

import json
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli


def test_fine_tuning_saves_what_few_bits_cost(cli: Cli, run: Path) -> None:
    few = ("--weight-bits", 3, "--method", "max", "--max-disagreement", 1)
    plain = cli("quantize", run, *few, "--json")
    tuned = cli("quantize", run, *few, "--qat-epochs", 5, "--json")
    assert (plain.code, tuned.code) == (0, 0), plain.err + tuned.err
    assert tuned.json["integer_accuracy"] > plain.json["integer_accuracy"] + 0.01
    network = read_nir(run / "model.nir")
    assert network.fingerprint() == tuned.json["fingerprint"] != plain.json["fingerprint"]
    assert max(np.abs(p.op.weight).max() for p in network.projections) == 3
    assert cli("evaluate", run, "-t", "gpu", "-n", 50).code == 0


def test_sensitivity_has_a_row_for_each_layer_that_changes(cli: Cli, run: Path) -> None:
    done = cli("quantize", run, "--weight-bits", 3, "--sensitivity", "--max-disagreement", 1, "--json")
    assert done.code == 0, done.err
    assert [row["name"] for row in done.json["sensitivity"]] == ["if1", "if2", "if3", "if4"]
    assert all(0 <= row["accuracy"] <= 1 for row in done.json["sensitivity"])
    assert "Only this layer quantized" in cli("quantize", run, "--sensitivity").out


def test_wide_weights_go_the_whole_road(cli: Cli, run: Path, tmp_path: Path) -> None:
    done = cli("quantize", run, "--weight-bits", 12, "--json")
    assert done.code == 0, done.err
    network = read_nir(run / "model.nir")
    assert sum(p.part for p in network.projections) == 4  # of the layers with weights; pools are ones
    assert done.json["agreement"]["agreeing"] >= 0.97 * done.json["agreement"]["images"]
    zeroed = max(row["zeroed"] for row in done.json["agreement"]["layers"])  # both parts are 0
    assert zeroed < 0.01  # one of the 108 of the smallest layer may be
    for target in ("gpu", "onnx", "lava"):
        assert cli("evaluate", run, "-t", target, "-n", 10).code == 0
    synops = cli("energy", run, "--model", "loihi1", "-n", 10, "--json")
    assert synops.code == 0, synops.err
    assert cli("export", run, "-t", "lava", "-o", tmp_path / "bundle").code == 0
    assert cli("report", run).code == 0
    refused = cli("quantize", run, "--weight-bits", 12, "--qat-epochs", 1)
    assert refused.code == 2
    assert "at most 8 bits, not 12" in refused.err


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A float graph written by hand with nir alone: images of 8x8, a convolution, a pool, a dense layer."""
    rng = np.random.default_rng(0)
    ones = np.ones((6, 8, 8))
    nodes = {
        "in": nir.Input(np.array([1, 8, 8])),
        "a.b": nir.Conv2d((8, 8), rng.normal(0, 0.5, (6, 1, 3, 3)), 1, 1, 1, 1, rng.normal(0, 0.1, 6)),
        "spikes": nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([6, 4, 4])}, 0, -1),
        "dense": nir.Affine(rng.normal(0, 0.4, (10, 96)), rng.normal(0, 0.1, 10)),
        "last": nir.IF(r=np.ones(10), v_threshold=np.ones(10), v_reset=np.zeros(10)),
        "out": nir.Output(np.array([10])),
    }
    names = list(nodes)
    nir.write(tmp_path / "other.nir", nir.NIRGraph(nodes, list(pairwise(names)), type_check=False))
    return tmp_path / "other.nir"


def test_a_graph_of_somebody_else_runs_on_every_target(cli: Cli, foreign: Path) -> None:
    done = cli("quantize", foreign, "--calibrate", "digits", "-T", 5, "--json")
    assert done.code == 0, done.err
    network = read_nir(foreign.with_name("other-int8.nir"))
    assert network.timesteps == 5
    assert network.fingerprint() == done.json["fingerprint"]
    results = [
        cli("evaluate", foreign.with_name("other-int8.nir"), "-t", target, "-n", 20, "--json")
        for target in ("gpu", "lava")
    ]
    assert [r.code for r in results] == [0, 0], results[1].err
    assert results[0].json["layers"] == results[1].json["layers"]
    assert results[0].json["counts"]["spikes"] > 100


def test_a_float_graph_is_quantized_and_exported_in_one_go(cli: Cli, foreign: Path, tmp_path: Path) -> None:
    done = cli(
        "export", foreign, "--target", "lava", "--calibrate", "digits", "-T", 3, "-o", tmp_path / "lava", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["verified"]["images"] == 4
    assert read_nir(foreign.with_name("other-int8.nir")).fingerprint() == done.json["fingerprint"]
    foreign.with_name("other-int8.nir").unlink()
    dry = cli("export", foreign, "--target", "lava", "--dry-run")
    assert dry.code == 0, dry.err
    assert "0 of them relays" in dry.out
    assert not foreign.with_name("other-int8.nir").exists()
    assert cli("quantize", foreign, "-o", foreign).code == 2
    evaluated = cli("evaluate", foreign, "--target", "gpu")
    assert evaluated.code == 3
    assert "kdsnn quantize" in evaluated.err


def test_a_file_that_hides_its_reset_is_asked_for_it(cli: Cli, tmp_path: Path) -> None:
    rng, tau = np.random.default_rng(1), np.full(10, 1e-3, np.float32)
    nodes = {
        "in": nir.Input(np.array([64])),
        "dense": nir.Affine(rng.normal(0, 0.6, (10, 64)), np.zeros(10)),
        "lif": nir.LIF(tau=tau, r=tau / 1e-4, v_leak=0 * tau, v_threshold=np.ones(10), v_reset=np.zeros(10)),
        "out": nir.Output(np.array([10])),
    }
    nir.write(tmp_path / "snn.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    for command in (("quantize", tmp_path / "snn.nir"), ("export", tmp_path / "snn.nir", "--dry-run")):
        asked = cli(*command)
        assert asked.code == 3
        assert "--reset zero, subtract or none" in asked.err
        assert "--writer NAME" in asked.err
        assert cli(*command, "--reset", "subtract").code == 3
        assert cli(*command, "--reset", "zero", "--dt", "1e-3").code == 3
        assert cli(*command, "--reset", "away").code == 2
        assert cli(*command, "--writer", "spyking").code == 2
        said = cli(*command, "--writer", "snntorch", "--reset", "zero", "--max-disagreement", 1)
        assert said.code == 0, said.err
    done = cli("quantize", tmp_path / "snn.nir", "--writer", "by-hand", "--dt", "1e-4", "--max-disagreement", 1)
    assert "file → float: not checked (of a file: kdsnn quantize --expect) · float → integer: " in done.out
    assert cli("list", "writers").out.split() == ["by-hand", "norse", "sinabs", "snntorch", "spikingjelly"]


def test_what_was_recorded_elsewhere_must_be_what_the_float_network_does(
    cli: Cli, foreign: Path, tmp_path: Path
) -> None:
    """Pixels of 1 as spikes: `--input-scale 1`; recorded by numpy, step by step."""
    graph, x = (
        nir.read(foreign, type_check=False),
        np.random.default_rng(2).integers(0, 2, (6, 1, 8, 8)).astype(np.uint8),
    )
    conv, dense = graph.nodes["a.b"], graph.nodes["dense"]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    drive = np.einsum("nhwyx,cyx->nchw", windows, conv.weight[:, 0]) + conv.bias.reshape(-1, 1, 1)
    v, u, spikes = np.zeros(drive.shape), np.zeros((6, 10)), []
    for _ in range(5):
        v += drive
        fired, v = v > 1, np.where(v > 1, 0, v)
        pooled = fired.reshape(6, 6, 4, 2, 4, 2).mean((3, 5))
        u += pooled.reshape(6, -1) @ dense.weight.T + dense.bias
        spikes.append(u > 1)
        u = np.where(u > 1, 0, u)
    np.savez(tmp_path / "recorded.npz", x=x, output_spikes=np.stack(spikes, 1))
    options = ("-T", 5, "--input-scale", 1, "--expect", tmp_path / "recorded.npz")
    done = cli("quantize", foreign, *options)
    assert done.code == 0, done.err
    assert (
        "file → float: fires as recorded.npz says, on 6 images: 300 values equal of last · float → integer: "
        in done.out
    )
    assert "300 values" in read_nir(foreign.with_name("other-int8.nir")).provenance["module_to_float"]
    assert cli("quantize", foreign, *options, "--json").json["expected"]["images"] == 6
    assert cli("export", foreign, *options, "--dry-run").code == 0
    foreign.with_name("other-int8.nir").unlink()
    for command in ("quantize", "export"):
        wrong = cli(command, foreign, *options, "--input-scale", 0.5)
        assert wrong.code == 4
        assert "population 'last', step" in wrong.err
        assert not foreign.with_name("other-int8.nir").exists()
    assert cli("export", foreign, *options, "--fires-at-threshold", "--dry-run").code == 0, "no potential is a tie"


def test_options_of_files_are_not_for_runs(cli: Cli, run: Path, tmp_path: Path) -> None:
    for option in (("--expect", tmp_path / "r.npz"), ("--reset", "zero"), ("--writer", "norse")):
        assert cli("quantize", run, *option).code == 2
    assert cli("export", run, "--expect", tmp_path / "r.npz", "--dry-run").code == 2
    for name in ("own.pt", "own.onnx", "own.py", "x.net"):
        for command in (("quantize",), ("evaluate", "-t", "gpu"), ("export", "--dry-run")):
            assert cli(*command, tmp_path / name).code == 2


def test_what_cannot_be_carried_is_named(cli: Cli, tmp_path: Path, foreign: Path) -> None:
    graph = nir.read(foreign, type_check=False)
    graph.nodes["spikes"] = nir.Delay(np.ones((6, 8, 8)))
    nir.write(tmp_path / "delay.nir", graph)
    done = cli("quantize", tmp_path / "delay.nir")
    assert done.code == 3
    assert "spikes" in done.err
    assert "Delay" in done.err
    assert cli("quantize", foreign, "--qat-epochs", 2).code == 2
    assert cli("quantize", foreign, "--calibrate", "mnist5k").code == 3


def test_quantization_json_is_kept(cli: Cli, run: Path) -> None:
    done = cli("quantize", run, "--method", "percentile", "--json")
    assert json.loads((run / "quantization.json").read_text()) == done.json
    assert done.json["method"] == "percentile"
