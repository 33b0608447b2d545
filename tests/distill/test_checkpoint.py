"""A checkpoint is set whole, or refused with every reason at once, and then the model is as it was."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdsnn.distill.checkpoint import load_model, load_training, save_model, save_training
from kdsnn.errors import InputError

Tensors = dict[str, torch.Tensor]


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def optimizer_of(net: nn.Module, kind: str = "adamw") -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return torch.optim.AdamW(net.parameters(), lr=0.1)


def trained(kind: str = "adamw") -> tuple[nn.Module, torch.optim.Optimizer]:
    net = model()
    optimizer = optimizer_of(net, kind)
    step(net, optimizer)
    return net, optimizer


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    net(torch.linspace(-1, 1, 15).reshape(5, 3)).square().sum().backward()
    optimizer.step()


def same(first: nn.Module, second: nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_model_comes_back_to_the_bit(tmp_path: Path) -> None:
    net, other = model(0), model(1)
    net(torch.rand(5, 3))  # moves the running statistics
    save_model(net, tmp_path / "m.safetensors")
    assert not same(net, other)
    load_model(other, tmp_path / "m.safetensors")
    assert same(net, other)


DAMAGES: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "missing": (lambda t: t.pop("0.bias"), "tensor '0.bias' is missing"),
    "extra": (lambda t: t.update(more=torch.zeros(1)), "tensor 'more' belongs to no layer"),
    "shape": (lambda t: t.update({"0.bias": torch.zeros(5)}), r"'0.bias' has shape \(5,\), not \(4,\)"),
    "dtype": (lambda t: t.update({"0.bias": torch.zeros(4).half()}), "'0.bias' is torch.float16"),
    "nan": (lambda t: t["0.weight"].view(-1)[5].fill_(torch.nan), "'0.weight' holds values that are not finite"),
    "inf": (lambda t: t["1.running_var"][0].fill_(torch.inf), "'1.running_var' holds values that are not finite"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    tensors = {name: tensor.clone() for name, tensor in model(0).state_dict().items()}
    change(tensors)
    save_file(tensors, tmp_path / "m.safetensors")
    net = model(1)
    with pytest.raises(InputError, match=message):
        load_model(net, tmp_path / "m.safetensors")
    assert same(net, model(1))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "m.safetensors")
    with pytest.raises(InputError) as raised:
        load_model(model(), tmp_path / "m.safetensors")
    assert len(raised.value.problems) == len(model().state_dict()) + 1


def damaged(data: bytes, kind: str) -> bytes:
    header = struct.unpack("<Q", data[:8])[0]
    return {
        "empty": b"",
        "short": data[:5],
        "half": data[: len(data) // 2],
        "last byte": data[:-1],
        "absurd header": struct.pack("<Q", 2**62) + data[8:],
        "header beyond the file": struct.pack("<Q", len(data) * 2) + data[8:],
        "no json": data[:8] + b"x" * header + data[8 + header :],
        "other": b"\x89HDF\r\n\x1a\n" + bytes(100),
    }[kind]


KINDS = ["empty", "short", "half", "last byte", "absurd header", "header beyond the file", "no json", "other"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.safetensors"
    save_model(model(), path)
    path.write_bytes(damaged(path.read_bytes(), kind))
    with pytest.raises(InputError, match=r"m\.safetensors is not a readable safetensors file"):
        load_model(model(), path)


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.bin", "m.ckpt", "m.pkl"])
def test_a_pickle_is_refused_unread_with_the_way_to_convert_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="may be a pickle") as raised:
        load_model(model(), tmp_path / name)
    assert "safetensors.torch.save_file" in raised.value.hint


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(model(), tmp_path / "m.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*m\.safetensors"):
        load_model(model(), tmp_path / "m.safetensors")


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_training_goes_on_as_if_it_had_never_stopped(tmp_path: Path, kind: str) -> None:
    net, optimizer = trained(kind)
    save_training(net, optimizer, tmp_path / "c.safetensors", epochs_done=3)
    other = model(1)
    other_optimizer = optimizer_of(other, kind)
    assert load_training(other, other_optimizer, tmp_path / "c.safetensors") == (3, {})
    for _ in range(3):
        step(net, optimizer)
        step(other, other_optimizer)
    assert same(net, other)


def test_copies_of_the_weights_come_back(tmp_path: Path) -> None:
    net, optimizer = trained()
    copies = {"ema": model(5).state_dict(), "best": model(6).state_dict()}
    save_training(net, optimizer, tmp_path / "c.safetensors", epochs_done=1, copies=copies)
    _, loaded = load_training(model(1), optimizer, tmp_path / "c.safetensors")
    assert set(loaded) == {"ema", "best"}
    assert all(torch.equal(loaded[c][name], copies[c][name]) for c in copies for name in copies[c])
    broken = {"ema": {**copies["ema"], "0.bias": torch.zeros(5)}}
    save_training(net, optimizer, tmp_path / "c.safetensors", epochs_done=1, copies=broken)
    with pytest.raises(InputError, match=r"'0.bias' has shape \(5,\)"):
        load_training(model(1), optimizer, tmp_path / "c.safetensors")


OPTIMIZER_DAMAGES: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "no state": (lambda t: [t.pop(n) for n in list(t) if n.startswith("optimizer.1.")], "parameter 1 is missing"),
    "no moment": (lambda t: t.pop("optimizer.0.exp_avg"), r"parameter 0 holds \['exp_avg_sq', 'step'\]"),
    "more": (lambda t: t.update({"optimizer.9.step": torch.tensor(1.0)}), "parameter 9 is missing, or belongs"),
    "shape": (lambda t: t.update({"optimizer.0.exp_avg": torch.zeros(2)}), r"exp_avg of parameter 0 has shape \(2,\)"),
    "nan": (lambda t: t["optimizer.0.exp_avg"].fill_(torch.nan), "exp_avg of parameter 0 holds values"),
    "stranger": (lambda t: t.update(thing=torch.zeros(1)), "it holds 'thing'"),
    "index": (lambda t: t.update({"optimizer.x.step": torch.zeros(1)}), "it holds 'optimizer.x.step'"),
    "model": (lambda t: t.pop("model.0.weight"), "tensor '0.weight' is missing"),
}


@pytest.mark.parametrize("damage", sorted(OPTIMIZER_DAMAGES))
def test_a_training_that_does_not_fit_is_refused(tmp_path: Path, damage: str) -> None:
    change, message = OPTIMIZER_DAMAGES[damage]
    net, optimizer = trained()
    save_training(net, optimizer, tmp_path / "c.safetensors", epochs_done=3)
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "c.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "c.safetensors", metadata={"epochs_done": "3"})
    other = model(1)
    with pytest.raises(InputError, match=message):
        load_training(other, optimizer_of(other), tmp_path / "c.safetensors")
    assert same(other, model(1))


@pytest.mark.parametrize("metadata", [None, {}, {"epochs_done": "many"}])
def test_a_training_that_does_not_say_where_it_stood(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    net, optimizer = trained()
    save_file({f"model.{k}": v for k, v in net.state_dict().items()}, tmp_path / "c.safetensors", metadata=metadata)
    with pytest.raises(InputError, match="how many epochs are done"):
        load_training(net, optimizer, tmp_path / "c.safetensors")
