"""Spiking copies of ANNs: what they compute is held to the ANN itself, with ReLUs put back in place of the neurons."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kdsnn
from kdsnn.errors import InputError, LoweringError, RecipeError
from kdsnn.export.lowering.lower import lower
from kdsnn.models.neurons import IF, Repeat
from kdsnn.models.spiking_copy.copy import spiking_copy
from kdsnn.models.students import Student, build_student
from kdsnn.models.teachers import build_teacher
from kdsnn.network.float_simulation import simulate_float
from kdsnn.recipes.schema import StudentSection, TeacherSection

SHAPE = (2, 8, 8)
SECTION = StudentSection(model="spiking-copy", timesteps=3)


def awake(model: nn.Module) -> nn.Module:
    """BatchNorms with statistics and gains of their own."""
    torch.manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr,operator]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
            for parameter in module.parameters():
                nn.init.uniform_(parameter, -0.5, 1.5)
    return model.eval()


class Written(nn.Module):
    """A network as `forward`s are written: functions, methods, one ReLU used twice, pooling before the ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.act = nn.Conv2d(6, 6, 3, padding=1, groups=2), nn.ReLU(inplace=True)
        self.fc1, self.fc2, self.drop = nn.Linear(24, 9), nn.Linear(9, 5), nn.Dropout(0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.norm(self.conv1(x)), 2))
        x = self.act(self.conv2(x)) + x
        x = F.dropout(F.avg_pool2d(self.act(x), 2), training=self.training)
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc1(self.drop(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class Residual(nn.Module):
    """A stream that several layers read, norms of spikes, and a sum of an image with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1)
        self.norm1, self.norm2, self.bare = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stream = self.conv1(x + x)
        stream = stream + self.conv2(self.norm2(torch.relu(self.norm1(stream))))
        stream = torch.add(stream, self.bare(stream).relu())
        return self.head(F.relu(stream).mean(dim=(2, 3)))


def vectors() -> nn.Module:
    return nn.Sequential(nn.Linear(7, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU6(), nn.Linear(6, 5))


def images(count: int = 40, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def with_relus(layers: nn.Module) -> nn.Module:
    """A copy with its neurons taken out: the ANN in other units."""
    for name, module in list(layers.named_modules()):
        if isinstance(module, IF):
            layers.set_submodule(name, nn.ReLU())
        elif isinstance(module, Repeat):
            layers.set_submodule(name, nn.Identity())
    return layers.eval()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "written": (Written, SHAPE, 4),
    "residual": (Residual, SHAPE, 3),
    "vectors": (vectors, (7,), 2),
    "cnn": (lambda: build_teacher(TeacherSection(width=0.25), SHAPE, 5), SHAPE, 5),
    "resnet18": (lambda: build_teacher(TeacherSection(model="resnet18", width=0.0625), SHAPE, 5), SHAPE, 17),
    "wrn28-4": (lambda: build_teacher(TeacherSection(model="wrn28-4", width=0.125), SHAPE, 5), SHAPE, 25),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_with_its_relus_back_a_copy_computes_the_logits_in_one_unit(name: str) -> None:
    make, shape, relus = NETWORKS[name]
    torch.manual_seed(0)
    ann, section = awake(make()), SECTION.model_copy(update={"readout": "membrane"})
    layers, _ = spiking_copy(ann, section, shape, images(shape=shape))
    assert sum(isinstance(m, IF) for m in layers.modules()) == relus
    shown = images(9, shape)
    with torch.no_grad():
        got, wanted = with_relus(layers)(shown), ann(shown)
    if name == "written":  # its logits are up to one number an image, which log_softmax takes off
        got, wanted = got - got.mean(dim=1, keepdim=True), wanted - wanted.mean(dim=1, keepdim=True)
    unit = float((got * wanted).sum() / (got * got).sum())
    assert unit > 0
    torch.testing.assert_close(got * unit, wanted, rtol=0, atol=2e-4 * float(wanted.abs().max()))  # float32 sums


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_can_be_lowered_and_fires_as_its_network(name: str) -> None:
    make, shape, _ = NETWORKS[name]
    torch.manual_seed(0)
    layers, _ = spiking_copy(awake(make()), SECTION, shape, images(shape=shape))
    network = lower(layers.eval(), input_shape=shape, timesteps=3, labels=list("abcde"))
    pixels = (images(6, shape) * 255).round()
    with torch.no_grad():
        spikes = layers(pixels / 255).reshape(3, 6, 5)
    activity = simulate_float(network, pixels.numpy().astype(np.uint8))
    got = activity.spikes[network.output.name].swapaxes(0, 1).reshape(3, 6, 5)
    assert np.array_equal(got, spikes.numpy())
    assert all(trains.any() for name, trains in activity.spikes.items() if name != network.output.name)


def test_balanced_activations_lie_between_0_and_1() -> None:
    torch.manual_seed(0)
    ann = awake(Written())
    layers, _ = spiking_copy(ann, SECTION.model_copy(update={"percentile": 100.0}), SHAPE, images())
    largest = []
    for module in with_relus(layers).modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _m, _i, out: largest.append(float(out.max())))
    with torch.no_grad():
        layers(images())
    assert largest == pytest.approx([1.0, 1.0, 1.0, 1.0, 4.0], rel=1e-4)  # the output's last: four spikes a step


def test_at_percentile_0_a_copy_has_the_weights_of_its_ann() -> None:
    ann = awake(build_teacher(TeacherSection(width=0.25), SHAPE, 5))
    layers, _ = spiking_copy(ann, SECTION.model_copy(update={"percentile": 0.0}), SHAPE, images())
    weights = layers.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in ann.state_dict().items())


def test_the_structure_depends_on_no_weights_so_that_others_fit() -> None:
    torch.manual_seed(0)
    ann, other = awake(Residual()), awake(Residual())
    full, pairs = spiking_copy(ann, SECTION, SHAPE, images())
    empty, same = spiking_copy(other, SECTION, SHAPE, None)
    assert pairs == same == (("if1", "norm1"), ("if2", "bare"))
    empty.load_state_dict(full.state_dict())
    with torch.no_grad():
        assert torch.equal(empty.eval()(images(4)), full.eval()(images(4)))


def test_features_are_those_of_the_same_place() -> None:
    _, pairs = spiking_copy(Written().eval(), SECTION, SHAPE, None)
    assert pairs == (("if1", "norm"), ("if2", "conv2"), ("if4", "fc1"))
    cnn = build_teacher(TeacherSection(width=0.25), SHAPE, 5)
    assert spiking_copy(cnn, SECTION, SHAPE, None)[1] == tuple(
        (f"if{i + 1}", n) for i, n in enumerate(["2", "5", "9", "12", "16"])
    )


def test_the_ann_is_left_as_it_is() -> None:
    ann = Written().train()
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    spiking_copy(ann, SECTION, SHAPE, images())
    assert ann.training
    assert all(torch.equal(value, before[name]) for name, value in ann.state_dict().items())
    assert isinstance(ann.act, nn.ReLU)
    assert ann.act.inplace


class Bad(nn.Module):
    """Much that a spiking network has no counterpart of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gelu, self.leaky = nn.Conv2d(2, 4, 3, padding_mode="reflect"), nn.GELU(), nn.LeakyReLU()
        self.lstm, self.pool, self.soft = nn.LSTM(36, 5, batch_first=True), nn.MaxPool2d(2), nn.Softmax(dim=1)
        self.relu, self.norm = nn.ReLU(), nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.leaky(self.gelu(self.pool(self.conv(x))))
        x = self.relu(torch.sigmoid(x) * 2)
        x = torch.cat([x, x], dim=1) + 1
        y, _ = self.lstm(x.flatten(2).repeat(1, 1, 4))
        return self.soft(y.mean(dim=1))


def test_all_that_cannot_be_copied_is_named_at_once_with_what_to_write() -> None:
    with pytest.raises(LoweringError) as error:
        spiking_copy(Bad(), SECTION, SHAPE, None)
    said = dict(problem.split(": ", 1) for problem in error.value.problems)
    assert {
        "layer 'conv' (Conv2d)": "padding_mode",
        "layer 'gelu' (GELU)": "nn.ReLU in its place",
        "layer 'leaky' (LeakyReLU)": "nn.ReLU in its place",
        "layer 'lstm' (LSTM)": "keeps no state",
        "layer 'pool' (MaxPool2d)": "right before or after a ReLU",
        "layer 'soft' (Softmax)": "return the logits",
        "operation 'sigmoid' (sigmoid)": "nn.ReLU in its place",
        "operation 'mul' (mul)": "cannot be weighted",
        "operation 'cat' (cat)": "add the two",
        "operation 'add' (add)": "two layers",
    }.keys() <= said.keys()
    assert "return the logits" in said["layer 'soft' (Softmax)"]
    assert "right before or after a ReLU" in said["layer 'pool' (MaxPool2d)"]
    assert "put nn.ReLU in its place" in said["operation 'sigmoid' (sigmoid)"]


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(144, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        y.relu_()
        return self.head(y.flatten(1))


class Branching(InPlace):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.conv(x))
        return self.head(y.flatten(1)) if y.sum() > 0 else self.head(-y.flatten(1))


class MyLinear(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


def hooked() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 4), nn.ReLU(), nn.Linear(4, 5))
    net[1].register_forward_hook(lambda _m, _i, out: out * 2)
    return net


def parametrized() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 4), nn.ReLU(), nn.Linear(4, 5))
    nn.utils.parametrizations.weight_norm(net[1])
    return net


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (InPlace, "does not compute what the ANN does|holds no ReLU"),
        (Branching, "cannot be followed"),
        (hooked, "forward hook"),
        (parametrized, "parametrized"),
        (lambda: nn.Sequential(nn.Flatten(), MyLinear(128, 4), nn.ReLU(), nn.Linear(4, 5)), "nn.Linear itself"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 5)), "holds no ReLU"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, 5), nn.ReLU()), "answer is that of a ReLU"),
        (lambda: nn.Sequential(nn.Linear(7, 5), nn.ReLU()), "cannot take images"),
        (lambda: nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU()), "running statistics"),
    ],
)  # fmt: skip
def test_what_would_be_copied_wrongly_is_refused(make: Callable[[], nn.Module], text: str) -> None:
    with pytest.raises(LoweringError, match=text):
        spiking_copy(make(), SECTION, SHAPE, None)


def test_a_layer_that_is_used_twice_becomes_two() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(128, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(F.relu(self.conv(F.relu(self.conv(x)))).flatten(1))

    layers, _ = spiking_copy(Twice(), SECTION, SHAPE, images())
    assert sum(isinstance(m, nn.Conv2d) for m in layers.modules()) == 2


def test_copies_are_built_by_name_and_take_no_width() -> None:
    teacher = build_teacher(TeacherSection(width=0.25), SHAPE, 5)
    student = build_student(SECTION, SHAPE, 5, teacher=teacher, images=images())
    assert student(images(4)).shape == (3, 4, 5)
    assert set(student(images(4)).unique().tolist()) <= {0.0, 1.0}
    for section, text in (
        (SECTION, "is a copy of its teacher"),
        (SECTION.model_copy(update={"width": 0.5}), "no width"),
    ):
        with pytest.raises(RecipeError, match=text):
            build_student(section, SHAPE, 5)
    with pytest.raises(RecipeError, match="'2conv' takes no percentile"):
        build_student(StudentSection(percentile=99.0), SHAPE, 5)


def test_from_python_with_pixels_or_floats() -> None:
    ann = awake(Written())
    pixels = (images() * 255).round().to(torch.uint8).numpy()
    one, other = kdsnn.spiking(ann, pixels), kdsnn.spiking(ann, torch.tensor(pixels) / 255)
    assert isinstance(one, Student)
    assert not one.training
    assert torch.equal(one(images(3)), other(images(3)))
    for wrong in (images() * 3, images()[0], images()[:0]):
        with pytest.raises(InputError, match="are no images"):
            kdsnn.spiking(ann, wrong)


def test_importing_kdsnn_imports_no_torch() -> None:
    code = "import sys, kdsnn; assert 'torch' not in sys.modules; assert callable(kdsnn.spiking); kdsnn.nothing"
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "module 'kdsnn' has no attribute 'nothing'" in done.stderr
