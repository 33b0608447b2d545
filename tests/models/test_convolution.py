"""Convolutions of small maps, as they are trained: held against numpy in float64, tap by tap."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.models.convolution import Convolution
from kdsnn.models.students import build_student
from kdsnn.recipes.schema import StudentSection

LAST = torch.channels_last
TINY = 1e-5


def by_taps(images: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The convolution by a border of zeros and nine shifted products."""
    height, width = images.shape[2:]
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sum(
        np.einsum("bchw,oc->bohw", padded[:, :, r : r + height, c : c + width], weight[:, :, r, c].astype(np.float64))
        for r in range(3)
        for c in range(3)
    )


def layer(before: int = 3, after: int = 5, **settings: object) -> Convolution:
    torch.manual_seed(0)
    made = Convolution(before, after, **{"kernel_size": 3, "padding": 1, "bias": False, **settings})  # type: ignore[arg-type]
    return made.to(memory_format=LAST).train()


def images(*shape: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(shape).contiguous(memory_format=LAST)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3), (4, 2), (3, 4), (4, 4)])
def test_small_maps_have_the_sums_and_gradients_of_a_convolution(size: tuple[int, int]) -> None:
    convolution, shown = layer(), images(7, 3, *size).requires_grad_()
    made = convolution(shown)
    assert made.grad_fn.name() == "_SmallMapsBackward"
    assert made.is_contiguous(memory_format=LAST)
    weight = convolution.weight.detach().numpy()
    np.testing.assert_allclose(made.detach().numpy(), by_taps(shown.detach().numpy(), weight), atol=TINY)

    upstream = torch.rand(made.shape)
    made.backward(upstream)
    # the sum of upstream * made is linear in both factors: its gradient is what a one in a factor's place makes of it
    for factor, whole in ((shown, True), (convolution.weight, False)):
        expected = np.zeros(factor.shape)
        for place in np.ndindex(*factor.shape):
            one = np.zeros(factor.shape)
            one[place] = 1
            pair = (one, weight) if whole else (shown.detach().numpy(), one)
            expected[place] = (by_taps(*pair) * upstream.numpy()).sum()
        np.testing.assert_allclose(factor.grad.numpy(), expected, atol=10 * TINY)


def is_torch_s_own(convolution: Convolution, shown: torch.Tensor) -> bool:
    made = convolution(shown)
    kept = (convolution.bias, convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
    return torch.equal(made, F.conv2d(shown, convolution.weight, *kept))


@pytest.mark.parametrize(
    "settings",
    [{"bias": True}, {"stride": 2}, {"groups": 3, "after": 3}, {"dilation": 2, "padding": 2}, {"padding": 0}],
    ids=str,
)
def test_other_convolutions_are_torch_s_own(settings: dict[str, object]) -> None:
    convolution, shown = layer(**settings), images(7, 3, 4, 4)  # type: ignore[arg-type]
    assert is_torch_s_own(convolution, shown)
    assert convolution(shown).grad_fn.name() == "ConvolutionBackward0"


def test_evaluation_and_large_maps_and_other_layouts_are_torch_s_own() -> None:
    convolution = layer()
    assert convolution(images(7, 3, 5, 4)).grad_fn.name() == "ConvolutionBackward0"
    assert convolution(images(7, 3, 4, 4).contiguous()).grad_fn.name() == "ConvolutionBackward0"
    assert convolution.eval()(images(7, 3, 4, 4)).grad_fn.name() == "ConvolutionBackward0"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert convolution.train()(images(7, 3, 4, 4)).dtype == torch.bfloat16


def test_a_deep_student_trains_by_it() -> None:
    section = StudentSection(model="vgg11", width=0.125)
    student = build_student(section, (3, 32, 32), 10).train()
    used = []
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, i, made: used.append(made.grad_fn.name()))
    student(torch.rand(4, 3, 32, 32)).mean().backward()
    assert [name == "_SmallMapsBackward" for name in used] == [False] * 4 + [True] * 4
