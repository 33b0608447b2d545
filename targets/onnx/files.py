"""The ONNX files of a bundle: written, read again, and compared before they count as written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, VerificationError
from kdsnn.export.onnx.flavours import Flavour
from kdsnn.export.onnx.models import step_model, to_onnx
from kdsnn.export.teacher_onnx import TEACHER_FILE, TeacherFile, write_teacher
from kdsnn.files.writing import write_atomic
from kdsnn.network import Network
from kdsnn.targets.base import Files, Teacher
from kdsnn.targets.onnx.program import session_of
from kdsnn.targets.reference import simulate

__all__ = ["write_models"]


def write_models(
    network: Network,
    images: npt.NDArray[np.uint8],
    folder: Path,
    teacher: Teacher | None,
    *,
    device: str,
    flavour: Flavour,
) -> Files:
    """Writes `model.onnx` and `step.onnx`, and `teacher.onnx` where there is a teacher.

    The first two are read again, and what they compute is compared with the reference; the teacher's logits with
    torch's.

    Raises:
        VerificationError: ONNX Runtime computes something else.
    """
    files = [folder / "model.onnx", folder / "step.onnx"]
    for path, model in zip(
        files, (to_onnx(network, flavour=flavour), step_model(network, flavour=flavour)), strict=True
    ):
        write_atomic(path, model.SerializeToString())
    _compare(network, images, files[0], files[1], device)
    if teacher is None:
        return Files(files)
    written = _write_teacher(teacher, network, images, folder)
    return Files(files if written.left_out else [*files, folder / TEACHER_FILE], {"teacher": asdict(written)})


def _write_teacher(teacher: Teacher, network: Network, images: npt.NDArray[np.uint8], folder: Path) -> TeacherFile:
    try:
        module = teacher.load()
    except InputError:  # its message names a path of this machine, and bundles travel
        missing = f"the weights of teacher {teacher.model!r} are not on this machine any more, or broken"
        return TeacherFile(teacher.model, left_out=missing)
    return write_teacher(module, teacher.model, images, folder, input_shape=network.image_shape, labels=network.labels)


def _compare(network: Network, images: npt.NDArray[np.uint8], whole_file: Path, step_file: Path, device: str) -> None:
    """Raises VerificationError where the two models do not compute what the reference does."""
    trains, potentials = simulate(network, images)
    wanted = trains[network.output.name].sum(axis=1, dtype=np.int64).reshape(len(images), -1)
    whole, step = (session_of(path.read_bytes(), device) for path in (whole_file, step_file))
    counts, layers, *read = whole.run(None, {"image": images})
    by_layer = [train.reshape(len(images), -1).sum(axis=1, dtype=np.int64) for train in trains.values()]
    if (counts != wanted).any() or (layers != np.stack(by_layer, axis=1)).any():
        raise VerificationError("model.onnx does not count the reference's spikes")
    total, state = _by_steps(step, network.in_time(images))
    if (total != wanted).any():
        raise VerificationError("step.onnx does not count the reference's spikes")
    if network.readout == "membrane":
        for name, found in (("model.onnx", read[0]), ("step.onnx", state[f"v.{network.output.name}"])):
            if (found.reshape(potentials.shape) != potentials).any():
                raise VerificationError(f"{name} does not read the reference's potentials")


def _by_steps(session: Any, frames: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Output spikes over T, and the last state, from the one-step model and what each step sees, `(N, T, *shape)`."""
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
    states = session.get_inputs()[1:]
    state = {s.name: np.zeros((len(frames), *s.shape[1:]), types[s.type]) for s in states}
    names = ["spikes", *(f"{s.name}.next" for s in states)]
    total: npt.NDArray[np.int64] = np.zeros((len(frames), session.get_outputs()[0].shape[1]), np.int64)
    for frame in frames.swapaxes(0, 1):
        spikes, *after = session.run(names, {"image": np.ascontiguousarray(frame), **state})
        total += spikes
        state = dict(zip(state, after, strict=True))
    return total, state
