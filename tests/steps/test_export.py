"""The manifest of a bundle is true of the files beside it, or it is not there."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import kdsnn.steps.export as module
from kdsnn.errors import DoesNotFitError, InputError, LockedError, VerificationError
from kdsnn.export.nir import read_nir
from kdsnn.run_folders import lock
from kdsnn.steps.export import export_bundle
from kdsnn.targets.base import Violation
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.onnx import OnnxTarget
from tests.small_run import small_run

IMAGES = np.full((2, 1, 8, 8), 200, np.uint8)


@pytest.mark.parametrize(
    ("where", "error"),
    [("evaluate", VerificationError("differs")), ("write_nir", InputError("full")), ("read_nir", KeyboardInterrupt())],
)
def test_a_failed_export_leaves_no_manifest_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    first, second = small_run("first", seed=0), small_run("second", seed=1)
    manifest = export_bundle(first, GpuTarget(device="cpu"), tmp_path / "bundle", IMAGES)
    assert manifest["verified"]["images"] == 2
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["fingerprint"] == first.network.fingerprint()

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, where, fails)
    with pytest.raises(type(error)):
        export_bundle(second, GpuTarget(device="cpu"), tmp_path / "bundle", IMAGES)
    assert not (tmp_path / "bundle" / "manifest.json").exists()


def test_what_does_not_fit_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = small_run("first", seed=0), small_run("second", seed=1)
    export_bundle(first, GpuTarget(device="cpu"), tmp_path / "bundle", IMAGES)
    monkeypatch.setattr(GpuTarget, "check", lambda self, network: [Violation("out", "too large")])
    with pytest.raises(DoesNotFitError):
        export_bundle(second, GpuTarget(device="cpu"), tmp_path / "bundle", IMAGES)
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert read_nir(tmp_path / "bundle" / "model.nir").fingerprint() == manifest["fingerprint"]


def test_two_exports_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    model = small_run()
    with lock(tmp_path / "bundle"), pytest.raises(LockedError):
        export_bundle(model, None, tmp_path / "bundle", None)
    assert not (tmp_path / "bundle" / "model.nir").exists()


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_no_file_of_an_earlier_bundle_stays_beside_the_new_manifest(tmp_path: Path) -> None:
    first, second = small_run("first", seed=0), small_run("second", seed=1)
    folder = tmp_path / "bundle"
    export_bundle(first, OnnxTarget(), folder, IMAGES)
    assert made(folder) == {"manifest.json", "model.nir", "model.onnx", "step.onnx"}
    (folder / "step.onnx").write_bytes(b"mine now")
    (folder / "notes.txt").write_text("mine")
    export_bundle(second, None, folder, None)
    assert made(folder) == {"manifest.json", "model.nir", "step.onnx", "notes.txt"}
    assert read_nir(folder / "model.nir").fingerprint() == second.network.fingerprint()


@pytest.mark.parametrize("text", ["{", "{}", '{"files": [1]}', '{"files": {"../mine.txt": "SHA", "none": "0"}}'])
def test_a_manifest_that_is_none_removes_nothing(tmp_path: Path, text: str) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "bundle").mkdir()
    sha256 = hashlib.sha256(b"mine").hexdigest()
    (tmp_path / "bundle" / "manifest.json").write_text(text.replace("SHA", sha256))
    export_bundle(small_run(), None, tmp_path / "bundle", None)
    assert mine.read_text() == "mine"
    assert made(tmp_path / "bundle") == {"manifest.json", "model.nir"}
