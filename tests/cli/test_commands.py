"""The commands on a real run: what they print, what they write, and that JSON is all that stdout holds."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error


def test_distilling_and_quantizing_digits_works(run: Path) -> None:
    student = json.loads((run / "student.json").read_text())
    quantization = json.loads((run / "quantization.json").read_text())
    assert student["accuracy"] > 0.9
    assert quantization["float_accuracy"] == student["accuracy"]
    assert abs(quantization["integer_accuracy"] - quantization["float_accuracy"]) < 0.03
    network = read_nir(run / "model.nir")
    assert network.fingerprint() == quantization["fingerprint"]
    assert network.provenance["dataset"] == "digits"


def test_quantize_again_with_fewer_bits(cli: Cli, run: Path) -> None:
    before = read_nir(run / "model.nir").fingerprint()
    done = cli("quantize", run, "--weight-bits", 4, "--input-bits", 4, "--max-disagreement", 1, "--json")
    assert done.code == 0, done.err
    assert done.json["weight_bits"] == 4
    assert done.json["fingerprint"] == read_nir(run / "model.nir").fingerprint() != before
    network = read_nir(run / "model.nir")
    assert network.input_bits == 4
    assert max(np.abs(p.op.weight).max() for p in network.projections) == 7


def test_evaluate_on_torch_and_the_reference(cli: Cli, run: Path) -> None:
    torch, reference = (cli("evaluate", run, "--target", t, "-n", 50, "--json") for t in ("gpu", "reference"))
    assert (torch.code, reference.code) == (0, 0), torch.err + reference.err
    assert torch.json["predictions"] == reference.json["predictions"]
    assert torch.json["counts"] == reference.json["counts"]
    assert torch.json["samples"] == 50
    assert torch.json["matches_reference"] is True
    assert reference.json["matches_reference"] is False  # it is the reference: nothing was compared
    assert reference.json["compared_populations"] == []
    assert torch.json["fingerprint"] == read_nir(run / "model.nir").fingerprint()
    (kept,) = (run / "evaluations").glob("gpu-50-*.json")
    written = json.loads(kept.read_text())
    assert written["identity"]["target"]["name"] == "gpu"
    assert written == torch.json


def test_evaluate_in_time(cli: Cli, run: Path) -> None:
    asked = ("evaluate", run, "--target", "gpu", "-n", 30)
    found = cli(*asked, "--curve", "--margin", 2, "--json").json
    answers = found["in_time"]
    assert len(answers["accuracy_by_step"]) == found["timesteps"]
    assert answers["accuracy_by_step"][-1] == found["accuracy"]
    assert [stop["margin"] for stop in answers["stops"]] == [2, None]
    assert sum(answers["counts_by_step"]["synops_dense"]) == pytest.approx(found["counts"]["synops_dense"] / 30)
    assert "in_time" not in cli(*asked, "--json").json
    files = [json.loads(path.read_text()) for path in (run / "evaluations").glob("gpu-30-*.json")]
    assert [kept["in_time"] for kept in files] == [answers]  # what is known stays, where it is not asked for again
    text = cli(*asked, "--curve").out
    assert "answers in time" in text
    assert "first spike" in text
    assert_error(cli(*asked, "--margin", 0), 2, "a margin is 1 at least")
    assert_error(cli("evaluate", run, "--target", "all", "--curve"), 2, "no curve")


def test_evaluate_prints_a_table(cli: Cli, run: Path) -> None:
    done = cli("evaluate", run, "--target", "gpu", "-n", 10)
    assert done.code == 0
    assert "matches the reference spike for spike in 6 populations" in done.out
    assert "SynOps" in done.out


def test_evaluate_ones_own_images_and_dump(cli: Cli, run: Path, tmp_path: Path) -> None:
    test = load_dataset("digits").test
    np.savez(tmp_path / "mine.npz", x=test.images[:7], y=test.labels[:7])
    done = cli(
        "evaluate",
        run / "model.nir",
        "-t",
        "gpu",
        "--images",
        tmp_path / "mine.npz",
        "--dump",
        tmp_path / "d.npz",
        "--json",
    )
    assert done.code == 0, done.err
    network = read_nir(run / "model.nir")
    with np.load(tmp_path / "d.npz") as dump:
        assert dump["predictions"].tolist() == done.json["predictions"]
        assert dump["output_spikes"].shape == (7, network.timesteps, 10)
        for layer in done.json["layers"]:
            totals = dump[f"spikes/{layer['name']}"]
            assert totals.shape == (7, layer["neurons"])
            assert totals.sum() == layer["spikes"]


def test_a_nir_file_alone_knows_its_data_set(cli: Cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "m.nir").write_bytes((run / "model.nir").read_bytes())
    assert cli("evaluate", tmp_path / "m.nir", "-t", "gpu", "-n", 5, "--json").json["samples"] == 5


def test_the_latest_run_is_meant_where_none_is_named(cli: Cli, run: Path) -> None:
    done = cli("evaluate", "-t", "gpu", "-n", 3, "--json")
    assert done.code == 0, done.err
    assert done.json["fingerprint"] == read_nir(run / "model.nir").fingerprint()


@pytest.mark.parametrize("model", ["loihi1", "cmos45", "cmos45-int8"])
def test_energy(cli: Cli, run: Path, model: str) -> None:
    done = cli("energy", run, "--model", model, "-t", "gpu", "-n", 20, "--json")
    assert done.code == 0, done.err
    energy = done.json["energy"]
    assert energy["model"] == model
    dynamic = sum(energy["parts"].values())
    assert energy["dynamic_j_per_sample"] == pytest.approx(dynamic)
    static = energy["static"]["alone_j_per_sample"] if model == "loihi1" else 0
    assert energy["total_j_per_sample"] == pytest.approx(dynamic + static)
    assert static > dynamic or model != "loihi1"  # what a headline may not leave out
    assert (energy["teacher_j_per_sample"] is None) == (model == "loihi1")


def test_energy_as_a_table_names_its_source(cli: Cli, run: Path) -> None:
    done = cli("energy", run, "-n", 5, "-t", "gpu")
    assert done.code == 0
    assert "Davies" in done.out


@pytest.mark.parametrize("target", ["nir", "gpu", "reference"])
def test_export_writes_a_bundle_that_was_run(cli: Cli, run: Path, tmp_path: Path, target: str) -> None:
    done = (
        cli("export", run, "--target", target, "-o", tmp_path / "bundle", "--device", "cpu", "--json")
        if (target == "gpu")
        else cli("export", run, "--target", target, "-o", tmp_path / "bundle", "--json")
    )
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert done.json == {**manifest, "folder": str(tmp_path / "bundle")}
    assert read_nir(tmp_path / "bundle" / "model.nir").fingerprint() == manifest["fingerprint"]
    if target == "nir":
        assert manifest["verified"] is None
    else:
        assert manifest["verified"]["images"] == 4
        assert manifest["verified"]["spikes"] > 0


def test_export_for_onnx_writes_the_teacher_and_says_so(cli: Cli, run: Path, tmp_path: Path) -> None:
    done = cli("export", run, "--target", "onnx", "-o", tmp_path / "bundle")
    assert done.code == 0, done.err
    assert "teacher.onnx" in done.out
    assert "the teacher's logits are torch's within" in done.out
    shutil.rmtree(run / "teacher")
    again = cli("export", run, "--target", "onnx", "-o", tmp_path / "other")
    assert again.code == 0, again.err
    assert "no teacher.onnx: the weights of teacher 'cnn' are not on this machine" in " ".join(again.out.split())
    assert not (tmp_path / "other" / "teacher.onnx").exists()


def test_a_dry_run_shows_what_is_needed_and_writes_nothing(cli: Cli, run: Path, tmp_path: Path) -> None:
    done = cli("export", run, "--target", "lava", "-o", tmp_path / "bundle", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["violations"] == []
    network = read_nir(run / "model.nir")
    assert [row["name"] for row in done.json["layers"]] == [p.name for p in network.spiking]
    assert not (tmp_path / "bundle").exists()
    assert "synapses" in cli("export", run, "--target", "lava", "--dry-run").out


def test_report(cli: Cli, run: Path) -> None:
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    done = cli("report", run)
    assert done.code == 0, done.err
    page = (run / "report.html").read_text()
    data = json.loads((run / "report.json").read_text())
    assert data["fingerprint"] in page
    # accuracies of the whole test set, and of 20 images; layers; two accounts of energy; and the images that are shown
    assert page.count("<svg") == 5 + len(data["images"])
    assert not re.search(r'(src|href)="?(http|//)|url\(http|<script [^>]*src|@import', page)  # it needs nothing else
    assert [layer["name"] for layer in data["layers"]] == [p.name for p in read_nir(run / "model.nir").spiking]
    fired = sum(len(step) for steps in data["image"]["spikes"].values() for step in steps)
    assert fired > 0


def test_list_recipe_targets_doctor(cli: Cli, run: Path) -> None:
    assert "mnist5k-2conv" in cli("list", "recipes").out
    plain = {"cifar10", "digits", "fashion-mnist", "mnist", "mnist5k"}
    assert plain | {"mnist5k-rot-back-image"} < set(cli("list", "datasets", "--json").json["datasets"])
    assert {"gpu", "lava", "reference"} <= set(cli("list", "targets").out.split())
    assert cli("list", "energy-models").out.split() == [
        "cmos45",
        "cmos45-int8",
        "loihi1",
        "loihi2",
        "speck",
        "spinnaker2",
        "xylo",
    ]
    assert cli("list", "hardware").out.split() == ["loihi1", "loihi2"]
    assert "2conv" in cli("list", "students").out
    assert "resnet18" in cli("list", "teachers").out
    assert cli("list", "runs").out.split() == ["digits"]
    assert 'dataset = "digits"' in cli("recipe", "show", "digits-2conv").out
    assert cli("recipe", "validate", "digits-2conv", "--set", "distill.alpha=0.5").code == 0
    beyond = cli("recipe", "validate", "digits-2conv", "--set", "distill.alpha=1.5")
    assert (beyond.code, "the teacher's share" in beyond.err) == (3, True)
    assert (
        cli("recipe", "validate", "digits-2conv", "--set", "distill.alpha=1.5", "--set", "distill.kind=laf").code == 0
    )
    assert cli("targets", "--json").json["reference"]["available"] is True
    doctor = cli("doctor", "--json").json["findings"]
    assert {"python", "torch", "runs folder", "target lava"} <= {f["what"] for f in doctor}


def test_a_run_that_was_moved_holds_what_its_commands_need(cli: Cli, run: Path, tmp_path: Path) -> None:
    """Its teacher, too: nothing trains one anew without a word, and nothing reaches back to where the run was made."""
    moved = tmp_path / "elsewhere" / "mine"
    moved.parent.mkdir()
    shutil.move(run, moved)
    shutil.rmtree(run.parent / "teachers")
    done = cli("noise", moved, "--levels", "0.1", "--seeds", 1, "-n", 10, "--json")
    assert done.code == 0, done.err
    assert done.json["networks"][0]["name"] == "teacher"
    tuned = cli("quantize", moved, "--weight-bits", 4, "--qat-epochs", 1, "--max-disagreement", 1, "--json")
    assert tuned.code == 0, tuned.err
    assert not (run.parent / "teachers").exists()
    assert cli("evaluate", moved, "-t", "gpu", "-n", 10).code == 0
    assert cli("report", moved).code == 0
    for path in (moved / "evaluations").iterdir():
        assert str(tmp_path) not in path.read_text()
    assert str(tmp_path) not in (moved / "teacher.json").read_text()
    (moved / "teacher" / "teacher.safetensors").unlink()
    for command in (("noise", moved, "-n", 5), ("quantize", moved, "--weight-bits", 5, "--qat-epochs", 1)):
        gone = cli(*command)
        assert gone.code == 3
        assert "is gone" in gone.err
