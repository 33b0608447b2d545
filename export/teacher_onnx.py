"""The float teacher of a run as an ONNX model, run by ONNX Runtime and compared with torch before it counts as written.

torch's exporter to TorchScript writes it: the newer one needs a package more. `teacher.onnx` takes the images that
`model.onnx` takes, `image` uint8 `(N, C, H, W)`, any N, and gives `logits` float32 `(N, classes)`.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper
from torch import nn

from kdsnn.errors import VerificationError
from kdsnn.export.onnx_runtime import onnx_runtime
from kdsnn.files.writing import write_atomic

__all__ = ["TEACHER_FILE", "TOLERANCE", "TeacherFile", "teacher_onnx", "write_teacher"]

TEACHER_FILE = "teacher.onnx"
OPSET = 17  # as model.onnx
TOLERANCE = 1e-4  # of the largest logit: float32 sums (6e-8 a rounding) in another order, in dozens of layers


@dataclass(frozen=True)
class TeacherFile:
    """What came of a run's teacher.

    Attributes:
        model: name of the teacher.
        images: shown to ONNX Runtime and to torch; 0 where no file was written.
        largest_difference: between a logit of theirs, over the largest logit.
        left_out: why no file was written.
    """

    model: str
    images: int = 0
    largest_difference: float = 0.0
    left_out: str = ""


def write_teacher(
    teacher: nn.Module,
    model: str,
    images: npt.NDArray[np.uint8],
    folder: Path,
    *,
    input_shape: tuple[int, ...],
    labels: tuple[str, ...],
) -> TeacherFile:
    """Writes a teacher, and compares the file's logits with torch's.

    Args:
        teacher: from images in [0, 1] to logits, in eval mode; on the CPU.
        model: name of it.
        images: to compare on, `(N, C, H, W)`.
        folder: where the file goes.
        input_shape: `(C, H, W)`.
        labels: names of the classes.

    Raises:
        VerificationError: ONNX Runtime does not give torch's logits.
    """
    made = teacher_onnx(teacher, input_shape, labels)
    write_atomic(folder / TEACHER_FILE, made)
    largest = _largest_difference(teacher, (folder / TEACHER_FILE).read_bytes(), images)
    return TeacherFile(model, len(images), largest)


def teacher_onnx(teacher: nn.Module, input_shape: tuple[int, ...], labels: tuple[str, ...]) -> bytes:
    """A teacher, in eval mode, as an ONNX model of plain opset 17, checked by `onnx.checker`.

    Args:
        teacher: from images in [0, 1] to logits; on the CPU.
        input_shape: `(C, H, W)`.
        labels: for the model's metadata.
    """
    example = torch.zeros(2, *input_shape, dtype=torch.uint8)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and says what it does not fold
        torch.onnx.export(
            _FromBytes(teacher).eval(),
            (example,),
            file,  # type: ignore[arg-type]  # this exporter takes an opened file too
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        )
    model = onnx.load_model_from_string(file.getvalue())
    helper.set_model_props(model, {"kdsnn.labels": "\n".join(labels)})
    onnx.checker.check_model(model, full_check=True)
    made: bytes = model.SerializeToString()
    return made


class _FromBytes(nn.Module):
    """A teacher that takes raw images."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, image: torch.Tensor) -> Any:
        return self.teacher(image.float() / 255)


def _largest_difference(teacher: nn.Module, model: bytes, images: npt.NDArray[np.uint8]) -> float:
    session = onnx_runtime().InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0.0
    for shown in (images, images[:1]):  # one graph for any number of images
        with torch.inference_mode():
            wanted = teacher.eval()(torch.tensor(shown).float() / 255).numpy()
        (found,) = session.run(["logits"], {"image": shown})
        difference = np.abs(found - wanted).max() / np.abs(wanted).max()
        if not difference <= TOLERANCE:  # nor where it is no number
            raise VerificationError(f"{TEACHER_FILE} does not give torch's logits: {difference:.1e} of the largest off")
        largest = max(largest, float(difference))
    return largest
