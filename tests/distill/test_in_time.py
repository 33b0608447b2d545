"""From images in time, or still ones that are encoded, to an integer network: every edge of the road."""

from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from snntorch import spikegen
from torch import nn

from kdsnn.choices import DATASETS
from kdsnn.data.datasets import Dataset, Split
from kdsnn.data.encoders import encoded
from kdsnn.distill.augment import augmented
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.distill.student import distill, load_student
from kdsnn.errors import InputError, RecipeError
from kdsnn.evaluation import evaluate
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.traced import Order
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.in_time import fold, see_means
from kdsnn.models.students import build_student
from kdsnn.models.teachers import build_teacher
from kdsnn.network.float_simulation import simulate_float
from kdsnn.noise.measure import measure
from kdsnn.noise.plan import open_study
from kdsnn.recipes.schema import Recipe, StudentSection, TeacherSection
from kdsnn.steps.convert import convert
from kdsnn.steps.evaluate import evaluate as evaluate_run
from kdsnn.steps.quantize import quantize as quantize_run
from kdsnn.targets.reference import ReferenceTarget
from tests.distill.small import recipe

T = 4
RNG = np.random.default_rng(1)
FRAMES = (255 * (RNG.random((24, T, 2, 8, 8)) < 0.3)).astype(np.uint8)
SECTION = StudentSection(channels=(4, 4), hidden=8, timesteps=T)


def moving(_name: str, _root: Path) -> Dataset:
    """Two classes: a bar goes down, or up."""

    def split(count: int, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        labels = np.arange(count, dtype=np.int64) % 2
        images = np.where(rng.random((count, T, 2, 8, 8)) < 0.05, 255, 0).astype(np.uint8)
        for number, label in enumerate(labels):
            for t in range(T):
                images[number, t, 0, 2 * (t if label else T - 1 - t)] = 255
        return Split(images, labels)

    return Dataset("moving", split(60, 0), split(20, 1), ("up", "down"), steps=T)


DATASETS.own["moving"] = moving


def in_time(**data: object) -> Recipe:
    made = recipe()
    sections = {"data": {"dataset": "moving", "augment": "none", **data}, "student": SECTION.model_dump()}
    return Recipe.model_validate({**made.model_dump(), **sections})


def trained(student: nn.Module) -> nn.Module:
    """With BatchNorms that have seen something, and neurons that fire."""
    torch.manual_seed(0)
    for module in student.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0.1, 0.3)
    student.train()(torch.tensor(FRAMES).float() / 255)
    return student.eval()


def test_a_student_sees_each_step_its_own_frame() -> None:
    student = trained(build_student(SECTION, (T, 2, 8, 8), 3))
    images = torch.tensor(FRAMES).float() / 255
    with torch.no_grad():
        whole = student(images)
        assert whole.shape == (T, 24, 3)
        assert whole.sum() > 0
        longer = images.clone()
        longer[:, -1] = 0
        assert torch.equal(student(longer)[:-1], whole[:-1])  # what comes later changes nothing before
        one_by_one = torch.cat([student(images[i : i + 1]) for i in range(24)], dim=1)
        assert torch.equal(one_by_one, whole)
    assert torch.equal(fold(images)[24 + 3], images[3, 1])


def test_a_student_of_still_images_is_that_of_frames_that_do_not_change() -> None:
    still = build_student(SECTION, (2, 8, 8), 3).eval()
    frames = build_student(SECTION, (T, 2, 8, 8), 3).eval()
    frames.load_state_dict(still.state_dict())
    images = torch.rand(5, 2, 8, 8)
    with torch.no_grad():
        assert torch.equal(still(images), frames(images[:, None].expand(-1, T, -1, -1, -1)))


@pytest.mark.parametrize("name", ["vgg11", "resnet14", "preresnet20"])
def test_deep_students_take_frames(name: str) -> None:
    section = StudentSection(model=name, width=0.0625, timesteps=T)
    student = build_student(section, (T, 2, 32, 32), 3).eval()
    with torch.no_grad():
        assert student(torch.rand(2, T, 2, 32, 32)).shape == (T, 2, 3)


def test_a_student_and_data_of_other_steps_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"images have 5 time steps, and student\.timesteps is 4"):
        build_student(SECTION, (5, 2, 8, 8), 3)
    with pytest.raises(RecipeError, match="knows no time"):
        build_student(StudentSection(model="spiking-copy", timesteps=T), (T, 2, 8, 8), 3)


def test_an_encoded_student_sees_the_encoder_s_spikes() -> None:
    plain = trained(build_student(SECTION, (T, 2, 8, 8), 3))
    rated = build_student(SECTION, (2, 8, 8), 3, encode="rate").eval()
    rated.load_state_dict(plain.state_dict())
    images = RNG.integers(0, 256, (6, 2, 8, 8), dtype=np.uint8)
    with torch.no_grad():
        wanted = plain(torch.tensor(encoded(images, "rate", T)).float() / 255)
        assert torch.equal(rated(torch.tensor(images).float() / 255), wanted)


def test_a_teacher_sees_the_mean_of_the_frames() -> None:
    torch.manual_seed(0)
    teacher = build_teacher(TeacherSection(width=0.125), (T, 2, 8, 8), 3).eval()
    still = build_teacher(TeacherSection(width=0.125), (2, 8, 8), 3).eval()
    still.load_state_dict(teacher.state_dict())
    images = torch.rand(5, T, 2, 8, 8)
    with torch.no_grad():
        assert torch.equal(teacher(images), still(images.sum(dim=1) / T))
        assert torch.equal(see_means(teacher, (T, 2, 8, 8))(images), teacher(images))
        assert torch.equal(teacher(images[:, 0]), still(images[:, 0]))


@pytest.mark.parametrize("name", ["flip", "affine", "crop", "crop-flip", "turn"])
def test_all_frames_of_an_image_are_augmented_alike(name: str) -> None:
    frames = torch.tensor(FRAMES[:6, :1]).float().expand(-1, T, -1, -1, -1) / 255
    made = augmented(frames, name, torch.Generator().manual_seed(0), spikes=True)
    assert made.shape == frames.shape
    assert set(made.unique().tolist()) == {0.0, 1.0}
    assert all(torch.equal(made[:, t], made[:, 0]) for t in range(T))
    assert not torch.equal(made, frames)


def test_the_float_and_the_integer_network_of_a_student_in_time() -> None:
    student = trained(build_student(SECTION, (T, 2, 8, 8), 3))
    network = lower(student.layers, input_shape=(2, 8, 8), timesteps=T, labels=None, in_time=Order.FOLDED)
    assert not network.static
    assert network.image_shape == (T, 2, 8, 8)
    with torch.no_grad():
        wanted = student(torch.tensor(FRAMES).float() / 255).numpy().swapaxes(0, 1)
    made = simulate_float(network, FRAMES).spikes[network.output.name]
    assert wanted.sum() > 0
    assert np.array_equal(made, wanted)
    integer, report = quantize(network, calibration=FRAMES, method="spikes")
    assert report.input_bits == 1  # frames of spikes are spikes
    assert "input-in-time" in integer.features
    result = evaluate(integer, ReferenceTarget(), FRAMES)
    folded = FoldedNet(network, integer, report)
    with torch.no_grad():
        trains = folded(torch.tensor(FRAMES))[integer.output.name].numpy().swapaxes(0, 1)
    rounded, _ = folded.to_integer()
    spikes = ReferenceTarget().compile(rounded).run(FRAMES).spikes[integer.output.name]
    assert np.array_equal(trains, spikes)
    assert result.counts.total("synops_dense") > 0


class Loop(nn.Module):
    """As snnTorch's tutorials have it: a loop over the first axis."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.flatten, self.fc = nn.Flatten(), nn.Linear(128, 5)
        self.lif = snntorch.Leaky(beta=0.9, threshold=0.2, reset_mechanism="zero")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, spikes = self.lif.reset_mem(), []
        for step in range(len(x)):
            spike, mem = self.lif(self.fc(self.flatten(x[step])), mem)
            spikes.append(spike)
        return torch.stack(spikes)


def once_a_step() -> nn.Module:
    torch.manual_seed(2)
    lif = snntorch.Leaky(beta=0.9, threshold=0.2, reset_mechanism="zero", init_hidden=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(128, 5), lif)


@pytest.mark.parametrize("make", [Loop, once_a_step])
def test_a_module_that_takes_frames_is_converted(make: type[nn.Module]) -> None:
    labels = np.arange(24) % 5
    done = convert(make().eval(), (FRAMES, labels), max_disagreement=1)
    assert done.network.image_shape == (T, 2, 8, 8)
    assert done.module_agreement.spikes > 0
    loop = Loop().eval()
    with torch.no_grad():
        wanted = loop(torch.tensor(FRAMES).float().swapaxes(0, 1) / 255).numpy().swapaxes(0, 1)
    assert np.array_equal(simulate_float(done.float_network, FRAMES).spikes["lif" if make is Loop else "2"], wanted)


def test_a_module_is_shown_what_is_encoded() -> None:
    images = RNG.integers(0, 256, (24, 2, 8, 8), dtype=np.uint8)
    done = convert(Loop().eval(), images, timesteps=7, encode="latency", max_disagreement=1)
    values = torch.tensor(images).double() / 255
    codes = spikegen.latency(values, num_steps=7, normalize=True, linear=True, clip=True, threshold=0.5 / 255)
    with torch.no_grad():
        wanted = Loop().eval()(codes.float()).numpy().swapaxes(0, 1)
    assert np.array_equal(simulate_float(done.float_network, encoded(images, "latency", 7)).spikes["lif"], wanted)
    assert done.network.provenance["reading"] == '{"encode": "latency"}'


@pytest.mark.parametrize("data", [{}, {"dataset": "small", "encode": "rate"}, {"dataset": "small", "encode": "delta"}])
def test_the_whole_road(data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path))
    run = distill(in_time(**data), run=tmp_path / "run", device="cpu")
    prepared, student = load_student(run)
    assert student.in_time
    assert prepared.dataset.steps == (None if data else T)
    done = quantize_run(run, max_disagreement=1, sensitivity=True)
    assert done.model.network.input_bits == 1
    assert done.integer_accuracy is not None
    tuned = quantize_run(run, qat_epochs=2, max_disagreement=1)
    found = evaluate_run(tuned.model, "reference")
    assert found.accuracy == tuned.integer_accuracy


def test_steps_that_do_not_fit_are_told() -> None:
    wrong = in_time().model_copy(update={"student": SECTION.model_copy(update={"timesteps": 3})})
    with pytest.raises(RecipeError, match=r"student\.timesteps is 3, and moving has 4 time steps") as caught:
        distill(wrong, run=Path("never"))
    assert caught.value.hint == "student.timesteps = 4"


def test_features_of_frames_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path))
    made = in_time()
    made = made.model_copy(update={"distill": made.distill.model_copy(update={"kind": "feature"})})
    run = distill(made, run=tmp_path / "run", device="cpu")
    assert load_student(run)[1].in_time


def test_frames_in_memory_are_kept_by_their_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path))
    split = moving("", tmp_path).train
    grey = split.images[:, :, 0]  # four axes, which the recipe says are in time
    run = distill(in_time(steps=T), run=tmp_path / "run", data=(grey, split.labels), device="cpu")
    prepared, _ = load_student(run)
    assert prepared.dataset.image_shape == (T, 1, 8, 8)
    assert quantize_run(run, max_disagreement=1).model.network.image_shape == (T, 1, 8, 8)


@pytest.mark.parametrize("data", [{}, {"dataset": "small", "encode": "rate"}])
def test_noise_is_seen_by_all_networks_of_a_run(
    data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path))
    run = distill(in_time(**data), run=tmp_path / "run", device="cpu")
    quantize_run(run, max_disagreement=1)
    study = open_study(str(run), kinds=("gaussian", "spike-drop"), levels=(0.3,), seeds=1, target=ReferenceTarget())
    found = measure(study)
    clean = {(c.kind, c.network): c.points[0].mean for c in found.curves}
    assert clean["gaussian", "KDSNN, integer"] == evaluate_run(run, "reference").accuracy
    assert len(found.curves) == 4
    if not data:
        with pytest.raises(InputError, match="noise 'back-image' is on photographs, and moving holds frames"):
            open_study(str(run), kinds=("back-image",), target=ReferenceTarget())
