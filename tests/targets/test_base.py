"""The registry of targets, and what a plug-in that misbehaves does to it."""

from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

from kdsnn.errors import DoesNotFitError, NetworkError, TargetUnavailableError, UsageError
from kdsnn.network import Network
from kdsnn.targets import base
from kdsnn.targets.base import Availability, Violation, ensure_runnable, load_target, probe_all, target_names
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import example_networks
from tests.network.test_overflow import single


class RaisingProbe(ReferenceTarget):
    def probe(self) -> Availability:
        raise RuntimeError("no chip")


class Missing(ReferenceTarget):
    name = "missing"

    def probe(self) -> Availability:
        return Availability(False, "no board found", "plug it in")


def register(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = EntryPoints(
        EntryPoint(name.split("__")[0], value, base.ENTRY_POINT_GROUP) for name, value in values.items()
    )
    monkeypatch.setattr(base, "entry_points", lambda group: points.select(group=group))


def test_ours_are_registered() -> None:
    assert {"reference", "gpu", "lava"} <= set(target_names())


def test_an_unknown_target_suggests_a_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'lava'"):
        load_target("larva")
    with pytest.raises(UsageError, match="targets are: gpu, lava, onnx, reference"):
        load_target("spinnaker2")


def test_options_reach_the_constructor_and_wrong_ones_are_named() -> None:
    assert load_target("gpu", {"device": "cpu"}).device == "cpu"
    assert load_target("lava", {"stock": "true"}).stock is True
    with pytest.raises(UsageError, match="no option 'devise'"):
        load_target("gpu", {"devise": "cpu"})
    with pytest.raises(UsageError, match="is true or false"):
        load_target("lava", {"stock": "maybe"})
    assert load_target("lava", {"workers": "3"}).workers == 3
    with pytest.raises(UsageError, match="is of type int, not 'many'"):
        load_target("lava", {"workers": "many"})


def test_a_broken_plugin_is_unavailable_and_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    register(
        monkeypatch,
        gone="no.such.module:Target",
        raising=f"{__name__}:RaisingProbe",
        reference="kdsnn.targets.reference:ReferenceTarget",
    )
    found = probe_all()
    assert found["reference"].available
    assert "cannot be loaded" in found["gone"].detail
    assert "its probe raised RuntimeError: no chip" in found["raising"].detail
    with pytest.raises(TargetUnavailableError, match="ModuleNotFoundError"):
        load_target("gone")


def test_two_plugins_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, chip__1="a:T", chip__2="b:T")
    with pytest.raises(UsageError, match="two installed packages"):
        target_names()


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
