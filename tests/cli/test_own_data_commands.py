"""The whole road on a folder of PNGs, made of the digits: distil, quantize, evaluate, energy, report, noise."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdsnn.cli.main import main
from kdsnn.data.datasets import load_dataset
from kdsnn.files.reading import read_json
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.data.sources.made import folder

CLASSES = tuple(f"digit {n}" for n in range(10))
RECIPE = """
name = "mine"
data = { dataset = "photos", test_share = 0.25 }
teacher = { width = 0.5, epochs = 4 }
student = { channels = [12, 24], hidden = 64, timesteps = 4 }
distill = { alpha = 0.3 }
train = { epochs = 10, lr = 5e-3 }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, a recipe and a quantized run."""
    place = tmp_path_factory.mktemp("own")
    digits = load_dataset("digits")
    folder(place / "photos", digits.train.images[:1000, 0], digits.train.labels[:1000], CLASSES)
    (place / "my.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDSNN_RUNS", str(place / "runs"))
        patch.chdir(place.parent)
        for command in ("distill", "quantize"):
            arguments = [str(place / "my.toml"), "--run"] if command == "distill" else []
            patch.setattr("sys.argv", ["kdsnn", command, *arguments, str(place / "runs" / "mine")])
            with pytest.raises(SystemExit) as stopped:
                main()
            assert not stopped.value.code
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that a test may change; the photos are where they were."""
    shutil.copytree(made / "runs", tmp_path / "runs", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_on_a_folder_says_where_its_data_are(cli: Cli, place: Path, made: Path) -> None:
    run = place / "runs" / "mine"
    text = (run / "recipe.toml").read_text()
    assert f'dataset = "{made}/photos"' in text
    assert 'sha256 = "' in text
    assert read_json(run / "student.json")["accuracy"] > 0.85
    result = cli("evaluate", run, "-t", "gpu", "--json").json
    assert result["samples"] == 250
    assert result["matches_reference"]
    assert result["accuracy"] == read_json(run / "quantization.json")["integer_accuracy"]
    (kept,) = (json.loads(f.read_text()) for f in (run / "evaluations").iterdir())
    assert (kept["identity"]["data"]["name"], kept["identity"]["data"]["split"]) == ("photos", "test")
    by_path = cli("evaluate", run / "model.nir", "-t", "gpu", "--dataset", made / "photos", "--json").json
    assert by_path["predictions"] == result["predictions"]  # the test share is the run's, wherever it is asked for
    assert cli("report", run).code == 0
    assert "photos" in (run / "report.html").read_text()
    assert cli("energy", run, "-t", "gpu", "-n", 5, "--json").json["samples"] == 5
    assert cli("noise", run, "--levels", "0.1", "--seeds", "1", "-n", 10, "--json").json["dataset"] == "photos"
    assert cli("export", run, "-t", "gpu", "-o", place / "bundle").code == 0


def test_images_of_ones_own_are_shown_to_a_run(cli: Cli, place: Path, made: Path) -> None:
    run = place / "runs" / "mine"
    one = cli("evaluate", run, "-t", "gpu", "--images", made / "photos" / "digit 3", "--json").json
    assert one["accuracy"] is None
    few = place / "few"
    shutil.copytree(made / "photos" / "digit 3", few / "digit 3")
    (few / "digit 7").mkdir()
    shutil.copy(next((made / "photos" / "digit 7").iterdir()), few / "digit 7")
    some = cli("evaluate", run, "-t", "gpu", "--images", "few", "--json").json
    assert some["predictions"][:-1] == one["predictions"]
    right = sum(p == 3 for p in one["predictions"]) + (some["predictions"][-1] == 7)
    assert some["accuracy"] == pytest.approx(right / some["samples"])  # by the names of the classes
    (few / "digit 7").rename(few / "seven")
    assert_error(cli("evaluate", run, "-t", "gpu", "--images", "few"), 3, "other classes than the network: seven")
    digits = load_dataset("digits").test
    np.save("x.npy", (digits.images / 255).astype(np.float32))
    np.save("x_labels.npy", digits.labels)
    arrays = cli("evaluate", run, "-t", "gpu", "--images", "x.npy", "--json").json
    named = cli("evaluate", run, "-t", "gpu", "--dataset", "digits", "--json").json
    assert arrays["predictions"] == named["predictions"]
    assert arrays["accuracy"] == named["accuracy"] > 0.85


def test_changed_photos_are_noticed(cli: Cli, place: Path, made: Path) -> None:
    run = place / "runs" / "mine"
    shutil.copytree(made / "photos", place / "photos")
    recipe = (run / "recipe.toml").read_text().replace(f"{made}/photos", f"{place}/photos")
    (run / "recipe.toml").write_text(recipe)
    assert cli("evaluate", run, "-t", "gpu", "-n", 5).code == 0  # moved, and the same
    next((place / "photos" / "digit 0").iterdir()).unlink()
    for command in ("evaluate", "quantize", "report"):
        options = ["-t", "gpu"] if command == "evaluate" else []
        assert_error(cli(command, run, *options), 3, "photos is not what the recipe was made with", "put them back")
    (place / "my.toml").write_text(RECIPE)
    again = cli("distill", "my.toml", "--run", run, "--resume")
    assert_error(again, 3, "the data of", "were changed since")
    shutil.rmtree(place / "photos")
    assert_error(cli("evaluate", run, "-t", "gpu"), 3, "there is no file or folder")


def test_what_cannot_be_data_is_named(cli: Cli, place: Path) -> None:
    run = place / "runs" / "mine"
    for option in ("--dataset", "--images"):
        assert_error(cli("evaluate", run, "-t", "gpu", option, "digit"), 2, "did you mean 'digits'?")
        assert_error(cli("evaluate", run, "-t", "gpu", option, "./nothing"), 3, "there is no file or folder")
        assert_error(cli("evaluate", run, "-t", "gpu", option, "no_module:load"), 3, "there is no module no_module")
        assert_error(cli("evaluate", run, "-t", "gpu", option, "mine.py:"), 2, "FILE.py:FUNCTION")
    (place / "bad.py").write_text("def load():\n    return 1 / 0\n")
    assert_error(cli("evaluate", run, "-t", "gpu", "--images", "bad.py"), 3, "bad.py:FUNCTION")
    assert_error(cli("evaluate", run, "-t", "gpu", "--images", "bad.py:load"), 3, "ZeroDivisionError")
    shutil.copy(run / "model.nir", "alone.nir")
    assert_error(
        cli("evaluate", "alone.nir", "-t", "gpu"), 3, "was made with data that it calls 'photos'", "--dataset PATH"
    )
