"""The shared vocabulary: validation says everything at once, and the fingerprint is of what decides a spike."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import NetworkError
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.testing import example_networks, random_network


def tiny(**changes: object) -> Network:
    fields = {
        "name": "tiny",
        "populations": (
            Population("input", (1, 2, 2), Input()),
            Population("out", (2,), Neuron(10, np.zeros(2, dtype=np.int64))),
        ),
        "projections": (Projection("input", "out", Dense(np.arange(8).reshape(2, 4))),),
        "timesteps": 4,
        "labels": ("a", "b"),
        "integer": True,
    }
    return Network(**{**fields, **changes})


def with_neuron(**changes: object) -> tuple[Population, Population]:
    first, second = tiny().populations
    return first, replace(second, model=replace(second.model, **changes))


def test_depths_and_lookup() -> None:
    network = next(n for n in example_networks() if n.name == "two-paths")
    assert network.depths == {"input": 0, "left": 1, "right": 1, "joined": 2, "out": 3}
    assert network.population("joined").neurons == 120
    assert [p.name for p in network.incoming("joined")] == ["left->joined", "right->joined"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"timesteps": 0}, "timesteps must be from 1 to 65535"),
        ({"labels": ("a",)}, "2 output neurons do not match 1 labels"),
        ({"projections": ()}, "'out' has no incoming projection"),
        ({"projections": (Projection("input", "nowhere", Dense(np.zeros((2, 4), int))),)}, "does not exist"),
        ({"projections": (Projection("input", "out", Dense(np.zeros((2, 5), int))),)}, "does not fit a source"),
        ({"projections": (Projection("input", "out", Dense(np.zeros((3, 4), int))),)}, "makes (3,), but 'out'"),
        ({"projections": (Projection("input", "out", Dense(np.full((2, 4), 200))),)}, "weights outside 8 bits"),
        ({"projections": (Projection("input", "out", Dense(np.zeros((2, 4)))),)}, "weights that are not integers"),
        ({"projections": (Projection("input", "out", Dense(np.zeros((2, 4), int)), 9),)}, "exponent 9"),
        ({"projections": (*tiny().projections, *tiny().projections)}, "is there twice"),
        ({"populations": with_neuron(threshold=2**17)}, "outside 17 bits"),
        ({"populations": with_neuron(threshold=0.5)}, "is not an integer"),
        ({"populations": with_neuron(bias=np.array([4096, 0]))}, "bias mantissa outside 13 bits"),
        ({"populations": with_neuron(bias=np.zeros(3, int))}, "bias of shape (3,)"),
        ({"populations": with_neuron(bias_exponent=8)}, "bias exponent 8"),
        ({"populations": with_neuron(decay_u=0)}, "decay_u 0"),
        ({"populations": with_neuron(decay_v=5000)}, "decay outside 0 to 4096"),
        ({"populations": with_neuron(threshold=float("nan"))}, "not finite"),
        ({"populations": (Population("../x", (1, 2, 2), Input()), tiny().populations[1])}, "'../x' is not made of"),
        ({"populations": (Population("input", (2, 2), Input()), tiny().populations[1])}, "neither (N,) nor (C, H, W)"),
        ({"populations": (Population("input", (1, 2, 2), Input(9)), tiny().populations[1])}, "9 bits"),
        ({"timesteps": 2.5}, "a whole number, not 2.5"),
        ({"labels": ("a", "a")}, "two classes have the label 'a'"),
        ({"populations": with_neuron(threshold=float("inf"))}, "not finite"),
        ({"populations": with_neuron(decay_v=float("nan"))}, "such a decay"),
        ({"populations": with_neuron(fires=False, threshold=float("inf"))}, "not finite"),
        (
            {"populations": (Population("input", (1, 2**17, 2), Input()), tiny().populations[1]), "timesteps": 65535},
            "more than",
        ),
    ],
)
def test_each_broken_rule_is_named(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(NetworkError) as caught:
        tiny(**changes)
    assert problem in str(caught.value)


def test_all_problems_are_shown_at_once() -> None:
    with pytest.raises(NetworkError) as caught:
        tiny(timesteps=0, labels=("a",), populations=with_neuron(bias_exponent=8, threshold=-1))
    assert len(caught.value.problems) == 4


def test_fingerprint_is_of_what_decides_a_spike() -> None:
    network = tiny()
    same = [replace(network, name="other"), replace(network, provenance={"date": "today"})]
    weights = replace(network.projections[0], op=Dense(np.arange(8).reshape(2, 4) + 1))
    other = [
        replace(network, timesteps=5),
        replace(network, populations=with_neuron(threshold=11)),
        replace(network, populations=with_neuron(bias=np.array([0, 1]))),
        replace(network, projections=(weights,)),
        replace(network, projections=(replace(network.projections[0], exponent=1),)),
    ]
    assert {n.fingerprint() for n in same} == {network.fingerprint()}
    assert len({n.fingerprint() for n in [network, *other]}) == 6


def test_fingerprint_does_not_depend_on_dtype_or_layout() -> None:
    network = tiny()
    op = Dense(np.asfortranarray(network.projections[0].op.weight.astype(np.int8)))
    changed = replace(network, projections=(replace(network.projections[0], op=op),))
    assert changed.fingerprint() == network.fingerprint()


def test_convolution_shapes() -> None:
    op = Conv2d(np.zeros((4, 1, 3, 2)), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    assert op.output_shape((2, 9, 7)) == (4, 5, 5)
    with pytest.raises(ValueError, match="does not fit 3 channels"):
        op.output_shape((3, 9, 7))
    with pytest.raises(ValueError, match="leaves nothing"):
        op.output_shape((2, 9, 2))


def test_random_networks_are_reproducible() -> None:
    assert random_network(5).fingerprint() == random_network(5).fingerprint()
    assert random_network(5).fingerprint() != random_network(6).fingerprint()


@pytest.mark.parametrize("wrong", [{"stride": (0, 1)}, {"dilation": (1, 0)}, {"padding": (-1, 0)}, {"groups": 0}])
def test_a_convolution_with_steps_that_make_no_sense_maps_nothing(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="stride, dilation and groups"):
        Conv2d(np.ones((1, 1, 1, 1)), **wrong).output_shape((1, 4, 4))
