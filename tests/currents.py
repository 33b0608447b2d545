"""A student whose neurons keep a current and have biases, on real digits."""

import snntorch
import torch
from torch import nn

from kdsnn.data.datasets import Split, load_dataset
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.neurons import MultiStep, Repeat
from kdsnn.network import Network


def currents_with_biases() -> tuple[Network, Split]:
    """The integer network, and the images that it can be shown."""
    torch.manual_seed(0)
    cells = [snntorch.Synaptic(0.6, 0.8, 0.3, reset_mechanism="zero", reset_delay=False) for _ in range(3)]
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), Repeat(4), MultiStep(4, cells[0])),
        *(nn.Conv2d(4, 4, 3, stride=2), nn.BatchNorm2d(4), MultiStep(4, cells[1])),
        *(nn.Flatten(), nn.Linear(36, 10), MultiStep(4, cells[2])),
    )
    test = load_dataset("digits").test
    labels = [str(i) for i in range(10)]
    lowered = balance(lower(model.eval(), input_shape=(1, 8, 8), timesteps=4, labels=labels))
    network, _ = quantize(lowered, calibration=test.images[:16])
    return network, test
