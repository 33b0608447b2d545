"""Placement: small networks by hand, every limit and violation, and a slow count of random networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdsnn.errors import DoesNotFitError, NetworkError
from kdsnn.hardware.limits import load_hardware
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.placement.footprint import Tile
from kdsnn.targets.placement.place import ensure_placeable, place
from kdsnn.targets.placement.split import Load
from kdsnn.testing import example_networks, random_network
from tests.targets.placement.placing import check, small


def integer(*layers: tuple[str, tuple[int, ...], Conv2d | Dense], shape: tuple[int, ...], bits: int = 1) -> Network:
    """A chain of populations, each with the operation into it."""
    populations, projections = [Population("input", shape, Input(bits))], []
    for name, out, op in layers:
        projections.append(Projection(populations[-1].name, name, op))
        populations.append(Population(name, out, Neuron(3, np.zeros(int(np.prod(out)), dtype=np.int64))))
    labels = tuple(map(str, range(populations[-1].neurons)))
    return Network("chain", tuple(populations), tuple(projections), 2, labels, integer=True)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.int64)


def dense_chain() -> Network:
    """4 -> 6 -> 2 neurons."""
    return integer(("a", (6,), Dense(ones(6, 4))), ("b", (2,), Dense(ones(2, 6))), shape=(1, 2, 2))


def conv_chain() -> Network:
    """An image of 3 x 3 through a 3 x 3 convolution into 2 channels of 3 x 3, and a dense layer of 2."""
    conv = Conv2d(ones(2, 1, 3, 3), padding=(1, 1))
    return integer(("c", (2, 3, 3), conv), ("d", (2,), Dense(ones(2, 18))), shape=(1, 3, 3))


def test_a_dense_chain_by_hand() -> None:
    placement = place(dense_chain(), load_hardware("loihi1"))
    a, b = (layer.cores for layer in placement.layers)
    assert [core.load for core in a] == [Load(6, 24, 4 * 64, 4, 6)]  # each list: 10 + 6 * 8 = 58 bits, one word
    assert [core.load for core in b] == [Load(2, 12, 6 * 64, 6, 0)]
    assert (placement.cores, placement.chips, placement.violations) == (2, 1, ())


def test_a_convolution_by_hand() -> None:
    """The middle pixel reaches all 9 positions, an edge 6, a corner 4; no two lists begin alike, so none is shared.

    Lists of 18, 12 and 8 synapses of 18 bits each: 334, 226 and 154 bits, that is 6, 4 and 3 words.
    """
    placement = place(conv_chain(), load_hardware("loihi1"))
    conv, dense = (layer.cores for layer in placement.layers)
    words = 1 * 6 + 4 * 4 + 4 * 3
    assert [core.load for core in conv] == [Load(18, 2 * (9 + 4 * 6 + 4 * 4), 64 * words, 9, 18)]
    assert [core.load for core in dense] == [Load(2, 36, 18 * 64, 18, 0)]


def test_positions_share_the_lists_of_a_convolution() -> None:
    """A 1 x 1 convolution of 2 channels into 3 on 4 positions: one list of 3 synapses for each source channel."""
    network = integer(("c", (3, 2, 2), Conv2d(ones(3, 2, 1, 1))), ("d", (2,), Dense(ones(2, 12))), shape=(2, 2, 2))
    shared, own = (place(network, small(shared=s)).layers[0].cores[0].load for s in (True, False))
    assert shared == Load(12, 24, 2 * 64, 4, 12)  # the axon of a position carries both channels
    assert own == Load(12, 24, 8 * 64, 8, 12)


def test_output_axons_of_a_shared_convolution_are_two_for_each_position_and_core() -> None:
    conv = Conv2d(ones(4, 2, 1, 1))
    network = integer(
        ("a", (2, 2, 2), Conv2d(ones(2, 1, 1, 1))),
        ("b", (4, 2, 2), conv),
        ("c", (2,), Dense(ones(2, 16))),
        shape=(1, 2, 2),
    )
    placement = place(network, small(neurons=8))
    assert [len(layer.cores) for layer in placement.layers] == [1, 2, 1]
    assert placement.layers[0].total("output_axons") in (2 * 4 * 2, 2 * 2 * 2)  # by channels or by positions
    check(network, placement)


def test_grouped_convolutions_need_only_the_channels_of_their_groups() -> None:
    network = integer(
        ("a", (4, 3, 3), Conv2d(ones(4, 1, 1, 1))),
        ("pool", (4, 1, 1), Conv2d(ones(4, 1, 3, 3), groups=4)),
        shape=(1, 3, 3),
    )
    placement = place(network, small(shared=False, neurons=18))
    check(network, placement)
    assert placement.layers[0].total("output_axons") == 36  # each neuron sends to the core of its channel alone
    check(network, place(network, small(neurons=1)))


def test_a_population_is_split_where_each_limit_says() -> None:
    network = dense_chain()
    lists = 4 * 64
    for limits, cores in (
        ({"neurons": 4}, 2),
        ({"neurons": 1}, 6),
        ({"output_axons": 2}, 3),  # of one core each
        ({"synaptic_memory": lists}, 1),
    ):
        placement = place(network, small(**{"synaptic_memory": 6 * 64, **limits}))  # `b` needs 6 words at the least
        assert len(placement.layers[0].cores) == cores, limits
    assert place(network, small(input_axons=5)).layers[1].cores[0].load.input_axons == 6


def test_all_that_does_not_fit_is_said_at_once() -> None:
    network = integer(("a", (6,), Dense(7 * ones(6, 9))), ("b", (2,), Dense(ones(2, 6))), shape=(1, 3, 3), bits=4)
    tight = small(
        input_axons=5, synaptic_memory=128, output_axons=1, neurons=1, weight_bits=3, threshold_bits=1, message_bits=2
    )
    placement = place(network, tight, chips=2)
    assert [str(violation) for violation in placement.violations] == [
        "input: messages of 4 bits, and small has 2",
        "input->a: weights of 4 bits, and small has 3",
        "a: a threshold of 2 bits, and small has 1",
        "b: a threshold of 2 bits, and small has 1",
        "a: a neuron needs 576 bits of synaptic memory, and a core has 128",
        "a: a neuron needs 9 input axons, and a core has 5",
        "a: a neuron needs 2 output axons, and a core has 1",
        "b: a neuron needs 384 bits of synaptic memory, and a core has 128",
        "b: a neuron needs 6 input axons, and a core has 5",
    ]
    with pytest.raises(DoesNotFitError) as caught:
        ensure_placeable(network, tight)
    assert len(caught.value.problems) == 9
    assert caught.value.exit_code == 5


def test_too_many_chips() -> None:
    network = dense_chain()
    assert place(network, small(neurons=1, cores=3)).chips == 3  # 8 cores
    assert place(network, small(neurons=1, cores=3), chips=3).violations == ()
    (violation,) = place(network, small(neurons=1, cores=3), chips=2).violations
    assert str(violation) == "chain: needs 8 cores, 3 chips of 3, not 2"


@pytest.mark.parametrize(("weight", "bits"), [(0, 1), (1, 2), (-1, 1), (-2, 2), (127, 8), (-128, 8), (-127, 8)])
def test_bits_of_a_weight(weight: int, bits: int) -> None:
    network = integer(("a", (2,), Dense(weight * ones(2, 4))), shape=(1, 2, 2))
    assert place(network, small(weight_bits=bits)).violations == ()
    assert len(place(network, small(weight_bits=bits - 1 or 1)).violations) == (bits > 1)


def test_a_limit_that_is_not_known_is_not_checked() -> None:
    hardware = small(input_axons=None, output_axons=None, neurons=None, message_bits=None)
    placement = place(dense_chain(), hardware)
    assert (placement.cores, placement.violations) == (2, ())
    assert placement.share("input_axons") is None
    assert placement.share("synaptic_memory") == (4 + 6) * 64 / (2 * 128 * 1024 * 8)


def looped(*, neurons: int) -> Network:
    """4 -> `neurons`, all of which hear each other and themselves, and 2 that hear all of them."""
    network = integer(("a", (neurons,), Dense(ones(neurons, 4))), ("b", (2,), Dense(ones(2, neurons))), shape=(1, 2, 2))
    loop = Projection("a", "a", Dense(ones(neurons, neurons)))
    return replace(network, projections=(*network.projections, loop))


def test_a_population_that_feeds_itself_sends_to_its_own_cores() -> None:
    network = looped(neurons=6)
    for limits, loads in (
        ({}, [Load(6, 24 + 36, 10 * 64, 10, 6 + 6)]),  # to `b` and to itself
        ({"neurons": 4}, [Load(4, 16 + 24, 10 * 64, 10, 4 * 3), Load(2, 8 + 12, 10 * 64, 10, 2 * 3)]),
        ({"output_axons": 9}, [Load(3, 12 + 18, 10 * 64, 10, 3 * 3)] * 2),
    ):
        placement = place(network, small(**limits))
        assert [core.load for core in placement.layers[0].cores] == loads
        assert placement.violations == ()
        check(network, placement)


def test_a_population_that_cannot_send_to_all_of_its_cores_is_refused() -> None:
    (violation,) = place(looped(neurons=6), small(output_axons=6, neurons=4)).violations
    assert violation.where == "a"
    assert "output axons" in violation.what


def test_a_feature_that_the_chip_lacks_is_named() -> None:
    network = next(n for n in example_networks() if n.name == "subtract")
    (violation,) = (v for v in place(network, load_hardware("loihi1")).violations if v.where == network.name)
    assert "uses 'subtract-reset', which loihi1 does not have: a spike resets a compartment to zero" in violation.what
    assert place(network, load_hardware("loihi2")).violations == ()


def test_relays_are_counted_apart() -> None:
    residual = next(n for n in example_networks() if n.name == "residual")
    placement = place(residual, small())
    relays = [p for p in residual.populations if p.relay]
    assert placement.relay_cores == len(relays) > 0


def test_a_float_network_is_not_placed(float_network: Network) -> None:
    with pytest.raises(NetworkError, match="float"):
        place(float_network, small())


def test_json_has_the_totals() -> None:
    data = place(conv_chain(), load_hardware("loihi1")).as_json()
    assert (data["cores"], data["chips"], data["neurons"], data["synapses"]) == (2, 1, 20, 134)
    assert data["limits"]["neurons"] == 1024
    assert data["used"]["neurons"] == 20 / 2048
    assert [layer["fullest"]["input_axons"] for layer in data["layers"]] == [9, 18]


def test_a_tile_counts_its_neurons() -> None:
    assert Tile(2, 5, 10, 14).neurons == 12


@pytest.mark.parametrize("network", example_networks(), ids=lambda n: n.name)
@pytest.mark.parametrize("shared", [True, False])
def test_the_example_networks(network: Network, shared: bool) -> None:
    for hardware in (small(shared=shared), small(shared=shared, neurons=40, synaptic_memory=20_000)):
        check(network, place(network, hardware))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    recurrent=st.booleans(),
    shared=st.booleans(),
    neurons=st.one_of(st.none(), st.integers(1, 200)),
    memory=st.one_of(st.none(), st.integers(64, 40_000)),
    input_axons=st.one_of(st.none(), st.integers(1, 300)),
    output_axons=st.one_of(st.none(), st.integers(1, 300)),
)
def test_random_networks_on_random_hardware(
    seed: int,
    recurrent: bool,
    shared: bool,
    neurons: int | None,
    memory: int | None,
    input_axons: int | None,
    output_axons: int | None,
) -> None:
    network = random_network(seed, recurrent=recurrent)
    limits = {"neurons": neurons, "synaptic_memory": memory, "input_axons": input_axons, "output_axons": output_axons}
    check(network, place(network, small(shared=shared, **limits)))
