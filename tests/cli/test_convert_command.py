"""`kdsnn convert` and `kdsnn.convert`: from a module of the user's own to what targets run, or a clear refusal."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

import kdsnn
from kdsnn.errors import InputError, LoweringError, UsageError, VerificationError
from kdsnn.export.nir import read_nir
from kdsnn.steps.convert import load_module
from tests.cli.conftest import Cli

MODULE = """
import snntorch
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, steps, classes=10):
        super().__init__()
        torch.manual_seed(0)
        self.steps = steps
        self.fc1, self.lif1 = nn.Linear(64, 24), snntorch.Leaky(0.8, threshold=0.2, reset_mechanism="zero")
        self.drop = nn.Dropout(0.5)
        self.fc2, self.lif2 = nn.Linear(24, classes), snntorch.Leaky(0.8, threshold=0.2, reset_mechanism="zero")

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, potentials = [], []
        for _ in range(self.steps):
            spk1, mem1 = self.lif1(self.drop(self.fc1(x.flatten(1))), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            potentials.append(mem2)
        return torch.stack(spikes), torch.stack(potentials)

def make():
    return Net(5)

def of_five_classes():
    return Net(5, classes=5)

def two_problems():
    net = Net(5)
    net.lif1 = snntorch.Leaky(0.0)
    net.fc2 = nn.Sequential(net.fc2, nn.ReLU())
    return net

def sees_through():
    net = Net(5)
    net.fc1.register_forward_hook(lambda _m, _a, out: out * 1.3 if type(out) is torch.Tensor else out)
    return net

def number():
    return 3

def broken():
    return Net(5) + 1
"""


@pytest.fixture
def my_net(tmp_path: Path) -> Path:
    (tmp_path / "my_net.py").write_text(MODULE)
    return tmp_path / "my_net.py"


def test_a_module_becomes_a_file_that_targets_run(cli: Cli, my_net: Path) -> None:
    out = my_net.with_name("mine.nir")
    done = cli("convert", f"{my_net}:make", "--images", "digits", "-o", out, "--max-disagreement", 1)
    assert done.code == 0, done.err
    kept = json.loads(out.with_suffix(".json").read_text())
    network = read_nir(out)
    assert (network.timesteps, [p.name for p in network.populations]) == (5, ["input", "lif1", "lif2"])
    assert kept["fingerprint"] == network.fingerprint()
    assert kept["module_agreement"]["images"] == 96
    assert kept["module_agreement"]["neuron_steps"] == 96 * 5 * 34
    assert kept["float_accuracy"] == pytest.approx(kept["integer_accuracy"], abs=0.05)
    said = network.provenance["module_to_float"]
    assert f"module → float: {said}" in done.out
    shown = cli("evaluate", out, "--target", "onnx", "-n", 10)
    assert shown.code == 0, shown.err
    assert f"module → float: {said}" in shown.out


def test_the_float_accuracy_is_the_modules_own(cli: Cli, my_net: Path) -> None:
    from kdsnn.data.datasets import load_dataset

    test = load_dataset("digits").test
    with torch.no_grad():
        spikes, _ = load_module(f"{my_net}:make")(torch.from_numpy(test.images / 255).float())
    accuracy = float((spikes.sum(0).argmax(1).numpy() == test.labels).mean())
    done = cli("convert", f"{my_net}:make", "--images", "digits", "--max-disagreement", 1, "--json",
               "-o", my_net.with_name("x.nir"))  # fmt: skip
    assert done.json["float_accuracy"] == pytest.approx(accuracy)


def test_weights_are_loaded(cli: Cli, my_net: Path) -> None:
    net = load_module(f"{my_net}:make")
    with torch.no_grad():
        net.fc1.weight.zero_()
    weights = my_net.with_name("w.safetensors")
    save_model(net, str(weights))
    made = load_module(f"{my_net}:make", weights)
    torch.save(net.state_dict(), my_net.with_name("w.pt"))
    same = load_module(f"{my_net}:make", my_net.with_name("w.pt")).state_dict()
    assert all(torch.equal(same[name], tensor) for name, tensor in made.state_dict().items())
    assert not made.fc1.weight.any()  # type: ignore[union-attr]
    assert not made.training
    other = my_net.with_name("other.safetensors")
    save_model(torch.nn.Linear(2, 2), str(other))
    done = cli("convert", f"{my_net}:make", "--images", "digits", "--weights", other)
    assert done.code == 3, done.err
    assert cli("convert", f"{my_net}:make", "--images", "digits", "--weights", my_net.with_name("no.x")).code == 3


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        (
            "two_problems",
            3,
            ["for 2 reasons", "'lif1' (Leaky)", "with beta 0 its reset 'subtract'", "'fc2.1' (ReLU)", "my_net.py:19"],
        ),
        ("sees_through", 4, ["the module and its float network fire differently: first in layer 'lif1' at step 1"]),
        ("number", 3, ["my_net.py:number returns a int", "let it return the torch module"]),
        ("broken", 3, ["my_net.py:broken failed: TypeError"]),
        ("makes", 3, ["there is no 'makes'", "did you mean 'make'?"]),
    ],
)
def test_what_cannot_be_converted_says_why_and_nothing_is_written(
    cli: Cli, my_net: Path, function: str, code: int, said: list[str]
) -> None:
    out = my_net.with_name("mine.nir")
    done = cli("convert", f"{my_net}:{function}", "--images", "digits", "-o", out)
    assert done.code == code, done.err
    assert [text for text in said if text not in done.err] == []
    assert "Traceback" not in done.err
    assert not out.exists()


def test_another_number_of_steps_is_refused(cli: Cli, my_net: Path) -> None:
    done = cli("convert", f"{my_net}:make", "--images", "digits", "-T", 9)
    assert done.code == 3
    assert "it makes 5 time steps, and 9 are asked for" in done.err


def test_a_file_that_is_no_nir_is_a_wrong_call(cli: Cli, my_net: Path) -> None:
    done = cli("convert", f"{my_net}:make", "--images", "digits", "-o", my_net.with_name("mine.onnx"))
    assert done.code == 2
    assert "name the integer network NAME.nir" in done.err


def test_a_module_may_be_named_in_python_too(my_net: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8)).astype(np.uint8)
    named = kdsnn.convert(f"{my_net}:make", pixels, max_disagreement=1)
    given = kdsnn.convert(load_module(f"{my_net}:make"), pixels, max_disagreement=1)
    assert named.network.name == "make"
    assert named.network.fingerprint() == given.network.fingerprint()


def test_from_python(my_net: Path) -> None:
    """Images alone, floats in a range of their own, and classes that are others than the network's."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8)).astype(np.uint8)
    net = load_module(f"{my_net}:make")
    made = kdsnn.convert(net, pixels, max_disagreement=1)
    assert made.quantized.float_accuracy is None
    assert str(made).splitlines()[-1].startswith(f"module → float: {made.module_agreement} · float → integer: ")
    assert made.network.integer
    assert not made.float_network.integer
    path = made.write(my_net.with_name("again.nir"))
    assert read_nir(path).fingerprint() == made.network.fingerprint()
    with pytest.raises(UsageError, match=r"is no \.nir file"):
        made.write(my_net.with_name("again.json"))
    other = kdsnn.convert(load_module(f"{my_net}:of_five_classes"), "digits", max_disagreement=1)
    assert other.network.labels == tuple("01234")
    assert other.quantized.integer_accuracy is None
    with pytest.raises(LoweringError, match="it is in training mode"):
        kdsnn.convert(net.train(), pixels)
    with pytest.raises(VerificationError, match="fire differently"):
        kdsnn.convert(load_module(f"{my_net}:sees_through"), pixels)
    with pytest.raises(InputError):
        kdsnn.convert(net.eval(), "nothing-there.npz")
    with pytest.raises(UsageError, match="convert takes a torch module, not a ndarray"):
        kdsnn.convert(pixels, pixels)  # type: ignore[arg-type]


def test_numbers_that_are_no_pixels_reach_the_module_as_they_are(my_net: Path) -> None:
    from kdsnn.data.datasets import Dataset, Split

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 1, 8, 8)).astype(np.uint8), np.arange(60) % 10
    split = Split(images, labels)
    net = load_module(f"{my_net}:make")
    data = Dataset("signed", split, split, tuple("0123456789"), value_range=(-1.0, 1.0))
    made = kdsnn.convert(net, data, max_disagreement=1)
    with torch.no_grad():
        wanted = net(torch.from_numpy(images / 127.5 - 1).float())[0].sum(0).argmax(1).numpy()
    assert made.quantized.float_accuracy == pytest.approx(float((wanted == labels).mean()))


def test_importing_kdsnn_alone_imports_no_torch() -> None:
    code = "import sys, kdsnn; assert not {'torch', 'numpy'} & set(sys.modules); kdsnn.convert; sys.modules['torch']"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="module 'kdsnn' has no attribute 'convrt'"):
        kdsnn.convrt  # type: ignore[attr-defined]  # noqa: B018
