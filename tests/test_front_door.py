"""`import kdsnn`: light, and its functions do what the commands do."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kdsnn
import kdsnn.export.nir
from kdsnn.errors import InputError, UsageError
from kdsnn.steps.models import Model
from tests.small_run import small_run


def test_importing_it_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, kdsnn; print(sorted({'torch', 'numpy', 'pydantic', 'snntorch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", kdsnn.FUNCTIONS)
def test_each_function_is_there_with_its_documentation_and_signature(name: str) -> None:
    function = getattr(__import__(kdsnn.FUNCTIONS[name], fromlist=[name]), name)
    found = getattr(kdsnn, name)
    assert callable(found)
    assert inspect.signature(found) == inspect.signature(function)
    assert name in kdsnn.__all__
    assert "Raises:" in function.__doc__
    assert "Args:" in function.__doc__


def test_what_is_called_stays_a_package() -> None:
    assert callable(kdsnn.export)
    assert kdsnn.export.nir.read_nir.__module__ == "kdsnn.export.nir"


def test_there_is_nothing_else() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        _ = kdsnn.train


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.chdir(tmp_path)
    return small_run()


def test_from_a_run_to_its_report(model: Model, tmp_path: Path) -> None:
    assert model.run is not None
    assert kdsnn.load(str(model.run)).network.fingerprint() == model.network.fingerprint()
    assert kdsnn.load(model.path).run is None
    found = kdsnn.evaluate(model, "gpu", samples=20, device="cpu")
    assert (found.samples, found.target) == (20, "gpu")
    assert found.compared == ("out",)
    energy = kdsnn.energy(model, "cmos45", samples=20)
    assert energy.evaluation.counts == found.counts
    assert energy.total_j_per_sample == pytest.approx(sum(energy.report.parts.values()))
    assert len(list((model.run / "evaluations").iterdir())) == 1  # energy keeps nothing
    bundle = kdsnn.export(model, "gpu", tmp_path / "bundle", device="cpu")
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text()) == bundle.manifest
    assert bundle.manifest["verified"]["images"] == 4
    assert kdsnn.report(model).name == "report.html"


def test_a_target_may_be_made_already_and_options_may_be_no_texts(model: Model) -> None:
    with pytest.raises(UsageError, match="option"):
        kdsnn.evaluate(model, "gpu", nonsense=True)
    from kdsnn.targets.reference import ReferenceTarget

    assert kdsnn.evaluate(model, ReferenceTarget(), samples=3).compared == ()


def test_images_of_ones_own_are_shown_as_they_are(model: Model, tmp_path: Path) -> None:
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8)).astype(np.uint8)
    assert kdsnn.evaluate(model, "gpu", images).samples == 5
    np.savez(tmp_path / "mine.npz", x=images)
    assert kdsnn.evaluate(model, "gpu", tmp_path / "mine.npz").accuracy is None


def test_results_show_themselves_in_a_notebook(model: Model) -> None:
    found = kdsnn.evaluate(model, "gpu", samples=20)
    html = found._repr_html_()
    assert "<table>" in html
    assert "module → float: not checked" in html
    assert "integer → gpu: every spike equal" in html
    assert 'text-align: right">10<' in html  # neurons of the one layer
    assert "fingerprint" in model._repr_html_()
    assert "µJ per sample" in kdsnn.energy(model, samples=2)._repr_html_()


def test_there_must_be_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        kdsnn.load()
    with pytest.raises(InputError):
        kdsnn.evaluate("nowhere.nir")
