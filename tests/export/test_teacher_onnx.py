"""The teacher as an ONNX model: torch's logits on any number of images, and never a file that gives others."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from kdsnn.choices import TEACHERS
from kdsnn.distill.student import distill
from kdsnn.distill.teacher import load_teacher
from kdsnn.errors import VerificationError
from kdsnn.export import teacher_onnx as module
from kdsnn.export.onnx_runtime import onnx_runtime
from kdsnn.export.teacher_onnx import TOLERANCE, teacher_onnx
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.schema import DistillSection, TeacherSection
from kdsnn.steps.export import export_bundle
from kdsnn.steps.models import Model, load
from kdsnn.steps.quantize_run import quantize_run
from kdsnn.targets.registry import load_target
from tests.distill.small import recipe


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = distill(recipe(), run=tmp_path / "run", device="cpu")
    quantize_run(str(made), max_disagreement=1)
    return made


def images(shape: tuple[int, ...], count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize("name", TEACHERS.names())
@pytest.mark.parametrize("shape", [(1, 9, 13), (3, 16, 16)])
def test_every_teacher_gives_torchs_logits_on_any_number_of_images(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    teacher = build_teacher(TeacherSection(model=name, width=0.125), shape, 7)
    with torch.no_grad():
        teacher(torch.rand(16, *shape))  # statistics of its own for every BatchNorm
    labels = tuple("abcdefg")
    made = teacher_onnx(teacher, shape, labels)
    opsets = onnx.load_from_string(made).opset_import
    assert [(o.domain, o.version) for o in opsets] == [("", 17)]
    session = onnx_runtime().InferenceSession(made, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["kdsnn.labels"].split("\n") == list(labels)
    for count in (1, 2, 5):
        shown = images(shape, count)
        wanted = teacher.eval()(torch.from_numpy(shown).float() / 255).detach().numpy()
        (found,) = session.run(["logits"], {"image": shown})
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def test_a_bundle_for_onnx_holds_the_runs_teacher(run: Path, tmp_path: Path) -> None:
    model, shown = load(str(run)), images((1, 8, 8))
    manifest = export_bundle(model, load_target("onnx"), tmp_path / "bundle", shown)
    assert set(manifest["files"]) == {"model.nir", "model.onnx", "step.onnx", "teacher.onnx"}
    assert manifest["teacher"]["images"] == 5
    assert 0 <= manifest["teacher"]["largest_difference"] <= TOLERANCE
    session = onnx_runtime().InferenceSession(tmp_path / "bundle" / "teacher.onnx", providers=["CPUExecutionProvider"])
    wanted = load_teacher(run)(torch.from_numpy(shown).float() / 255).detach().numpy()
    assert session.run(None, {"image": shown})[0] == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)


def test_other_targets_and_other_files_get_none(run: Path, tmp_path: Path) -> None:
    model, shown = load(str(run)), images((1, 8, 8))
    manifest = export_bundle(model, load_target("reference"), tmp_path / "reference", shown)
    assert manifest["teacher"] is None
    alone = Model(model.network, model.path, None)
    assert export_bundle(alone, load_target("onnx"), tmp_path / "alone", shown)["teacher"] is None
    assert not list(tmp_path.rglob("teacher.onnx"))


def test_a_student_without_a_teacher_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = recipe(epochs=1).model_copy(update={"distill": DistillSection(kind="none")})
    made = distill(plain, run=tmp_path / "plain", device="cpu")
    quantize_run(str(made), max_disagreement=1)
    manifest = export_bundle(load(str(made)), load_target("onnx"), tmp_path / "bundle", images((1, 8, 8)))
    assert manifest["teacher"] is None
    assert "teacher.onnx" not in manifest["files"]


def test_a_file_with_other_logits_does_not_count(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(teacher: nn.Module, shape: tuple[int, ...], labels: tuple[str, ...]) -> bytes:
        with torch.no_grad():
            weight = next(teacher.parameters())
            weight *= 1.01
            made = teacher_onnx(teacher, shape, labels)
            weight /= 1.01
        return made

    monkeypatch.setattr(module, "teacher_onnx", other)
    with pytest.raises(VerificationError, match=r"teacher\.onnx does not give torch's logits"):
        export_bundle(load(str(run)), load_target("onnx"), tmp_path / "bundle", images((1, 8, 8)))
    assert not (tmp_path / "bundle" / "manifest.json").exists()
