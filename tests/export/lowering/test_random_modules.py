"""Random modules against torch itself: the float network fires as the module does, or it is refused by name."""

from collections import Counter

import numpy as np
import pytest
import snntorch
import torch

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.lower import lower_module
from kdsnn.export.lowering.module_agreement import check_module, trial_images
from tests.export.lowering.random_modules import REFUSED, Net, T, random_module
from tests.oracles import simulate_float

SEEDS, FEW = 500, 60
IMAGES = 6


def run(net: Net, pixels: torch.Tensor) -> np.ndarray:
    """What the module puts out, run by torch from rest: spikes `(N, T, classes)`, or their sum `(N, classes)`."""
    images = len(pixels)
    for layer in net.modules():
        if isinstance(layer, snntorch.SpikingNeuron):
            layer.reset_mem()
    net.states.clear()
    with torch.no_grad():
        if net.once_a_step:
            out = torch.stack([net(pixels[:, step] if net.in_time else pixels) for step in range(T)])
        else:
            out = net(pixels.transpose(0, 1) if net.in_time else pixels)
    if isinstance(out, dict):
        out = out["spikes"]
    out = out[0] if isinstance(out, tuple) else torch.stack(out) if isinstance(out, list) else out
    if out.numel() == T * images * 4:
        return out.reshape(T, images, -1).transpose(0, 1).numpy()
    return out.numpy()


def examine(seed: int) -> tuple[str, set[str]]:
    """Whether a module was refused, or is `equal` or `silent`; and its forms."""
    net, shape, forms = random_module(seed)
    net = net.double() if "half" not in forms else net
    images = trial_images((T, *shape) if net.in_time else shape, IMAGES, seed)
    try:
        lowered = lower_module(net, input_shape=shape, timesteps=T, labels=None, in_time=net.in_time)
    except LoweringError as error:
        scaled_pool = "maximum of spikes" in str(error) and forms & {"hooked neuron", "half as much"}
        if not (forms & REFUSED or scaled_pool):
            pytest.fail(f"{seed}: {sorted(forms)} was refused: {error}")
        return "refused", forms
    wanted = run(net, torch.from_numpy(images).double() / 255)
    network = lowered.network
    made = simulate_float(network, images)[network.output.name].reshape(IMAGES, T, -1).astype(float)
    if net.returns == "mean":
        wanted = wanted * T
    if network.readout == "membrane":  # the last neuron has a hook that halves its spikes
        assert "hooked neuron" in forms
        made = np.diff(made, axis=1, prepend=0)
    made = made if wanted.ndim == 3 else made.sum(axis=1)
    np.testing.assert_allclose(wanted, made, atol=1e-6, err_msg=f"{seed}: {sorted(forms)}")  # sums are divided by T
    assert not forms & REFUSED, f"{seed}: {forms & REFUSED} was carried"
    if seed % 5 == 0:
        lowered = lower_module(net.float(), input_shape=shape, timesteps=T, labels=None, in_time=net.in_time)
        check_module(net, lowered, lowered.network, images)
    return ("equal" if made.any() else "silent"), forms


def examine_all(seeds: range) -> None:
    found: Counter[str] = Counter()
    carried: set[str] = set()
    seen: set[str] = set()
    for seed in seeds:
        what, forms = examine(seed)
        found[what] += 1
        seen |= forms
        carried |= forms if what == "equal" else set()
    assert found["equal"] >= 0.5 * len(seeds), found
    assert found["refused"] >= 0.1 * len(seeds), found
    assert carried == seen - REFUSED
    assert seen >= REFUSED


@pytest.mark.parametrize("begin", range(0, FEW, 20))
def test_a_few_random_modules(begin: int) -> None:
    """All that mutation testing has time for."""
    found = [examine(seed)[0] for seed in range(begin, begin + 20)]
    assert found.count("equal") >= 10


def test_random_modules_fire_as_torch_says_or_are_refused() -> None:
    examine_all(range(SEEDS))


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_many_random_modules() -> None:
    examine_all(range(SEEDS, SEEDS + 5000))
