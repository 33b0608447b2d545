"""Checkpoints: safetensors and JSON, no pickle. A file is checked against the model before a single weight is set."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from kdsnn.distill.optimizers import moments_of
from kdsnn.errors import InputError
from kdsnn.files.reading import check_unpacked, reading
from kdsnn.files.writing import write_atomic

__all__ = ["load_given", "load_model", "load_tensors", "load_training", "read_given", "save_model", "save_training"]

COPIES = ("ema", "best")  # of the model's weights, that a training may keep
MOST_HEADER = 2**24  # bytes that name the tensors of a .safetensors, some 100 for each
MOST_PICKLED = 2**22  # bytes that name the tensors of a .pt, some 150 for each; what they make takes 60 times as much


def save_model(model: nn.Module, path: Path) -> None:
    """Writes the weights and buffers of a model."""
    write_atomic(path, save(_contiguous(model.state_dict())))


def load_model(model: nn.Module, path: Path) -> None:
    """Sets the weights and buffers of a model.

    Raises:
        InputError: the file is broken, or holds another model; the model is left as it was.
    """
    tensors = load_tensors(path)
    _check(model.state_dict(), tensors, path)
    model.load_state_dict(tensors)


def load_given(model: nn.Module, path: Path) -> None:
    """Sets the weights and buffers of a model from a user's file; see `read_given`.

    Raises:
        InputError: the file is broken, holds more than tensors, or is of another model.
    """
    tensors = read_given(path)
    _check(model.state_dict(), tensors, path)
    model.load_state_dict(tensors)


def read_given(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a user's file: safetensors, or a `.pt` or `.pth` that holds a state dict and nothing else.

    Raises:
        InputError: the file is missing or broken, or holds more than tensors.
    """
    return _contiguous(_unpickled(path) if path.suffix.lower() in (".pt", ".pth") else load_tensors(path))


def save_training(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    path: Path,
    *,
    epochs_done: int,
    copies: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
) -> None:
    """Writes all that it takes to go on: the model, the optimizer's state, copies by name, how many epochs are done."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    for copy, weights in (copies or {}).items():
        tensors |= {f"{copy}.{name}": tensor for name, tensor in weights.items()}
    write_atomic(path, save(_contiguous(tensors), metadata={"epochs_done": str(epochs_done)}))


def load_training(
    model: nn.Module, optimizer: torch.optim.Optimizer, path: Path
) -> tuple[int, dict[str, dict[str, torch.Tensor]]]:
    """Sets the model and the optimizer to where they were, and returns the number of epochs done, and the copies.

    Raises:
        InputError: the file is broken, or holds another training.
    """
    parts = _parts(load_tensors(path), path)
    weights = parts.pop("model", {})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in parts.pop("optimizer", {}).items():
        index, _, name = key.partition(".")
        if not index.isdecimal():
            raise InputError(f"{path} is no checkpoint of a training: it holds {f'optimizer.{key}'[:100]!r}")
        state.setdefault(int(index), {})[name] = tensor
    for tensors in (weights, *parts.values()):
        _check(model.state_dict(), tensors, path)
    with reading(path), safe_open(path, framework="pt") as file:
        said = (file.metadata() or {}).get("epochs_done", "")
    if not (said.isdecimal() and said.isascii() and len(said) < 10):
        raise InputError(f"{path} is no checkpoint of a training: it does not say how many epochs are done")
    epochs_done = int(said)
    _check_optimizer(optimizer, state, path)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    model.load_state_dict(weights)
    return epochs_done, parts


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        InputError: it is missing, broken, or a pickle.
    """
    if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".pkl", ".bin"):
        raise InputError(
            f"{path} may be a pickle, which can run code when it is read",
            hint="write it as safetensors: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')",
        )
    with reading(path, "is not a readable safetensors file", hint="it may be truncated"):
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if MOST_HEADER < header < path.stat().st_size:
            raise InputError(f"{path} names more tensors than a network has")
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict


def _unpickled(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a file of torch's, read in the way that runs no code."""
    hint = "save the state dict alone: torch.save(model.state_dict(), 'ann.pt'), or better as safetensors"
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    with reading(path, "cannot be read as tensors alone", hint=hint):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        check_unpacked(path, sum(member.file_size for member in members), path.stat().st_size)
        if sum(member.file_size for member in members if member.filename.endswith(".pkl")) > MOST_PICKLED:
            raise InputError(f"{path} names more tensors than a network has", hint=hint)
        found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        inside = f"a dict of {', '.join(map(str, found))}"[:100] if isinstance(found, dict) else type(found).__name__
        raise InputError(f"{path} holds no state dict, but {inside}", hint=hint)
    check_unpacked(
        path, sum(t.numel() * t.element_size() for t in found.values()), path.stat().st_size
    )  # shared values
    return dict(found)


def _parts(tensors: Mapping[str, torch.Tensor], path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The tensors of a checkpoint by what they belong to."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        if part not in ("model", "optimizer", *COPIES):
            raise InputError(f"{path} is no checkpoint of a training: it holds {key[:100]!r}")
        parts.setdefault(part, {})[name] = tensor
    return parts


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as safetensors wants them: each by itself, also where layers share one."""
    return {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}


def _check_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]], path: Path) -> None:
    """Moments have the shapes of their parameters, and every parameter has the same ones."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    names = moments_of(inner)
    problems = []
    for index in sorted(set(range(len(parameters))) ^ set(state)):
        problems.append(f"state of parameter {index} is missing, or belongs to no parameter")
    for index, tensors in sorted(state.items()):
        if index >= len(parameters):
            continue
        if set(tensors) != names:
            problems.append(f"state of parameter {index} holds {sorted(tensors)}, not {sorted(names)}")
        for name, tensor in tensors.items():
            if tensor.shape != (torch.Size() if name == "step" else parameters[index].shape):
                problems.append(f"{name} of parameter {index} has shape {tuple(tensor.shape)}")
            elif not torch.isfinite(tensor).all():
                problems.append(f"{name} of parameter {index} holds values that are not finite")
    if problems:
        raise InputError(f"{path} does not fit the optimizer", problems=problems[:20])


def _check(wanted: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    problems = [f"tensor {name!r} is missing" for name in sorted(wanted.keys() - tensors.keys())]
    problems += [f"tensor {name!r} belongs to no layer" for name in sorted(tensors.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & tensors.keys()):
        right, got = wanted[name], tensors[name]
        if got.shape != right.shape:
            problems.append(f"tensor {name!r} has shape {tuple(got.shape)}, not {tuple(right.shape)}")
        elif got.dtype != right.dtype:
            problems.append(f"tensor {name!r} is {got.dtype}, not {right.dtype}")
        elif got.is_floating_point() and not torch.isfinite(got).all():
            problems.append(f"tensor {name!r} holds values that are not finite")
    if problems:
        raise InputError(f"{path} does not fit the model", problems=problems[:20])
