"""Random neurons of snnTorch, as they come: resets of every kind, thresholds, and neurons that feed themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import snntorch
import torch
from torch import nn

from kdsnn.models.neurons import MultiStep
from tests.export.lowering.random_nets import LOOPS, Net, OwnLeaky, Step, T

FEED_THEMSELVES = ("RLeaky", "RSynaptic", "one to one")


def step_function(v: torch.Tensor) -> torch.Tensor:
    """A spike in the format of the potential: snnTorch's own are float32, which recurrent layers in float64 refuse."""
    return (v > 0).to(v.dtype)


class NeuronMaker:
    """Draws neurons for a net."""

    rng: np.random.Generator
    net: Net
    shape: tuple[int, ...]
    forms: set[str]

    def one(self, *choices: str, trap: Iterable[str] = (), often: float = 0.06) -> str:
        """A form; now and then one that must be refused."""
        traps = list(trap)
        if traps and self.rng.random() < often:
            choices = tuple(traps)
        chosen = str(self.rng.choice(choices))
        self.forms.add(chosen)
        return chosen

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def neuron(self) -> Step:
        style = self.net.style
        forms = ["Leaky", "no leak", "early reset", "learned", "threshold vector", "Synaptic", "other gradient",
                 "hooked neuron", "subtract", "none", "changed reset", "subtract from a current"]  # fmt: skip
        traps = ["own neuron", "graded spikes", "quantized state", "beta vector", "Lapicque", "late reset of a current",
                 "early subtraction", "beta zero"]  # fmt: skip
        if self.shape[0] == 1:
            traps.remove("beta vector")
        if style != "folded":
            forms += FEED_THEMSELVES
            traps.append("late reset of a loop")
        if style == "loop":
            forms += ["recurrence", "written recurrence"]
            traps += 2 * ["longer loop", "delay", "state as drive", "rests again"]
        form = self.one(*forms, trap=traps)
        cell = self.cell(form)
        if form == "hooked neuron":
            cell.register_forward_hook(
                lambda _m, _a, out: (0.5 * out[0], *out[1:]) if isinstance(out, tuple) else 0.5 * out
            )
        if style == "folded":
            if type(cell) not in (snntorch.Leaky, snntorch.Synaptic):
                cell = snntorch.Leaky(0.9, threshold=0.4, graded_spikes_factor=2.0)
            return self.net.neuron(MultiStep(T, cell))
        loops = {"recurrence": self.loop, "written recurrence": self.written, "state as drive": self.state_as_drive,
                 "longer loop": self.longer_loop, "delay": self.delay}  # fmt: skip
        if form == "rests again":
            self.net.add(cell)
            return lambda x: cell(x, cell.reset_mem())[0].to(x.dtype)
        if form in loops:
            self.net.add(cell)
            return loops[form](cell)
        return self.net.neuron(cell)

    def cell(self, form: str) -> Any:
        hidden = self.net.style in ("hidden loop", "step")
        settings: dict[str, Any] = {"threshold": float(self.rng.uniform(0.2, 0.6)), "init_hidden": hidden}
        settings["reset_mechanism"] = str(self.rng.choice(["zero", "subtract", "none"]))
        settings["beta"] = float(self.rng.uniform(0.5, 0.95))
        settings["output"] = self.net.style == "hidden loop" and self.chance(0.3)
        column = (self.shape[0], *([1] * (len(self.shape) - 1)))
        image = len(self.shape) == 3
        recurrent: dict[str, Any] = {"spike_grad": step_function}
        recurrent |= (
            {"conv2d_channels": self.shape[0], "kernel_size": 3} if image else {"linear_features": self.shape[0]}
        )
        soft = {"reset_mechanism": str(self.rng.choice(["subtract", "none"]))}
        zero = {"reset_mechanism": "zero"}
        changes: dict[str, dict[str, Any]] = {
            "no leak": {"beta": 1.0},
            "early reset": zero | {"reset_delay": False},
            "learned": {"learn_beta": True, "learn_threshold": True},
            "threshold vector": {"threshold": torch.rand(column) * 0.4 + 0.2},
            "other gradient": {"spike_grad": snntorch.surrogate.fast_sigmoid(slope=10)},
            "beta vector": {"beta": torch.linspace(0.4, 0.9, self.shape[0]).reshape(column)},
            "beta zero": {"beta": 0.0, "reset_mechanism": "subtract"},
            "subtract": {"reset_mechanism": "subtract"},
            "none": {"reset_mechanism": "none"},
            "graded spikes": {"graded_spikes_factor": 2.0},
            "quantized state": {"state_quant": lambda mem: torch.round(8 * mem) / 8},
            "Synaptic": {"alpha": 0.6, "reset_delay": False} | zero,
            "late reset of a current": {"alpha": 0.6} | zero,
            "subtract from a current": {"alpha": 0.6} | soft,
            "changed reset": {"reset_mechanism": "subtract"},
            "early subtraction": {"reset_mechanism": "subtract", "reset_delay": False, "threshold": 1e-3},
            "RLeaky": recurrent | ({"reset_delay": False} | zero if self.chance(0.3) else soft),
            "RSynaptic": recurrent | {"alpha": 0.6} | soft,
            "one to one": {"V": torch.rand(column) - 0.3, "all_to_all": False, "spike_grad": step_function} | soft,
            "late reset of a loop": recurrent | zero,
        }
        kinds: dict[str, Any] = {
            **dict.fromkeys(("Synaptic", "late reset of a current", "subtract from a current"), snntorch.Synaptic),
            **dict.fromkeys(("RLeaky", "one to one", "late reset of a loop"), snntorch.RLeaky),
            "RSynaptic": snntorch.RSynaptic,
            "own neuron": OwnLeaky,
            "Lapicque": snntorch.Lapicque,
        }
        cell = kinds.get(form, snntorch.Leaky)(**settings | changes.get(form, {}))
        if form == "changed reset":
            cell.reset_mechanism = "zero"  # which changes nothing: its function is chosen when it is made
        assert isinstance(cell, LOOPS) == (form in (*FEED_THEMSELVES, "late reset of a loop"))
        return cell

    # Steps that people write themselves around a neuron.

    def loop(self, cell: Any) -> Step:
        """It is driven by its own spikes of the step before, a third of each."""
        return self.from_before(cell, lambda x, spikes, _potential: x + 0.3 * spikes)

    def state_as_drive(self, cell: Any) -> Step:
        return self.from_before(cell, lambda x, _spikes, potential: x + 0.3 * potential)

    def from_before(self, cell: Any, driven: Any) -> Step:
        net = self.net

        def step(x: torch.Tensor) -> torch.Tensor:
            before = net.states.get(id(cell))
            made = cell(x, cell.reset_mem()) if before is None else cell(driven(x, *before), before[1])
            net.states[id(cell)] = list(made)
            return made[0].to(x.dtype)

        return step

    def written(self, cell: Any) -> Step:
        """Its own spikes come through a layer with a bias, which is there at the first step, too."""
        net, size = self.net, self.shape[0]
        layer: nn.Module = nn.Conv2d(size, size, 3, padding=1) if len(self.shape) == 3 else nn.Linear(size, size)
        net.add(layer)
        doubled = self.chance(0.3)

        def step(x: torch.Tensor) -> torch.Tensor:
            spikes, potential = net.states.get(id(cell)) or (torch.zeros_like(x), cell.reset_mem())
            drive = x + layer(spikes.to(x.dtype))
            spikes, potential = cell(2 * drive + 0.1 if doubled else drive, potential)
            net.states[id(cell)] = [spikes, potential]
            return spikes.to(x.dtype)

        return step

    def longer_loop(self, cell: Any) -> Step:
        """Two neurons that drive each other."""
        second = self.net.add(snntorch.Leaky(0.9, threshold=0.4))
        net = self.net

        def step(x: torch.Tensor) -> torch.Tensor:
            before = net.states.get(id(cell))
            last, mem, mem2 = before or (None, cell.reset_mem(), second.reset_mem())
            spikes, mem = cell(x if last is None else x + 0.3 * last, mem)
            last, mem2 = second(spikes.to(x.dtype), mem2)
            net.states[id(cell)] = [last.to(x.dtype), mem, mem2]
            return net.states[id(cell)][0]

        return step

    def delay(self, cell: Any) -> Step:
        """Its spikes go on a step later."""
        second = self.net.add(snntorch.Leaky(0.9, threshold=0.4))
        net = self.net

        def step(x: torch.Tensor) -> torch.Tensor:
            before = net.states.get(id(cell))
            last, mem, mem2 = before or (torch.zeros_like(x), cell.reset_mem(), second.reset_mem())
            spikes, mem = cell(x, mem)
            out, mem2 = second(0.8 * last + 0.1 * spikes.to(x.dtype), mem2)
            net.states[id(cell)] = [spikes.to(x.dtype), mem, mem2]
            return out.to(x.dtype)

        return step
