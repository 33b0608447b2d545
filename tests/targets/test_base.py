"""The registry of targets, and what a plug-in that misbehaves does to it."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from kdsnn import registry
from kdsnn.errors import (
    DoesNotFitError,
    NetworkError,
    PluginError,
    TargetUnavailableError,
    UsageError,
)
from kdsnn.evaluation import evaluate
from kdsnn.network import Network
from kdsnn.network.features import CURRENT, GRADED_INPUT, LEAK, MEMBRANE_READOUT
from kdsnn.targets import base
from kdsnn.targets.base import Availability, Violation
from kdsnn.targets.fitting import ensure_runnable, violations
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget
from kdsnn.targets.registry import load_target, probe_all, target_names
from kdsnn.testing import example_networks, random_images
from tests.network.test_overflow import single


class RaisingProbe(ReferenceTarget):
    name = "raising"

    def probe(self) -> Availability:
        raise RuntimeError("no chip")


class Missing(ReferenceTarget):
    name = "missing"

    def probe(self) -> Availability:
        return Availability(False, "no board found", "plug it in")


class Chip(ReferenceTarget):
    """A plug-in's target, with options of many types."""

    name = "chip"

    def __init__(
        self,
        board: int,
        speed: float | None = None,
        mode: Literal["fast", "exact"] = "exact",
        folder: Path = Path(),
        *,
        verbose: bool = False,
        title="plain",
    ) -> None:
        self.board, self.speed, self.mode, self.folder = board, speed, mode, folder
        self.verbose, self.title = verbose, title


def register(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = EntryPoints(EntryPoint(name.split("__")[0], value, "kdsnn.targets") for name, value in values.items())
    monkeypatch.setattr(registry, "_entry_points", lambda group: points.select(group=group))


def test_ours_are_registered() -> None:
    assert {"reference", "gpu", "lava", "nengo-loihi", "onnx", "sanafe"} <= set(target_names())


@pytest.mark.parametrize("name", target_names())
def test_each_is_registered_under_its_own_name(name: str) -> None:
    assert load_target(name).name == name


@pytest.mark.parametrize("name", target_names())
def test_none_has_a_method_outside_the_protocol(name: str) -> None:
    own = {key for kind in type(load_target(name)).__mro__ for key in vars(kind) if not key.startswith("_")}
    assert own <= {*vars(base.Target), *base.Target.__annotations__, *vars(object)}


def test_a_target_with_another_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its evaluations would be kept as the other's: it is easily forgotten where a class is derived from ours."""
    register(monkeypatch, board=f"{__name__}:Missing")
    with pytest.raises(PluginError, match="target 'board' calls itself 'missing'") as wrong:
        load_target("board")
    assert "name = 'board'" in wrong.value.hint
    assert "calls itself 'missing'" in probe_all()["board"].detail


def test_an_unknown_target_suggests_a_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'lava'"):
        load_target("larva")
    with pytest.raises(UsageError, match="targets are: gpu, lava, nengo-loihi, onnx, reference"):
        load_target("spinnaker2")


def test_options_reach_the_constructor_and_wrong_ones_are_named() -> None:
    assert load_target("gpu", {"device": "cpu"}).device == "cpu"
    assert load_target("lava", {"stock": "true"}).stock is True
    with pytest.raises(UsageError, match="no option 'devise'"):
        load_target("gpu", {"devise": "cpu"})
    with pytest.raises(UsageError, match=r"option 'stock' of target 'lava': .* boolean.*, not 'maybe'"):
        load_target("lava", {"stock": "maybe"})
    assert load_target("lava", {"workers": "3"}).workers == 3
    with pytest.raises(UsageError, match=r"option 'workers' of target 'lava': .* integer.*, not 'many'"):
        load_target("lava", {"workers": "many"})


def test_options_of_a_plugin_become_what_its_constructor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, chip=f"{__name__}:Chip")
    made = load_target("chip", {"board": "3", "speed": "0.5", "mode": "fast", "folder": "a/b", "verbose": "true"})
    assert (made.board, made.speed, made.mode, made.folder) == (3, 0.5, "fast", Path("a/b"))
    assert (made.verbose, made.title) == (True, "plain")
    assert load_target("chip", {"board": "3", "title": "7"}).title == "7"
    assert load_target("chip", {"board": "3"}).speed is None


def test_all_wrong_options_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, chip=f"{__name__}:Chip")
    with pytest.raises(UsageError, match="options of target 'chip' are wrong") as wrong:
        load_target("chip", {"speed": "quick", "mode": "slow", "colour": "red"})
    assert [problem.split(":")[0] for problem in wrong.value.problems] == [
        "target 'chip' needs the option 'board'",
        "option 'speed' of target 'chip'",
        "option 'mode' of target 'chip'",
        "target 'chip' has no option 'colour'",
    ]
    assert wrong.value.hint == "its options are: board, speed, mode, folder, verbose, title"


def test_a_broken_plugin_is_unavailable_and_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, gone="no.such.module:Target", raising=f"{__name__}:RaisingProbe", chip=f"{__name__}:Chip")
    found = probe_all()
    assert found["reference"].available
    assert "cannot be loaded" in found["gone"].detail
    assert "its probe raised RuntimeError: no chip" in found["raising"].detail
    assert "needs the option 'board'" in found["chip"].detail
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        load_target("gone")


def test_two_plugins_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, chip__1="a:T", chip__2="b:T")
    with pytest.raises(UsageError, match="two installed packages"):
        target_names()
    register(monkeypatch, lava="mine:Lava")
    with pytest.raises(UsageError, match="two installed packages register the target 'lava'"):
        target_names()


class Plain(ReferenceTarget):
    """A target of before there were features: it declares none."""

    name = "plain"
    features = frozenset()

    def compile(self, network: Network) -> ReferenceProgram:
        ensure_runnable(self, network)
        return super().compile(network)


USES = {
    "image": {GRADED_INPUT},
    "leaky": {GRADED_INPUT, LEAK, CURRENT},
    "spikes-in": set(),
    "integrator": {GRADED_INPUT, MEMBRANE_READOUT},
}


@pytest.mark.parametrize(("name", "features"), USES.items())
def test_what_a_target_has_not_declared_is_refused_by_name(name: str, features: set[str]) -> None:
    network = next(n for n in example_networks() if n.name == name)
    assert network.features == features
    assert violations(ReferenceTarget(), network) == []
    found = violations(Plain(), network)
    assert [v.what.split("'")[1] for v in found] == sorted(features)
    if features:
        with pytest.raises(DoesNotFitError, match="does not fit target 'plain'") as refused:
            ensure_runnable(Plain(), network)
        assert refused.value.exit_code == 5
        with pytest.raises(DoesNotFitError):
            evaluate(network, Plain(), random_images(network, 2))


def test_a_network_must_be_integer_and_fit_and_the_target_there(integer_network: Network) -> None:
    ensure_runnable(ReferenceTarget(), integer_network)
    with pytest.raises(TargetUnavailableError, match="no board found") as lost:
        ensure_runnable(Missing(), integer_network)
    assert "plug it in" in str(lost.value)
    too_large = single([[127] * 5], timesteps=1)
    with pytest.raises(DoesNotFitError, match="wraps at"):
        ensure_runnable(ReferenceTarget(), too_large)
    assert ReferenceTarget().check(too_large) == [
        Violation("out", "its current could reach 10363200, and wraps at 8388608")
    ]


def test_a_float_network_is_sent_to_quantization(float_network: Network) -> None:
    with pytest.raises(NetworkError, match="kdsnn quantize"):
        ensure_runnable(ReferenceTarget(), float_network)


def test_prediction_of_spike_trains() -> None:
    trains = np.zeros((3, 4, 3), np.uint8)
    trains[0, :2, 2] = 1
    trains[1, 0, 1] = trains[1, 3, 2] = 1
    assert base.predict(trains).tolist() == [2, 1, 0]


@pytest.fixture
def integer_network() -> Network:
    return example_networks()[0]
