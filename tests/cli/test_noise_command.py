"""`kdsnn noise` on a real run: level 0 is the plain evaluation, and what is refused says why."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdsnn.choices import NOISES
from kdsnn.errors import UsageError, VerificationError
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.noise.faults import flip_bits, lose_spikes
from kdsnn.noise.measure import Point
from kdsnn.noise.plan import check_kinds
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.targets.base import Violation
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import simulate
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error

CURVES = ("teacher", "KDSNN, float", "KDSNN, integer")


@pytest.fixture
def alone(run: Path) -> Path:
    """The same student under the name of one that was trained without a teacher."""
    folder = run.parent / "alone"
    shutil.copytree(run, folder)
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('kind = "response"', 'kind = "none"'))
    (folder / "teacher.json").unlink()
    return folder


def accuracies(data: dict, kind: str, network: str) -> dict[float, list[float]]:
    (noise,) = (n for n in data["noise"] if n["kind"] == kind)
    (curve,) = (c for c in noise["curves"] if c["network"] == network)
    return {point["level"]: point["accuracies"] for point in curve["points"]}


def record(run: Path) -> Path:
    """The one measurement that a run keeps."""
    (path,) = (run / "noise").glob("*.json")
    return path


def test_the_papers_sigmas_are_usual() -> None:
    assert {0.01, 0.03, 0.05} < set(NOISES["gaussian"].levels)


def test_level_0_is_the_plain_evaluation(cli: Cli, run: Path) -> None:
    plain = cli("evaluate", run, "-t", "gpu", "-n", 60, "--json").json["accuracy"]
    kinds = [part for kind in NOISES for part in ("-k", kind)]
    done = cli("noise", run, *kinds, "--levels", "0", "-n", 60, "--json")
    assert done.code == 0, done.err
    for kind in NOISES:
        assert accuracies(done.json, kind, "KDSNN, integer") == {0.0: [plain]}


def test_float_networks_have_the_accuracies_of_their_training(cli: Cli, run: Path) -> None:
    data = cli("noise", run, "--levels", "0", "--json").json
    student = json.loads((run / "student.json").read_text())["accuracy"]
    teacher = json.loads((run / "teacher.json").read_text())["accuracy"]
    assert accuracies(data, "gaussian", "KDSNN, float") == {0.0: [student]}
    assert accuracies(data, "gaussian", "teacher") == {0.0: [teacher]}


def test_gaussian_noise_is_what_the_evaluator_saw(cli: Cli, run: Path, tmp_path: Path) -> None:
    data = cli("noise", run, "--levels", "0.2,0.05", "-n", 60, "--seeds", 2, "--json").json
    assert data["schema"] == "kdsnn.noise/1"
    assert (data["samples"], data["seeds"], data["target"], data["dataset"]) == (60, 2, "gpu", "digits")
    found = accuracies(data, "gaussian", "KDSNN, integer")
    assert list(found) == [0.0, 0.05, 0.2]
    shown = select_images(load(str(run)), samples=60)
    images, labels = shown.images, shown.labels
    for seed in range(2):
        np.savez(tmp_path / "noisy.npz", x=NOISES["gaussian"].add(images, 0.2, seed, "test"), y=labels)
        plain = cli("evaluate", run, "-t", "reference", "--images", tmp_path / "noisy.npz", "--json").json
        assert found[0.2][seed] == plain["accuracy"]


def test_mean_and_spread() -> None:
    point = Point(0.1, (0.5, 0.75, 1.0))
    assert (point.mean, point.spread) == (0.75, 0.25)
    assert (Point(0.1, (0.5,)).mean, Point(0.1, (0.5,)).spread) == (0.5, None)
    assert (Point(0.1, (0.5, None, 0.7), ("why",)).mean, Point(0.1, (0.5, None, 0.7), ("why",)).spread) == (None, None)


def test_the_files_of_a_run_and_the_report(cli: Cli, run: Path, alone: Path) -> None:
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    assert cli("report", run).code == 0
    assert "under noise" not in (run / "report.html").read_text()
    done = cli(
        "noise", run, "--against", alone, "-k", "gaussian", "-k", "rotate", "--levels", "0.1", "-n", 20, "--json"
    )
    assert done.code == 0, done.err
    assert json.loads(record(run).read_text()) == done.json
    assert record(run).with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    names = [network["name"] for network in done.json["networks"]]
    assert names == [*CURVES, "baseline, float", "baseline, integer"]
    assert [network["run"] for network in done.json["networks"]] == ["digits"] * 3 + ["alone"] * 2
    for kind in ("gaussian", "rotate"):  # the same weights see the same images
        assert accuracies(done.json, kind, "baseline, integer") == accuracies(done.json, kind, "KDSNN, integer")
        assert accuracies(done.json, kind, "baseline, float") == accuracies(done.json, kind, "KDSNN, float")
    assert cli("report", run).code == 0
    (shown,) = re.findall(r'<h2 id="noise">.*?(?=<h2|</section)', (run / "report.html").read_text(), re.DOTALL)
    assert shown.count("<svg") == 1
    assert cli("quantize", run, "--weight-bits", 4, "--max-disagreement", 1).code == 0
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    assert cli("report", run).code == 0
    assert "under noise" not in (run / "report.html").read_text()  # it was of another network


@pytest.mark.parametrize("name", ["curves.png", "curves.svg", "curves.pdf", "folder"])
def test_where_the_figure_goes(cli: Cli, run: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out" / name
    done = cli("noise", run, "--levels", "0.1", "-n", 10, "--seeds", 1, "--out", out)
    assert done.code == 0, done.err
    assert "±" not in done.out  # one draw has no spread
    assert "compared with the reference spike for spike" in " ".join(done.out.split())
    figure, copy = (out / "noise.png", out / "noise.json") if name == "folder" else (out, record(run))
    assert figure.stat().st_size > 1000
    assert json.loads(copy.read_text())["samples"] == 10
    assert json.loads(record(run).read_text())["samples"] == 10
    assert not record(run).with_suffix(".png").exists()


def test_no_measurement_replaces_another(cli: Cli, run: Path) -> None:
    asked = [("-n", 10, "--levels", "0.1"), ("-n", 20, "--levels", "0.1"), ("-n", 10, "--levels", "0.2")]
    for options in (*asked, asked[0]):
        assert cli("noise", run, "--seeds", 1, *options).code == 0
    kept = [json.loads(path.read_text()) for path in (run / "noise").glob("*.json")]
    assert sorted((k["samples"], k["noise"][0]["curves"][0]["points"][1]["level"]) for k in kept) == [
        (10, 0.1),
        (10, 0.2),
        (20, 0.1),
    ]
    assert cli("evaluate", run, "-t", "gpu", "-n", 20).code == 0
    assert cli("report", run).code == 0
    report = json.loads((run / "report.json").read_text())
    assert [m["samples"] for m in report["noise_measurements"]] == [20, 10, 10]
    assert report["noise"]["samples"] == 20


def test_lost_spikes_run_on_the_reference(cli: Cli, run: Path) -> None:
    done = cli("noise", run, "-k", "spike-drop", "--levels", "0.2", "-n", 40, "--seeds", 2, "--json")
    assert done.code == 0, done.err
    (curve,) = done.json["noise"][0]["curves"]
    assert (curve["network"], curve["evaluator"], curve["matches_reference"]) == ("KDSNN, integer", "reference", False)
    model = load(str(run))
    shown = select_images(model, samples=40)
    images, labels = shown.images, shown.labels
    for seed in range(2):
        arrives = lose_spikes(0.2, seed)
        output = [simulate(model.network, images[i : i + 32], arrives)[0]["if4"] for i in range(0, 40, 32)]
        predicted = np.concatenate(output).sum(axis=1).argmax(axis=1)
        assert curve["points"][1]["accuracies"][seed] == (predicted == labels).mean()
    assert cli("noise", run, "-k", "spike-drop", "-t", "reference", "--levels", "0.2", "-n", 5).code == 0


def test_flipped_bits_run_on_any_target_at_the_width_of_the_run(cli: Cli, run: Path, tmp_path: Path) -> None:
    assert cli("quantize", run, "--weight-bits", 4, "--max-disagreement", 1).code == 0
    done = cli("noise", run, "-k", "bit-flip", "--levels", "0.02", "-n", 40, "--seeds", 2, "-t", "onnx", "--json")
    assert done.code == 0, done.err
    (curve,) = done.json["noise"][0]["curves"]
    assert (curve["evaluator"], curve["matches_reference"]) == ("onnx", True)
    shown = select_images(load(str(run)), samples=40)
    images, labels = shown.images, shown.labels
    np.savez(tmp_path / "x.npz", x=images, y=labels)
    for seed in range(2):
        flipped = flip_bits(read_nir(run / "model.nir"), 0.02, seed, weight_bits=4)
        assert max(int(p.op.weight.max()) for p in flipped.projections) <= 7
        write_nir(flipped, tmp_path / "flipped.nir")
        plain = cli("evaluate", tmp_path / "flipped.nir", "-t", "gpu", "--images", tmp_path / "x.npz", "--json").json
        assert curve["points"][1]["accuracies"][seed] == plain["accuracy"]


def refuse(monkeypatch: pytest.MonkeyPatch, run: Path, *seeds: int) -> None:
    """Makes the torch target refuse the networks whose bits these seeds flipped."""
    network = read_nir(run / "model.nir")
    prints = {flip_bits(network, 0.004, seed).fingerprint() for seed in seeds}
    check = GpuTarget.check

    def strict(self: GpuTarget, network: object) -> list[Violation]:
        refused = network.fingerprint() in prints  # type: ignore[attr-defined]
        return [Violation("if1", "its potential could clip")] if refused else check(self, network)  # type: ignore[arg-type]

    monkeypatch.setattr(GpuTarget, "check", strict)


def test_a_level_with_a_refused_network_has_no_mean(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, run, 1)
    command = ("noise", run, "-k", "bit-flip", "--levels", "0.001,0.004", "-n", 10, "--seeds", 3)
    done = cli(*command, "--json")
    assert done.code == 0, done.err
    clean, few, many = done.json["noise"][0]["curves"][0]["points"]
    assert few["mean"] is not None
    assert few["refused"] == clean["refused"] == []
    assert (many["mean"], many["spread"], many["accuracies"][1]) == (None, None, None)
    assert many["refused"] == ["KDSNN, integer, level 0.004, seed 1: if1: its potential could clip"]
    assert all(isinstance(many["accuracies"][seed], float) for seed in (0, 2))
    shown = cli(*command)
    assert "1 of 3 refused" in shown.out
    assert "refused 1 of the networks" in shown.err


def test_where_all_are_refused_the_command_fails(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, run, 0, 1)
    command = ("noise", run, "-k", "bit-flip", "--levels", "0.004", "-n", 10, "--seeds", 2)
    assert_error(cli(*command), 5, "refuses all 2 networks", "if1: its potential could clip", "smaller levels")
    assert cli(*command, "-k", "gaussian").code == 0  # the rest is not lost


def test_a_difference_fails_with_code_4(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kdsnn.noise import measure as robustness

    def differs(*_: object, **__: object) -> None:
        raise VerificationError("target 'gpu' differs from the reference")

    monkeypatch.setattr(robustness, "evaluate", differs)
    assert_error(cli("noise", run, "-n", 4), 4, "differs from the reference")
    assert not (run / "noise").exists()


def test_refusals(cli: Cli, run: Path, tmp_path: Path) -> None:
    assert_error(
        cli("noise", run, "-k", "spike-drop", "-t", "gpu"), 2, "cannot show 'spike-drop'", "only target 'reference'"
    )
    assert_error(cli("noise", run, "-k", "gaussian", "-k", "spike-drop", "-t", "lava"), 2, "cannot show 'spike-drop'")
    assert_error(cli("noise", run, "--levels", "0.1,much"), 2, "'0.1,much' are no numbers", "--levels 0.01")
    for level in ("1.5", "-0.1", "nan", "inf"):
        assert_error(cli("noise", run, f"--levels={level}"), 2, "is not from 0 to 1")
    assert_error(cli("noise", run, "--out", tmp_path / "curves.jpg"), 2, "no figure and no folder", ".svg")
    assert_error(cli("noise", run, "--out", run / "recipe.toml"), 2, "no figure and no folder")
    assert_error(cli("noise", run, "--target", "larva"), 2, "did you mean 'lava'?")
    assert_error(cli("noise", run, "--against", run), 2, "compared with itself")
    assert cli("noise", run, "--kind", "gausian").code == 2
    assert cli("noise", run, "--seeds", 0).code == 2
    with pytest.raises(UsageError, match="did you mean 'gaussian'"):
        check_kinds(["gausian"])


def test_runs_that_do_not_fit(cli: Cli, run: Path, alone: Path) -> None:
    assert_error(cli("noise", "nowhere"), 3, "there is no run 'nowhere'")
    recipe = (alone / "recipe.toml").read_text()
    (alone / "recipe.toml").write_text(recipe.replace('"digits"', '"mnist5k-rot"'))
    assert_error(cli("noise", run, "--against", alone), 3, "different data sets: 'digits' and 'mnist5k-rot'")
    (alone / "recipe.toml").write_text(recipe)
    (alone / "model.nir").unlink()
    assert_error(cli("noise", run, "--against", alone), 3, "has no integer network yet", "kdsnn quantize")
    (alone / "student.safetensors").unlink()
    assert_error(cli("noise", run, "--against", alone), 3, "has no student yet")
    shutil.rmtree(run / "teacher")
    assert_error(cli("noise", run), 3, "the teacher of run", "is gone", "distil again: kdsnn distill")


def test_two_distilled_runs_go_by_their_names(cli: Cli, run: Path) -> None:
    shutil.copytree(run, run.parent / "other")
    data = cli("noise", run, "--against", "other", "--levels", "0", "-n", 5, "--json").json
    assert [n["name"] for n in data["networks"]][1::2] == ["KDSNN (digits), float", "KDSNN (other), float"]
