"""Teachers and the counts of parameters and operations, against the paper's table 3 and by hand."""

import pytest
import torch
from torch import nn

from kdsnn.choices import TEACHERS
from kdsnn.errors import RecipeError
from kdsnn.models.operations import count_operations, count_parameters
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.schema import TeacherSection


@pytest.mark.parametrize(
    ("shape", "flops", "macs"),
    [((1, 28, 28), "457.72M", "455.80M"), ((3, 32, 32), "557.88M", "555.42M")],
)
def test_resnet18_has_the_papers_figures(shape: tuple[int, int, int], flops: str, macs: str) -> None:
    model = build_teacher(TeacherSection(model="resnet18"), shape, 10)
    operations = count_operations(model, shape)
    assert f"{count_parameters(model) / 1e6:.2f}M" == "11.17M"
    assert f"{operations.paper_flops / 1e6:.2f}M" == flops
    assert f"{operations.macs / 1e6:.2f}M" == macs


def test_operations_of_a_network_counted_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),  # (4, 3, 3), 9 weights each
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(36, 5),
        nn.BatchNorm1d(5),
    )
    operations = count_operations(model.train(), (2, 5, 6))
    assert operations.macs == 4 * 3 * 3 * 9 + 36 * 5
    assert operations.paper_flops == operations.macs + 4 * (36 + 5)
    assert model.training  # as it was
    assert int(model[1].num_batches_tracked) == 0  # and has learnt nothing
    assert not model[0]._forward_hooks


def test_parameters_that_do_not_learn_are_not_counted() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert count_parameters(model) == 6


@pytest.mark.parametrize("name", TEACHERS.names())
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 9, 13)])
def test_every_teacher_gives_logits(name: str, shape: tuple[int, int, int]) -> None:
    model = build_teacher(TeacherSection(model=name, width=0.125), shape, 7)
    logits = model(torch.rand(2, *shape))
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


def test_a_teacher_that_cannot_be_built() -> None:
    with pytest.raises(RecipeError, match="leaves no channels"):
        build_teacher(TeacherSection(width=0.01), (1, 8, 8), 10)
