"""Results know what they belong to: the commands on a real run, stopped, repeated and moved."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kdsnn.steps.figures
import kdsnn.steps.quantize_run
from kdsnn.data.datasets import load_dataset
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.noise.faults import flip_bits
from kdsnn.run_folders import lock
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.small_run import small_run


def report(cli: Cli, run: Path) -> dict[str, Any]:
    done = cli("report", run)
    assert done.code == 0, done.err
    return json.loads((run / "report.json").read_text())


def loihi_j(data: dict[str, Any]) -> float:
    return next(e["total_j_per_sample"] for e in data["energy"] if e["model"] == "loihi1")


def test_ones_own_images_do_not_get_into_the_report(cli: Cli, run: Path, tmp_path: Path) -> None:
    assert cli("evaluate", run, "-t", "gpu").code == 0
    before = report(cli, run)
    right = cli("energy", run, "-t", "gpu", "--json").json["energy"]["total_j_per_sample"]
    assert loihi_j(before) == pytest.approx(right)
    noise = np.random.default_rng(0).integers(0, 256, (400, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x=noise)
    other = cli("energy", run, "-t", "gpu", "--images", tmp_path / "noise.npz", "--json").json
    assert other["energy"]["total_j_per_sample"] > 1.1 * right  # so that the wrong images would be seen
    assert cli("evaluate", run, "-t", "gpu", "--images", tmp_path / "noise.npz").code == 0
    after = report(cli, run)
    assert loihi_j(after) == pytest.approx(right)
    assert after["accuracy"] == before["accuracy"]
    assert [(row["what"], row["why"]) for row in after["left_out"]] == [
        ("evaluation on gpu, 400 images of noise.npz", "of other images")
    ]
    assert other["identity"]["data"]["name"] == "noise.npz"


def test_energy_and_smaller_samples_replace_no_evaluation(cli: Cli, run: Path) -> None:
    whole = cli("evaluate", run, "-t", "gpu", "--json").json
    assert whole["samples"] == 360
    assert cli("energy", run, "-t", "gpu", "-n", 5).code == 0
    assert len(list((run / "evaluations").iterdir())) == 1
    assert cli("evaluate", run, "-t", "gpu", "-n", 5).code == 0
    data = report(cli, run)
    assert data["counted_on"]["samples"] == 360
    shown = {row["samples"]: row["accuracy"] for row in data["accuracy"] if row["what"] == "on gpu"}
    assert shown[360] == whole["accuracy"]
    assert set(shown) == {5, 360}


def test_the_command_that_lists_all_evaluations(
    cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("list", "evaluations", run, "--json").json == {"run": "digits", "evaluations": []}
    test = load_dataset("digits").test
    np.savez(tmp_path / "mine.npz", x=test.images[:6], y=test.labels[:6])
    assert cli("evaluate", run, "-t", "gpu", "-n", 30).code == 0
    assert cli("evaluate", run, "-t", "reference", "--images", tmp_path / "mine.npz").code == 0
    first = read_nir(run / "model.nir").fingerprint()
    assert cli("quantize", run, "--weight-bits", 4, "--max-disagreement", 1).code == 0
    second = read_nir(run / "model.nir").fingerprint()
    assert cli("evaluate", run, "-t", "gpu", "-n", 20, "-O", "arithmetic=float32").code == 0
    rows = cli("list", "evaluations", run, "--json").json["evaluations"]
    assert [(r["target"], r["samples"], r["is_of_this_network"]) for r in rows] == [
        ("gpu", 30, False),
        ("gpu", 20, True),
        ("reference", 6, False),
    ]
    assert [r["fingerprint"] for r in rows] == [first, second, first]
    assert [r["matches_reference"] for r in rows] == [True, True, False]
    assert [r["identity"]["data"]["name"] for r in rows] == ["digits", "digits", "mine.npz"]
    assert rows[1]["identity"]["target"]["settings"]["arithmetic"] == "float32"
    monkeypatch.setenv("COLUMNS", "80")
    shown = cli("list", "evaluations").out  # of the latest run
    for word in ("mine.npz", "digits test", "seed 0)", first[:12], second[:12], "(arithmetic=float32)", "yes"):
        assert word in shown, word
    (run / "model.nir").unlink()
    rows = cli("list", "evaluations", run, "--json").json["evaluations"]
    assert [r["is_of_this_network"] for r in rows] == [False] * 3
    assert_error(cli("list", "evaluations", "nowhere"), 3, "there is no run 'nowhere'")
    assert_error(cli("list", "datasets", run), 2, "belong to no run")


def quantize_stopped(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes an int3 network of an int8 run, and stops right after it was written."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kdsnn.steps.figures, "write_json", stop)
        assert cli("quantize", run, "--weight-bits", 3, "--max-disagreement", 1).code == 130
    network = read_nir(run / "model.nir")
    assert max(int(np.abs(p.op.weight).max()) for p in network.projections) <= 3


def test_stopped_between_network_and_figures_it_has_none(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = (run / "quantization.json").read_bytes()
    quantize_stopped(cli, run, monkeypatch)
    assert not (run / "quantization.json").exists()
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    for figures in (None, old):  # even where int8's are put back
        if figures is not None:
            (run / "quantization.json").write_bytes(figures)
        data = report(cli, run)
        assert {row["what"] for row in data["accuracy"]} == {"teacher (cnn, float)", "on gpu"}
        assert data["left_out"][0]["what"] == "quantization.json"
        assert "quantization.json: missing, or of another network" in (run / "report.html").read_text()
    assert cli("quantize", run, "--weight-bits", 3, "--max-disagreement", 1).code == 0
    assert len(report(cli, run)["accuracy"]) == 4


def test_bits_are_flipped_at_the_width_that_the_network_itself_says(
    cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (run / "quantization.json").read_bytes()
    quantize_stopped(cli, run, monkeypatch)
    (run / "quantization.json").write_bytes(old)  # says 8 bits
    done = cli("noise", run, "-k", "bit-flip", "--levels", "0.05", "-n", 40, "--seeds", 1, "--json")
    assert done.code == 0, done.err
    shown = select_images(load(str(run)), samples=40)
    np.savez(tmp_path / "x.npz", x=shown.images, y=shown.labels)
    found = {}
    for bits in (3, 8):
        write_nir(flip_bits(read_nir(run / "model.nir"), 0.05, 0, weight_bits=bits), tmp_path / "flipped.nir")
        plain = cli("evaluate", tmp_path / "flipped.nir", "-t", "gpu", "--images", tmp_path / "x.npz", "--json")
        found[bits] = plain.json["accuracy"] if plain.code == 0 else None
    assert done.json["noise"][0]["curves"][0]["points"][1]["accuracies"] == [found[3]]
    assert found[3] != found[8]


def test_a_run_that_another_process_works_on_is_not_quantized(
    cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}

    def read(_: Path) -> None:
        raise AssertionError("the student was read while another process may train it")

    monkeypatch.setattr(kdsnn.steps.quantize_run, "load_student", read)
    with lock(run):
        assert_error(cli("quantize", run, "--weight-bits", 4), 3, "another process is working on")
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == {**before, ".lock": b""}


def test_measurements_under_noise_are_kept_by_what_was_asked(cli: Cli, run: Path) -> None:
    first = cli("noise", run, "--levels", "0.3", "-n", 20, "--seeds", 2, "--json").json
    for arguments in (
        ("--levels", "0.3,0.1", "-n", 20, "--seeds", 2),
        ("--levels", "0.3", "-n", 10, "--seeds", 2),
        ("--levels", "0.3", "-n", 20, "--seeds", 1),
        ("--levels", "0.3", "-n", 20, "--seeds", 2, "-t", "reference"),
        ("--levels", "0.3", "-n", 20, "--seeds", 2, "-k", "rotate"),
        ("--levels", "0.3", "-n", 20, "--seeds", 2),  # the first again
    ):
        assert cli("noise", run, *arguments).code == 0
    records = sorted((run / "noise").glob("*.json"))
    assert len(records) == 6
    assert first in [json.loads(path.read_text()) for path in records]
    assert len(list((run / "noise").glob("*.png"))) == 6
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    data = report(cli, run)
    assert len(data["noise_measurements"]) == 6
    assert data["noise"]["samples"] * data["noise"]["seeds"] == 40  # the widest
    page = (run / "report.html").read_text()
    assert len(re.findall(r"\d+ images; means and standard deviations of", page)) == 6
    assert cli("quantize", run, "--weight-bits", 4, "--max-disagreement", 1).code == 0
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    assert report(cli, run)["noise"] is None  # all are of another network
    assert len(list((run / "noise").glob("*.json"))) == 6  # and none is lost


def test_a_moved_run_says_the_same_and_names_no_place(cli: Cli, run: Path, tmp_path: Path) -> None:
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    assert cli("noise", run, "--levels", "0.3", "-n", 10, "--seeds", 1).code == 0
    assert cli("export", run, "-t", "gpu", "--device", "cpu").code == 0
    before = report(cli, run)
    moved = tmp_path / "a place" / "moved"
    moved.parent.mkdir()
    shutil.move(run, moved)
    assert report(cli, moved) == {**before, "run": "moved"}
    assert len(cli("list", "evaluations", moved, "--json").json["evaluations"]) == 1
    results = [p for p in moved.rglob("*") if p.is_file() and p.name != "teacher.json"]
    assert len(results) > 10
    for path in results:
        assert str(tmp_path).encode() not in path.read_bytes(), path


def test_accuracies_say_on_which_images_they_were_measured(cli: Cli, run: Path) -> None:
    own = select_images(load(str(run))).identity.as_json()
    for name in ("student.json", "teacher.json", "quantization.json"):
        assert json.loads((run / name).read_text())["data"] == own, name
    told = json.loads((run / "student.json").read_text())
    for data, wanted in ((own, 0.125), ({**own, "sha256": "0" * 64}, told["accuracy"])):
        (run / "student.json").write_text(json.dumps({**told, "accuracy": 0.125, "data": data}))
        assert cli("quantize", run, "--json").json["float_accuracy"] == wanted  # measured anew on the images of now


def test_evaluations_of_an_older_version_are_listed_as_such(cli: Cli) -> None:
    model = small_run()
    for samples in (4, 3):
        assert cli("evaluate", model.run, "-t", "gpu", "-n", samples).code == 0
    (path,) = model.path.parent.glob("evaluations/gpu-4-*.json")
    older = json.loads(path.read_text())
    del older["counts"]["leak_updates"]
    path.write_text(json.dumps(older))
    rows = cli("list", "evaluations", model.run, "--json").json["evaluations"]
    assert [(row["samples"], row["is_of_older_version"]) for row in rows] == [(4, True), (3, False)]
    shown = cli("list", "evaluations", model.run).out
    assert shown.count("yes, older") == 1
    assert "older: of an older version, which counted less: run kdsnn evaluate again" in shown
