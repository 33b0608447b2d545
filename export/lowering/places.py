"""Where in a module something happens: the layer, and the line of the user's own code."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import snntorch
import torch
from torch import nn

import kdsnn

__all__ = ["Place", "line_of_error", "place_of_call"]

LIBRARIES = tuple(f"{Path(str(package.__file__)).parent}/" for package in (torch, snntorch, kdsnn))


@dataclass(frozen=True)
class Place:
    """Where an operation is called.

    Attributes:
        layer: path of the innermost layer that is at work, empty for the module itself.
        kind: its class.
        line: of the user's own code, as `net.py:12, "x = F.relu(x)"`; empty where there is none.
    """

    layer: str
    kind: str
    line: str

    def __str__(self) -> str:
        return f"layer {self.layer!r} ({self.kind})" if self.layer else f"the module ({self.kind})"


def place_of_call(names: Mapping[nn.Module, str], outermost: CodeType) -> Place:
    """The place in the module from which the caller was called.

    Args:
        names: path of each layer.
        outermost: the code that called the module: beyond it the user's code is no part of it.
    """
    module: nn.Module | None = None
    line = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not outermost:
        self = frame.f_locals.get("self")
        if module is None and isinstance(self, nn.Module) and self in names:
            module = self
        file = frame.f_code.co_filename
        if not line and not file.startswith(LIBRARIES) and not file.startswith("<"):
            text = linecache.getline(file, frame.f_lineno).strip()
            line = f"{Path(file).name}:{frame.f_lineno}" + (f", {text!r}" if text else "")
        frame = frame.f_back
    if frame is None:
        line = ""  # not called by the module at all
    module = module if module is not None else next(iter(names))
    return Place(names[module], type(module).__name__, line)


def line_of_error(error: BaseException) -> str:
    """The last line of the user's own code that an error went through, as ` (net.py:12, 'x = f(x)')`; perhaps empty."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((*LIBRARIES, "<"))]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}, {frames[-1].line!r})" if frames else ""
