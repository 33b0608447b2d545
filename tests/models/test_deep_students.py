"""All students: their parameters by the paper's table 3, their shapes, and time in the batch."""

import pytest
import torch
from torch import nn

from kdsnn.choices import STUDENTS
from kdsnn.errors import RecipeError
from kdsnn.models.neurons import IF, Repeat
from kdsnn.models.operations import count_operations, count_parameters
from kdsnn.models.students import Student, build_student, is_copy
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.schema import StudentSection, TeacherSection

FROM_SCRATCH = [name for name in STUDENTS if not is_copy(name)]
NARROW = 0.0625


def narrow(name: str, shape: tuple[int, int, int], timesteps: int = 2) -> Student:
    torch.manual_seed(0)
    return build_student(StudentSection(model=name, width=NARROW, timesteps=timesteps), shape, 7)


@pytest.mark.parametrize(
    ("model", "shape", "parameters"),
    [
        ("2conv", (1, 28, 28), 7_385_984),
        ("vgg11", (3, 32, 32), 9_752_640),
        ("wrn16-2", (3, 32, 32), 691_696),
        ("resnet18", (3, 32, 32), 11_173_952),  # the ANN's, without the bias of the last layer
    ],
)
def test_parameters_of_the_papers_students(model: str, shape: tuple[int, int, int], parameters: int) -> None:
    student = build_student(StudentSection(model=model), shape, 10)
    assert count_parameters(student) == parameters


def test_the_demos_student_has_207_thousand_parameters() -> None:
    student = build_student(load_recipe("mnist5k-2conv").student, (1, 28, 28), 10)
    assert count_parameters(student) == 206_832


@pytest.mark.parametrize("name", FROM_SCRATCH)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 9)])
def test_every_student_answers_with_spikes_time_first(name: str, shape: tuple[int, int, int]) -> None:
    spikes = narrow(name, shape, timesteps=3)(torch.rand(4, *shape))
    assert spikes.shape == (3, 4, 7)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_every_student_computes_its_first_convolution_once(name: str) -> None:
    student, batches = narrow(name, (1, 8, 8), timesteps=3), list[int]()
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, inputs, _o: batches.append(len(inputs[0])))
    student(torch.rand(5, 1, 8, 8))
    assert batches[0] == 5
    assert set(batches[1:]) == {15}


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_images_of_a_batch_do_not_see_each_other(name: str) -> None:
    student, images = narrow(name, (1, 8, 8)).eval(), torch.rand(3, 1, 8, 8)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, 0.7)  # so that the deep layers fire
    with torch.no_grad():
        together = student(images)
        again = student(images)
        alone = torch.cat([student(image[None]) for image in images], dim=1)
    assert torch.equal(together, again)
    assert torch.equal(together, alone)


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_every_student_can_be_trained(name: str) -> None:
    student = narrow(name, (1, 8, 8))
    student.rates(torch.rand(6, 1, 8, 8)).sum().backward()
    without = [n for n, p in student.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_width_timesteps_and_surrogate_reach_every_layer(name: str) -> None:
    section = StudentSection(model=name, width=0.25, timesteps=5, surrogate="sigmoid", slope=3.0)
    small, large = build_student(section, (1, 8, 8), 10), build_student(StudentSection(model=name), (1, 8, 8), 10)
    assert count_parameters(small) < count_parameters(large) / 8  # about the square of the width
    neurons = [m for m in small.modules() if isinstance(m, IF | Repeat)]
    assert {m.timesteps for m in neurons} == {5}
    assert sum(isinstance(m, Repeat) for m in neurons) == 1


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 8, 1)])
def test_images_too_small_for_it_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(RecipeError, match="images of 4x4 at least"):
        build_student(StudentSection(model="2conv"), shape, 10)
    for name in ("cnn", "resnet18"):
        with pytest.raises(RecipeError, match="images of 4x4 at least"):
            build_teacher(TeacherSection(model=name), shape, 10)


def test_counting_leaves_every_layer_in_its_mode_also_when_it_fails() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).train()
    model[1].eval()  # frozen, as in fine-tuning
    count_operations(model, (1, 4, 4))
    with pytest.raises(RuntimeError):
        count_operations(model, (1, 5, 5))
    assert [m.training for m in model] == [True, False, True, True]
    assert not any(m._forward_hooks for m in model)
