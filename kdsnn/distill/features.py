"""Feature maps in the middle of a network: how they are read while it runs, and which of two networks are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.students import Student, student_stages
from kdsnn.models.teachers import teacher_stages
from kdsnn.models.trial import answer_to_zeros
from kdsnn.own_code.functions import title_of
from kdsnn.recipes.schema import Recipe
from kdsnn.registry import nearest

__all__ = ["Pair", "as_map", "default_pairs", "find_pairs", "input_of", "sized", "watching"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """A layer of the student and one of the teacher, whose features are compared.

    Attributes:
        student: name of the module in the student's layers.
        teacher: name of the module in the teacher.
        channels: of both.
        size: height and width at which they are compared: the smaller of both.
    """

    student: str
    teacher: str
    channels: tuple[int, int]
    size: tuple[int, int]


@contextmanager
def watching(model: nn.Module, names: Iterable[str], inputs: Iterable[str] = ()) -> Iterator[dict[str, torch.Tensor]]:
    """Collects, by name, what modules put out while the model runs inside; of a ReLU, what goes into it.

    Of the modules in `inputs`, too, what goes into them, under the name that `input_of` makes.
    """
    seen: dict[str, torch.Tensor] = {}
    modules = dict(model.named_modules())
    handles = []
    for name in dict.fromkeys(names):
        module = modules[name]
        if isinstance(module, nn.ReLU):
            handles.append(module.register_forward_pre_hook(_keep_input(seen, name)))
        else:
            handles.append(module.register_forward_hook(_keep_output(seen, name)))
    for name in dict.fromkeys(inputs):
        handles.append(modules[name].register_forward_pre_hook(_keep_input(seen, input_of(name))))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def input_of(name: str) -> str:
    """Under which name `watching` keeps what goes into a module."""
    return f"{name} (input)"


def default_pairs(student: str, teacher: str) -> tuple[tuple[str, str], ...]:
    """The ends of the stages of two models, the deepest with the deepest; where one has more, its first are left out.

    Raises:
        RecipeError: no stages are known of one of them.
    """
    ours, theirs = student_stages(student), teacher_stages(teacher)
    if not ours or not theirs:
        names = f"{title_of(student)!r} or {title_of(teacher)!r}"
        raise RecipeError(f"no stages are known of {names}", hint="name modules: distill.pairs")
    pairs = zip(reversed(ours), reversed(theirs), strict=False)
    return tuple(reversed(tuple(pairs)))


def find_pairs(recipe: Recipe, student: Student, teacher: nn.Module, input_shape: Shape) -> tuple[Pair, ...]:
    """The pairs of a recipe, checked on an image of zeros. Nothing is left changed.

    Args:
        recipe: its `distill.pairs` where these are names, or else the default.
        student: on the CPU.
        teacher: on any device, `meta` too.
        input_shape: `(C, H, W)`.

    Raises:
        RecipeError: a name is wrong, or its module puts out no feature map; all such names at once.
    """
    named = None if recipe.distill.pairs == "classifier" else recipe.distill.pairs
    names = named or student.pairs or default_pairs(recipe.student.model, recipe.teacher.model)
    ours = {
        name: shape
        for name, shape in _shapes(student, student.layers, input_shape).items()
        if shape[0] == student.timesteps
    }
    theirs = _shapes(teacher, teacher, input_shape)
    problems = [
        *_wrong("student", [s for s, _ in names], ours),
        *_wrong("teacher", [t for _, t in names], theirs),
    ]
    if problems:
        hint = f"a student's answer at each time step; they are: {', '.join(ours)}\n  a teacher's: "
        raise RecipeError("distill.pairs names no feature maps", problems=problems, hint=hint + ", ".join(theirs))
    pairs = []
    for ours_name, theirs_name in names:
        one, other = as_map(ours[ours_name]), as_map(theirs[theirs_name])
        size = (min(one[2], other[2]), min(one[3], other[3]))
        pairs.append(Pair(ours_name, theirs_name, (one[1], other[1]), size))
    return tuple(pairs)


def as_map(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """`(N, C, H, W)`; features without height and width are maps of one pixel."""
    batch, channels, height, width = (*shape, 1, 1)[:4]
    return batch, channels, height, width


def sized(features: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Feature maps at the size of a pair; the larger ones are averaged."""
    maps = features.reshape(as_map(features.shape))
    return maps if tuple(maps.shape[2:]) == pair.size else F.adaptive_avg_pool2d(maps, pair.size)


def _wrong(whose: str, names: Sequence[str], known: dict[str, torch.Size]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        if name not in known:
            near = nearest(name, known)
            yield f"{whose} module {name!r}"[:100] + (f"; did you mean {near!r}?" if near else "; one of those below")


def _shapes(model: nn.Module, inner: nn.Module, input_shape: Shape) -> dict[str, torch.Size]:
    """The shapes that the modules inside put out for one image, of all that put out maps or vectors."""
    names = [name for name, _ in inner.named_modules() if name]
    with watching(inner, names) as seen:
        answer_to_zeros(model, input_shape)
    return {name: seen[name].shape for name in names if name in seen and seen[name].ndim in (2, 4)}


def _keep_input(seen: dict[str, torch.Tensor], name: str) -> Callable[[nn.Module, Any], None]:
    def keep(module: nn.Module, inputs: Any) -> None:
        seen[name] = inputs[0].clone() if getattr(module, "inplace", False) else inputs[0]

    return keep


def _keep_output(seen: dict[str, torch.Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            seen[name] = output

    return keep
