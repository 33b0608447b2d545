"""What the emulator cannot compute exactly is refused by name, and what it says of a core's resources is ours."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import DoesNotFitError, TargetUnavailableError, UsageError
from kdsnn.hardware.limits import load_hardware
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection, neuron_of
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.nengo_loihi import adapter, limits
from kdsnn.targets.nengo_loihi.adapter import NengoLoihiTarget
from kdsnn.targets.nengo_loihi.environment import NENGO_LOIHI
from kdsnn.targets.placement.place import place
from kdsnn.targets.processes.environments import set_up
from kdsnn.targets.registry import load_target
from kdsnn.testing import example_networks, stimuli
from tests.nengo_loihi.networks import chain, clipping, summing
from tests.nengo_loihi.test_nengo_loihi_exact import agree

TARGET = NengoLoihiTarget()
WHITE = np.full((1, 259), 255, dtype=np.uint8)
ACCUMULATED = "what arrives in a step could reach {}, and wraps at 2097152 on Loihi 1"


def test_what_arrives_in_a_step_fills_21_bits_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    result = agree(summing(1), WHITE)
    assert result.potentials is not None
    assert result.potentials.tolist() == [[2 * 64 * 32_767]]
    beyond = summing(2)
    (violation,) = TARGET.check(beyond)
    assert (violation.where, violation.what) == ("out", ACCUMULATED.format(2**21))
    (violation,) = TARGET.check(summing(-127, exponent=1))  # 258 times 127, twice
    assert violation.what == ACCUMULATED.format(2 * 64 * 258 * 127)
    monkeypatch.setattr(adapter, "violations", lambda _: [])
    with pytest.raises(TargetUnavailableError, match="SimulationError: Overflow in q0"):  # and is no silent wrap
        TARGET.compile(beyond).run(WHITE)


def test_grey_levels_come_with_the_bias_and_need_the_accumulator_where_currents_last() -> None:
    levels = summing(0, bits=2, steps=1)  # three times as much, at most
    agree(levels, stimuli(levels))
    (violation,) = TARGET.check(summing(0, bits=2, steps=1, decay_u=4000))
    assert violation.what == ACCUMULATED.format(3 * 64 * 258 * 127)


def test_current_and_bias_together_have_23_bits() -> None:
    """Where a potential clips, no other proof is left of this sum; a current that lasts can grow so far."""
    network = clipping()
    middle = network.population("middle")
    lasting = replace(neuron_of(middle), decay_u=1, bias=np.array([-4096]), bias_exponent=7)

    def with_steps(steps: int) -> Network:
        populations = tuple(replace(p, model=lasting) if p is middle else p for p in network.populations)
        return replace(network, populations=populations, timesteps=steps)

    assert TARGET.check(with_steps(3)) == []
    (violation,) = TARGET.check(with_steps(4))
    assert violation.where == "middle"
    assert violation.what == "current and bias together could reach 8844312, and wrap at 8388608 on Loihi 1"


def test_other_resets_float_networks_unequal_paths_and_overflows_are_refused() -> None:
    network = next(n for n in example_networks() if n.name == "no-reset")
    with pytest.raises(DoesNotFitError, match="'no-reset' does not fit target 'nengo-loihi'"):
        ensure_runnable(TARGET, network)
    image = example_networks()[0]
    louder = replace(image.projections[0], exponent=7)
    found = TARGET.check(replace(image, projections=(louder, *image.projections[1:])))
    assert [violation.where for violation in found] == [louder.target]
    assert "its current could reach" in found[0].what
    one, neuron = np.ones((2, 2), dtype=np.int64), Neuron(1, np.zeros(2, dtype=np.int64))
    populations = (Population("in", (2,), Input(1)), Population("mid", (2,), neuron), Population("out", (2,), neuron))
    pairs = [("in", "mid"), ("in", "out"), ("mid", "out")]
    projections = tuple(Projection(source, target, Dense(one)) for source, target in pairs)
    (violation,) = TARGET.check(Network("shortcut", populations, projections, 4, ("a", "b"), integer=True))
    assert (violation.where, "on Loihi" in violation.what) == ("in->out", True)
    floats = replace(populations[2], model=Neuron(1.5, np.zeros(2), decay_u=1.0))
    made = Network("f", (populations[0], floats), (Projection("in", "out", Dense(one)),), 2, ("a", "b"), integer=False)
    (violation,) = TARGET.check(made)
    assert "float" in violation.what


def test_too_many_synapses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SYNAPSES", 1000)
    (violation,) = TARGET.check(example_networks()[0])
    assert violation.where == "image"
    assert "takes 1,000 at most" in violation.what


def test_impossible_lanes_are_refused() -> None:
    with pytest.raises(UsageError, match="lanes must be 0, which chooses, or more, not -1"):
        NengoLoihiTarget(lanes=-1)
    assert load_target("nengo-loihi", {"lanes": "3"}).settings == {"lanes": "3"}


@pytest.mark.parametrize("convolution", [True, False])
def test_it_occupies_what_our_placement_says_where_nothing_is_shared(convolution: bool) -> None:
    """nengo-loihi's `utilization()`, beside the placer's sums: each population on one core, 513 to 1,024 neurons."""
    rng = np.random.default_rng(0)
    entry = Population("in", (2, 9, 16) if convolution else (96,), Input(1))
    op = (
        Conv2d(rng.integers(-9, 10, (12, 2, 3, 3)), (1, 2), (1, 1))
        if convolution
        else Dense(rng.integers(-9, 10, (800, 96)))
    )
    shape = op.output_shape(entry.shape)
    hidden, out = (
        Population(f"n{n}", s, Neuron(5, np.zeros(n, dtype=np.int64))) for n, s in ((prod(shape), shape), (20, (20,)))
    )
    network = chain((entry, hidden, out), [op, Dense(rng.integers(-9, 10, (20, hidden.neurons)))], [0, 0], 2)
    loihi1 = load_hardware("loihi1")
    alone = loihi1.model_copy(update={"synapses": loihi1.synapses.model_copy(update={"shared": False})})
    placed = place(network, alone)
    assert placed.cores == 2
    notes = TARGET.compile(network).run(stimuli(network)).notes
    assert [notes[name] for name in ("compartments", "in_axons", "out_axons", "synapse_bits")] == [
        placed.total(name) for name in ("neurons", "input_axons", "output_axons", "synaptic_memory")
    ]
    shared = place(network, loihi1).total("synaptic_memory")
    assert (shared < placed.total("synaptic_memory")) == convolution


def test_without_its_environment_it_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_CACHE", str(tmp_path))
    monkeypatch.delenv("KDSNN_NENGO_LOIHI_PYTHON", raising=False)
    availability = TARGET.probe()
    assert not availability.available
    assert availability.hint == "run: kdsnn setup nengo-loihi"
    with pytest.raises(
        TargetUnavailableError,
        match=r"its Python 3\.10 environment is not set up",
    ):
        TARGET.compile(example_networks()[0])


def test_a_named_python_must_be_the_one_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_NENGO_LOIHI_PYTHON", sys.executable)
    with pytest.raises(TargetUnavailableError, match=r"KDSNN_NENGO_LOIHI_PYTHON is .* not 3\.10"):
        set_up(NENGO_LOIHI)
