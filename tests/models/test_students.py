"""The paper's 2conv: its size, its shapes, its names; the static first convolution is computed once."""

import pytest
import torch
from torch import fx, nn

from kdsnn.choices import STUDENTS
from kdsnn.errors import RecipeError
from kdsnn.models.convolution import Convolution
from kdsnn.models.neurons import IF, Normalize, Repeat
from kdsnn.models.operations import count_parameters
from kdsnn.models.students import Student, build_student, is_copy
from kdsnn.recipes.schema import StudentSection

FROM_SCRATCH = [name for name in STUDENTS if not is_copy(name)]
SMALL = StudentSection(channels=(4, 6), hidden=12, timesteps=3)


def small(shape: tuple[int, int, int] = (1, 8, 8)) -> Student:
    torch.manual_seed(0)
    return build_student(SMALL, shape, 5)


def test_the_papers_student_has_its_number_of_parameters() -> None:
    student = build_student(StudentSection(), (1, 28, 28), 10)
    parameters = count_parameters(student)
    assert parameters == 9 * 128 + 9 * 128 * 128 + 6272 * 1152 + 1152 * 10 + 4 * 128
    assert f"{parameters / 1e6:.2f}M" == "7.39M"


@pytest.mark.parametrize(("name", "millions"), [("vgg11", "9.75M"), ("wrn16-2", "0.69M"), ("resnet18", "11.17M")])
def test_the_papers_students_for_cifar10_too(name: str, millions: str) -> None:
    student = build_student(StudentSection(model=name), (3, 32, 32), 10)
    assert f"{count_parameters(student) / 1e6:.2f}M" == millions


@pytest.mark.parametrize("name", FROM_SCRATCH)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 10)])
def test_every_student_gives_spikes_on_any_image(name: str, shape: tuple[int, int, int]) -> None:
    student = build_student(StudentSection(model=name, width=0.0625, timesteps=2), shape, 4).eval()
    images = torch.rand(3, *shape)
    spikes = student(images)
    assert spikes.shape == (2, 3, 4)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(spikes, student(images))


def test_width_multiplies_channels_and_hidden() -> None:
    layers = build_student(StudentSection(width=0.25), (1, 28, 28), 10).layers
    sizes = [m.weight.shape[0] for m in layers.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sizes == [32, 32, 288, 10]


def test_answers_are_spikes_with_time_first() -> None:
    spikes = small((3, 11, 9))(torch.rand(7, 3, 11, 9))  # odd sizes: max-pooling drops the last row
    assert spikes.shape == (3, 7, 5)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}


def test_rates_are_spikes_over_time() -> None:
    student, images = small().eval(), torch.rand(7, 1, 8, 8)
    assert torch.equal(student.rates(images), student(images).sum(dim=0) / 3)


def test_layers_and_forward_agree_on_the_order_of_time() -> None:
    """What `layers` gives for an image alone is what `forward` gives for it in a batch."""
    student, images = small().eval(), torch.rand(4, 1, 8, 8)
    together = student(images)
    for number in range(4):
        assert torch.equal(student.layers(images[number : number + 1]), together[:, number])


def test_the_first_convolution_is_computed_once_for_all_steps() -> None:
    student, seen = small(), dict[str, int]()
    for name, module in student.layers.named_children():
        module.register_forward_hook(lambda _m, inputs, _o, name=name: seen.update({name: len(inputs[0])}))
    student(torch.rand(7, 1, 8, 8))
    assert (seen["conv1"], seen["norm1"]) == (7, 7)
    assert (seen["if1"], seen["conv2"], seen["linear4"]) == (21, 21, 21)


def test_the_chain_has_stable_names_and_can_be_traced() -> None:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, Convolution | IF | Repeat | Normalize) or super().is_leaf_module(
                m, module_qualified_name
            )

    graph = Tracer().trace(small().layers)
    called = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    front = ["conv1", "norm1", "repeat", "if1", "pool1", "conv2", "norm2", "if2", "pool2"]
    assert called == [*front, "flatten", "linear3", "if3", "linear4", "if4"]
    assert {node.op for node in graph.nodes} == {"placeholder", "call_module", "output"}


def test_the_same_seed_builds_the_same_student() -> None:
    first, second = small().state_dict(), small().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("section", "shape", "message"),
    [
        (StudentSection(channels=(1, 2, 3)), (1, 28, 28), "two channel counts"),
        (StudentSection(width=1e-4), (1, 28, 28), "two channel counts"),
        (StudentSection(model="vgg11", channels=(4, 4)), (3, 32, 32), "'vgg11' takes no channels"),
        (StudentSection(model="resnet18", channels=(4, 4), hidden=3), (3, 32, 32), "no channels and no hidden"),
        (StudentSection(), (1, 3, 28), "images of 4x4 at least"),
    ],
)
def test_a_student_that_cannot_be_built(section: StudentSection, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_student(section, shape, 10)


def test_there_is_the_papers_student() -> None:
    assert "2conv" in STUDENTS.names()
