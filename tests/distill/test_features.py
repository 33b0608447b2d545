"""Which features are compared: read by hooks, paired by name, checked before anything is trained, learnt with it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.choices import STUDENTS, TEACHERS
from kdsnn.distill.checkpoint import load_tensors
from kdsnn.distill.distiller import Distiller
from kdsnn.distill.features import Pair, default_pairs, watching
from kdsnn.distill.learner import Learner, Watched, what_to_watch
from kdsnn.distill.losses.feature import feature
from kdsnn.distill.losses.loss import Seen
from kdsnn.distill.output import classifier
from kdsnn.distill.student import distill
from kdsnn.distill.teacher import teacher_folder
from kdsnn.distill.trainer import CHECKPOINT, Batch
from kdsnn.errors import RecipeError
from kdsnn.models.students import build_student, is_copy
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.schema import DistillSection, Recipe, StudentSection, TeacherSection
from tests.distill.small import recipe

NARROW, SHAPE, STEPS = 0.0625, (3, 16, 16), 2

FROM_SCRATCH = [name for name in STUDENTS if not is_copy(name)]


def asked(student: str, teacher: str, **distill: object) -> Recipe:
    return Recipe(
        name="asked",
        student=StudentSection(model=student, width=NARROW, timesteps=STEPS),
        teacher=TeacherSection(model=teacher, width=NARROW),
        distill=DistillSection.model_validate({"kind": "feature", **distill}),
    )


def built(wanted: Recipe) -> tuple[Learner, nn.Module, Watched]:
    torch.manual_seed(0)
    student = build_student(wanted.student, SHAPE, 5)
    teacher = build_teacher(wanted.teacher, SHAPE, 5).eval()
    watched = what_to_watch(wanted, student, teacher, SHAPE)
    return Learner(student, watched), teacher, watched


@pytest.mark.parametrize("teacher", sorted(TEACHERS))
@pytest.mark.parametrize("student", FROM_SCRATCH)
def test_every_student_can_learn_the_features_of_every_teacher(student: str, teacher: str) -> None:
    wanted = asked(student, teacher)
    learner, ann, watched = built(wanted)
    assert [(p.student, p.teacher) for p in watched.pairs] == list(default_pairs(student, teacher))
    images = torch.rand(3, *SHAPE)
    batch = Batch(images, torch.tensor([0, 1, 2]), torch.arange(3), 0.0)
    loss, _ = Distiller(wanted.distill, ann, watched)(learner, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in learner.beside.transforms.parameters())
    assert all(p.grad is None for p in ann.parameters())


@pytest.mark.parametrize("student", FROM_SCRATCH)
def test_the_default_features_of_a_student_are_spikes(student: str) -> None:
    wanted = asked(student, "resnet18")
    net = build_student(wanted.student, SHAPE, 5)
    names = [ours for ours, _ in default_pairs(student, "resnet18")]
    with watching(net.layers, names) as seen:
        net(torch.rand(3, *SHAPE))
    assert list(seen) == names
    for spikes in seen.values():
        assert len(spikes) == 3 * STEPS
        assert set(spikes.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("teacher", sorted(TEACHERS))
def test_the_default_features_of_a_teacher_stand_before_their_relu(
    teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = build_teacher(TeacherSection(model=teacher, width=0.25), SHAPE, 5).eval()
    rectified: list[torch.Tensor] = []
    relu = F.relu

    def recorded(x: torch.Tensor, inplace: bool = False) -> torch.Tensor:
        rectified.append(x.clone())
        return relu(x, inplace=inplace)

    monkeypatch.setattr(F, "relu", recorded)
    names = [theirs for _, theirs in default_pairs("vgg11", teacher)]
    with watching(model, names) as seen:
        model(torch.rand(3, *SHAPE))
    assert list(seen) == names
    for name, features in seen.items():
        assert features.ndim == 4
        assert (features < 0).any(), name
        feeds_a_relu = any(x.shape == features.shape and torch.equal(x, features) for x in rectified)
        assert feeds_a_relu or (teacher == "pyramidnet18" and name != "norm"), name  # a pyramid's blocks have no ReLU


def test_the_hooks_are_gone_afterwards_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def broken() -> None:
        with watching(model, ["0", "1"]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_goes_into_a_relu_that_works_in_place_is_kept() -> None:
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    with watching(model, ["1"]) as seen:
        model(torch.tensor([-1.0, 2.0]))
    assert seen["1"].tolist() == [-1.0, 2.0]


def test_deepest_with_deepest() -> None:
    assert default_pairs("2conv", "resnet18") == (("if1", "blocks.5.relu"), ("if2", "blocks.7.relu"))
    assert default_pairs("wrn16-2", "wrn28-4") == (
        ("blocks.2.if1", "blocks.4.norm1"),
        ("blocks.4.if1", "blocks.8.norm1"),
        ("last", "norm"),
    )


def test_the_loss_of_a_pair_by_hand() -> None:
    """Rates are means over the steps, and the larger map is averaged: here the student's, 16 x 16 against 4 x 4."""
    learner, ann, watched = built(asked("2conv", "cnn", pairs=(("if1", "16"),), alpha=0.7))
    assert watched.pairs == (Pair("if1", "16", (8, 8), (4, 4)),)
    images, labels = torch.rand(3, *SHAPE), torch.tensor([0, 1, 2])
    with watching(learner.student.layers, ["if1"]) as ours, torch.no_grad():
        steps = learner.student(images)
        teacher = ann[:16](images)  # up to the BatchNorm before the last ReLU
    spikes = ours["if1"].reshape(STEPS, 3, 8, 4, 4, 4, 4)
    rates = spikes.mean(dim=(0, 4, 6))
    weight, bias = learner.beside.transforms[0].weight[:, :, 0, 0], learner.beside.transforms[0].bias
    moved = torch.einsum("oc,bchw->bohw", weight, rates) + bias.reshape(-1, 1, 1)
    section = DistillSection(kind="feature", alpha=0.7)
    expected = feature(Seen(steps, steps[0], labels, ((moved, teacher),)), section)
    got, _ = Distiller(section, ann, watched)(learner, Batch(images, labels, torch.arange(3), 0.0))
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)  # float32, summed in another order


def test_names_are_checked_all_at_once_and_the_candidates_are_listed() -> None:
    wrong = (("if3x", "blocks.1.relux"), ("norm1", "head"), ("if2", "none"))
    with pytest.raises(RecipeError) as raised:
        built(asked("2conv", "resnet18", pairs=wrong))
    assert raised.value.problems == (
        "student module 'if3x'; did you mean 'if3'?",
        "student module 'norm1'; did you mean 'norm2'?",  # it stands before time
        "teacher module 'blocks.1.relux'; did you mean 'blocks.1.relu'?",
        "teacher module 'none'; one of those below",
    )
    assert "if1, pool1, conv2, norm2, if2" in raised.value.hint
    assert "blocks.7.relu" in raised.value.hint


def test_a_wrong_pair_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wrong = recipe().model_copy(update={"distill": DistillSection(kind="feature", pairs=(("if9", "5"),))})
    with pytest.raises(RecipeError, match="names no feature maps"):
        distill(wrong, run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    assert not teacher_folder(wrong).exists()


def test_features_without_height_and_width() -> None:
    learner, ann, watched = built(asked("2conv", "cnn", pairs=(("if3", "19"),)))
    assert watched.pairs == (Pair("if3", "19", (72, 5), (1, 1)),)
    batch = Batch(torch.rand(2, *SHAPE), torch.tensor([0, 1]), torch.arange(2), 0.0)
    assert torch.isfinite(Distiller(DistillSection(kind="feature"), ann, watched)(learner, batch)[0])


def with_kind(kind: str, **more: object) -> Recipe:
    return recipe().model_copy(update={"distill": DistillSection.model_validate({"kind": kind, **more})})


@pytest.mark.parametrize(
    "kind", ["both", "drive", "feature", "laf", "layer-rates", "noise-smoothed", "per-step", "temporal"]
)
def test_a_run_of_each_kind_learns_from_its_teacher(tmp_path: Path, kind: str) -> None:
    weights = []
    for alpha in (0.5, 0.0):
        run = distill(with_kind(kind, alpha=alpha), run=tmp_path / f"{alpha}", device="cpu")
        weights.append(load_tensors(run / "student.safetensors"))
        assert all(name.startswith("layers.") for name in weights[-1])  # the transforms stay behind
        assert not (run / CHECKPOINT).exists()
    assert not torch.equal(weights[0]["layers.conv2.weight"], weights[1]["layers.conv2.weight"])


def test_alpha_is_annealed_over_the_training(tmp_path: Path) -> None:
    weights = []
    for number, end in enumerate((0.5, 0.1, None)):
        run = distill(with_kind("response", alpha=0.5, alpha_end=end), run=tmp_path / f"{number}", device="cpu")
        weights.append(load_tensors(run / "student.safetensors")["layers.conv1.weight"])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_the_transforms_are_trained_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, checkpoints = with_kind("feature"), list[dict[str, torch.Tensor]]()
    whole = load_tensors(distill(wanted, run=tmp_path / "whole", device="cpu") / "student.safetensors")
    call, steps = Distiller.__call__, 0

    def cut(self: Distiller, learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal steps
        steps += 1
        if steps > 6:
            raise KeyboardInterrupt
        return call(self, learner, batch)

    monkeypatch.setattr(Distiller, "__call__", cut)
    with pytest.raises(KeyboardInterrupt):
        distill(wanted, run=tmp_path / "cut", device="cpu")
    checkpoints.append(load_tensors(tmp_path / "cut" / CHECKPOINT))
    assert "model.beside.transforms.0.weight" in checkpoints[0]
    monkeypatch.undo()
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))
    resumed = load_tensors(distill(wanted, run=tmp_path / "cut", resume=True, device="cpu") / "student.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_both_classifiers_read_can_be_the_pair() -> None:
    """By hand: the mean over the steps of the hidden spikes, a linear layer, and the mean of the last map."""
    learner, ann, watched = built(asked("2conv", "cnn", pairs="classifier", alpha=0.7))
    assert (watched.linear, watched.pairs, watched.compared) == (("linear4", "19"), (), True)
    images, labels = torch.rand(3, *SHAPE), torch.tensor([0, 1, 2])
    with watching(learner.student.layers, ["if3"]) as ours, torch.no_grad():
        steps = learner.student(images)
        teacher = ann[:17](images).mean(dim=(2, 3))
    head = learner.beside.head
    assert head is not None
    moved = ours["if3"].reshape(STEPS, 3, -1).mean(dim=0) @ head.weight.T + head.bias
    maps = ((moved[..., None, None], teacher[..., None, None]),)
    section = DistillSection(kind="feature", alpha=0.7, pairs="classifier")
    expected = feature(Seen(steps, steps[0], labels, maps), section)
    got, _ = Distiller(section, ann, watched)(learner, Batch(images, labels, torch.arange(3), 0.0))
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)  # float32, summed in another order


def test_a_student_without_a_linear_layer_is_refused() -> None:
    wanted = asked("2conv", "cnn", pairs="classifier")
    _, teacher, _ = built(wanted)
    bare = nn.Sequential(nn.Flatten())
    with pytest.raises(RecipeError, match="student '2conv' ends in no linear layer"):
        classifier(bare, "student", "2conv")
    assert classifier(teacher, "teacher", "cnn")[0] == "19"
