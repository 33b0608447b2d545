"""The conformance suite fails what is wrong, at the stage where it is wrong, and never passes a target untried."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kdsnn.errors import ConformanceError, TargetUnavailableError
from kdsnn.network import Network, neuron_of
from kdsnn.network.features import (
    CLIPPING,
    CURRENT,
    FEATURES,
    GRADED_INPUT,
    INPUT_IN_TIME,
    LEAK,
    MEMBRANE_READOUT,
    RECURRENCE,
    SUBTRACT_RESET,
)
from kdsnn.targets.base import Availability, Computed, Target, Violation
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget
from kdsnn.testing import STAGES, Conformance, check_target, example_networks, stimuli
from tests.oracles import simulate_integer

NETWORKS = example_networks()


def tried(target: Target, networks: list[Network] = NETWORKS[:4]) -> Conformance:
    return check_target(target, networks)


class Careful(ReferenceTarget):
    """The reference, which compiles only what fits it; what a program computes may be changed."""

    name = "careful"
    change: Callable[[np.ndarray, Computed], Computed] = staticmethod(lambda _, computed: computed)

    def compile(self, network: Network) -> ReferenceProgram:
        ensure_runnable(self, network)
        change = self.change

        class Program(ReferenceProgram):
            def compute(self, images: np.ndarray, *rest: Any) -> Computed:
                return change(images, super().compute(images, *rest))

        return Program(network)


def test_what_is_not_declared_is_refused_with_its_reason_and_the_rest_must_pass() -> None:
    class Plain(Careful):
        features = frozenset()

    result = check_target(Plain())
    assert list(result.passed) == ["spikes-in", "wide"]
    assert list(result.refused) == [n.name for n in NETWORKS if n.name not in result.passed]
    assert (
        result.refused["image"]
        == f"image: uses 'graded-input' ({FEATURES[GRADED_INPUT]}), which target 'careful' does not have"
    )
    assert "uses 'clipping'" in result.refused["clipping"]
    assert result.unproven == frozenset()


def test_what_is_declared_and_was_in_no_network_is_said() -> None:
    class Narrow(Careful):
        """It declares everything, and has a limit that only one network keeps."""

        def check(self, network: Network) -> list[Violation]:
            return [] if network.name == "image" else [Violation(network.name, "is too green")]

    result = tried(Narrow())
    assert result.passed == ("image",)
    assert result.refused["leaky"] == "leaky: is too green"
    assert result.unproven == FEATURES.keys() - {GRADED_INPUT}
    assert tried(Careful(), NETWORKS).unproven == frozenset()


def test_all_refused_is_no_success() -> None:
    class Refusing(Careful):
        def check(self, network: Network) -> list[Violation]:
            return [Violation(network.name, "is too green")]

    with pytest.raises(ConformanceError, match="refuses all 4 networks, so that nothing was proven") as failed:
        tried(Refusing())
    assert (failed.value.stage, failed.value.exit_code) == ("check", 4)
    assert failed.value.problems[0] == "image: image: is too green"
    with pytest.raises(ConformanceError, match="refuses all 0 networks"):
        tried(Careful(), [])


IGNORED: dict[str, Callable[[Network, np.ndarray], tuple[Network, np.ndarray]]] = {
    LEAK: lambda network, images: (changed(network, decay_v=0), images),
    CURRENT: lambda network, images: (changed(network, decay_u=4096), images),
    GRADED_INPUT: lambda network, images: (network, np.where(images > 0, np.uint8(255), images)),
    CLIPPING: lambda network, images: (changed(network, clips=False), images),
    INPUT_IN_TIME: lambda network, images: (network, np.broadcast_to(images[:, :1], images.shape)),
    SUBTRACT_RESET: lambda network, images: (changed(network, reset_by=None), images),
    RECURRENCE: lambda network, images: (
        replace(network, projections=tuple(p for p in network.projections if not p.recurrent)),
        images,
    ),
}


def changed(network: Network, **fields: Any) -> Network:
    """The same, with neurons of these fields."""
    spiking = [replace(p, model=replace(neuron_of(p), **fields)) for p in network.spiking]
    return replace(network, populations=(network.input, *spiking))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_a_machine_that_ignores_a_feature_fails_on_every_network_that_uses_it(network: Network) -> None:
    """By the oracle: a network in which a feature makes no difference would pass such a machine."""
    assert FEATURES.keys() - IGNORED.keys() == {MEMBRANE_READOUT}  # whose potential is compared
    images = stimuli(network)
    trains, potentials = simulate_integer(network, images)
    for feature in network.features & IGNORED.keys():
        other, potentials_of_other = simulate_integer(*IGNORED[feature](network, images))
        differ = [name for name, train in trains.items() if not np.array_equal(train, other[name])]
        if network.readout == "membrane" and not np.array_equal(potentials, potentials_of_other):
            differ.append("read potentials")
        assert differ, feature


def raising(*_: object) -> Any:
    raise ZeroDivisionError("seven")


def silent(_: object, computed: Computed) -> Computed:
    return replace(computed, spikes={name: train * 0 for name, train in computed.spikes.items()})


def one_more(_: object, computed: Computed) -> Computed:
    first = replace(computed.counts.layers[0], spikes=computed.counts.layers[0].spikes + 1)
    return replace(computed, counts=replace(computed.counts, layers=(first, *computed.counts.layers[1:])))


def second_run() -> Callable[[object, Computed], Computed]:
    runs: list[int] = []

    def change(images: object, computed: Computed) -> Computed:
        runs.append(1)
        return silent(images, computed) if len(runs) == 2 else computed

    return change


def alone(images: np.ndarray, computed: Computed) -> Computed:
    return silent(images, computed) if len(images) == 1 else computed


RAISED = "target 'careful' raised ZeroDivisionError: seven"
UNDECLARED = {"features": frozenset()}
FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("probe", {"probe": raising}, RAISED),
    ("check", {"check": raising}, f"network 'image': {RAISED}"),
    ("refuse", UNDECLARED | {"compile": raising}, f"network 'image': {RAISED}"),
    ("refuse", UNDECLARED | {"compile": ReferenceTarget.compile}, "compiles network 'image', which does not fit it: "),
    ("compile", {"compile": raising}, f"network 'image': {RAISED}"),
    ("run", {"change": staticmethod(raising)}, f"network 'image', in one batch: {RAISED}"),
    ("run", {"change": staticmethod(lambda *_: None)}, "target 'careful' raised AttributeError"),
    ("compare", {"change": staticmethod(silent)}, "in one batch: target 'careful' differs from the reference in"),
    ("compare", {"change": staticmethod(one_more)}, "in one batch: target 'careful' counted spikes = "),
    ("compare", {"change": staticmethod(second_run())}, "in a second run: target 'careful' differs"),
    ("compare", {"change": staticmethod(alone)}, "of one image alone: target 'careful' differs"),
]


@pytest.mark.parametrize(("stage", "broken", "said"), FAULTS)
def test_each_fault_is_found_at_its_stage(stage: str, broken: dict[str, Any], said: str) -> None:
    assert stage in STAGES
    with pytest.raises(ConformanceError) as failed:
        tried(type("Broken", (Careful,), broken)())
    assert failed.value.stage == stage
    assert failed.value.message.startswith(f"stage {stage!r}: ")
    assert said in failed.value.message
    again = pickle.loads(pickle.dumps(failed.value))  # noqa: S301  our own, made here
    assert (again.stage, again.message) == (stage, failed.value.message)


def test_a_later_network_is_named() -> None:
    class Leaking(Careful):
        def compile(self, network: Network) -> ReferenceProgram:
            if network.name == "leaky":
                raise RuntimeError("no leak yet")
            return super().compile(network)

    with pytest.raises(ConformanceError, match=r"stage 'compile': network 'leaky': .* RuntimeError: no leak yet"):
        tried(Leaking())


def test_a_target_that_cannot_run_here_is_no_fault_of_it() -> None:
    class Missing(Careful):
        def probe(self) -> Availability:
            return Availability(False, "no board found", "plug it in")

    with pytest.raises(
        TargetUnavailableError, match="stage 'probe': target 'careful' is not available: no board"
    ) as lost:
        tried(Missing())
    assert (lost.value.hint, lost.value.exit_code) == ("plug it in", 6)
