"""Float against integer: what is counted, on networks whose spikes can be told by hand."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import VerificationError
from kdsnn.evaluation.agreement import agreement, agreement_of, ensure_agrees, with_agreement
from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection

IMAGES = np.array([[255, 0], [255, 0], [0, 255], [0, 0]], dtype=np.uint8)


def network(weight: np.ndarray, threshold: float, *, integer: bool, timesteps: int = 2) -> Network:
    """Two pixels, two classes."""
    decay = 4096 if integer else 1.0
    bias = np.zeros(2, dtype=np.int32 if integer else np.float64)
    populations = (
        Population("in", (2,), Input(1 if integer else 8)),
        Population("out", (2,), Neuron(threshold, bias, decay_u=decay)),
    )
    return Network("net", populations, (Projection("in", "out", Dense(weight)),), timesteps, ("a", "b"), integer)


FLOAT = network(np.array([[1.0, 0.0], [0.4, 1.0]]) / 255, 0.9, integer=False)  # class b fires, too: at the third step
SAME = network(np.array([[10, 0], [4, 10]], dtype=np.int16), 9, integer=True)
WITHOUT_B = network(np.array([[10, 0], [0, 0]], dtype=np.int16), 9, integer=True)


def test_equal_networks_agree_in_everything() -> None:
    found = agreement(FLOAT, SAME, IMAGES, np.array([0, 0, 1, 1]), shown="four images")
    assert (found.images, found.agreeing, found.fired) == (4, 4, 3)
    assert (found.float_accuracy, found.accuracy) == (0.75, 0.75)
    (layer,) = found.layers
    assert (layer.float_rate, layer.rate, layer.differing) == (6 / 16, 6 / 16, 0.0)  # 3 images, 2 steps, of 4 * 2 * 2
    assert (layer.zeroed, layer.dead_channels) == (0.0, 0)
    assert str(found) == "100.0 % of 4 predictions agree (four images, the output silent on 1 of them)"
    ensure_agrees(found, 0.0)


def test_networks_in_time_agree_step_by_step() -> None:
    """What counts is which step shows a pixel: class a fires on the spot, and b a step after the second half of it."""
    in_time = [replace(n, populations=(_in_time(n.input), *n.spiking)) for n in (FLOAT, SAME)]
    frames = np.array([[[255, 0], [0, 255]], [[0, 0], [255, 0]], [[0, 0], [0, 0]]], dtype=np.uint8)
    found = agreement(*in_time, frames, np.array([0, 1, 0]), shown="three images")
    assert (found.images, found.agreeing, found.fired) == (3, 3, 2)
    (layer,) = found.layers
    assert (layer.float_rate, layer.rate, layer.differing) == (3 / 12, 3 / 12, 0.0)
    assert found.accuracy == 2 / 3


def _in_time(population: Population) -> Population:
    assert isinstance(population.model, Input)
    return replace(population, model=Input(population.model.bits, static=False))


def test_a_lost_class_is_counted_and_refused_by_its_layer() -> None:
    found = agreement(FLOAT, WITHOUT_B, IMAGES, shown="four images")
    (layer,) = found.layers
    assert (found.agreeing, found.float_accuracy) == (3, None)
    assert (layer.rate, layer.differing, layer.zeroed, layer.dead_channels) == (4 / 16, 2 / 16, 2 / 4, 1)
    with pytest.raises(VerificationError, match=r"75\.0 % of 4 predictions agree.*; 5 % may differ") as refused:
        ensure_agrees(found)
    assert "layer 'out': 12.5 % of its neuron-steps differ" in str(refused.value)
    assert refused.value.exit_code == 4
    ensure_agrees(found, 0.25)


def test_what_may_differ_may_differ_to_the_last_image() -> None:
    """190 of 200 is 5 %, though 1 - 190 / 200 is more in binary fractions."""
    found = replace(agreement(FLOAT, SAME, IMAGES, shown="these"), images=200, agreeing=190, fired=200)
    ensure_agrees(found, 0.05)
    with pytest.raises(VerificationError, match=r"94\.5 % of 200"):
        ensure_agrees(replace(found, agreeing=189), 0.05)


def test_what_the_float_network_ties_on_is_told_apart() -> None:
    """Two steps of pixels that drive both classes alike: 2 spikes each, and the first class is taken."""
    tied = network(np.array([[1.0, 0.0], [1.0, 2.0]]) / 255, 0.9, integer=False)
    only_b = network(np.array([[0, 0], [10, 20]], dtype=np.int16), 9, integer=True)
    found = agreement(tied, only_b, IMAGES, shown="four images")
    assert (found.agreeing, found.ties) == (2, 2)  # both answer b to the third, and the fourth is black
    assert str(found) == (
        "50.0 % of 4 predictions agree (four images, the output silent on 1 of them; 2 of the 2 others are ties in the "
        "float network)"
    )
    lost = agreement(FLOAT, WITHOUT_B, IMAGES, shown="four images")
    assert (lost.agreeing, lost.ties) == (3, 0)  # b alone fired for the third: no tie


def test_where_no_accuracy_is_lost_predictions_may_move() -> None:
    moved = agreement(FLOAT, WITHOUT_B, IMAGES, np.array([0, 0, 0, 0]), shown="four images")
    assert (moved.float_accuracy, moved.accuracy) == (0.75, 1.0)
    ensure_agrees(moved, 0.0)
    with pytest.raises(VerificationError):
        ensure_agrees(moved, 0.0, accuracy_lost=0.011)


def test_an_output_that_is_silent_on_all_images_agrees_on_nothing() -> None:
    silent = agreement(FLOAT, SAME, IMAGES * 0, np.zeros(4, np.int64), shown="four black images")
    assert (silent.fired, silent.disagreement) == (0, 0.0)
    with pytest.raises(VerificationError, match=r"silent on all 4 images \(four black images\)") as refused:
        ensure_agrees(silent)
    assert refused.value.exit_code == 4
    assert "--max-disagreement 1" in str(refused.value)
    with pytest.raises(VerificationError, match="silent on all"):
        ensure_agrees(silent, 0.5, accuracy_lost=0.0)
    ensure_agrees(silent, 1.0)
    ensure_agrees(replace(silent, fired=1))


def test_potentials_decide_where_they_are_read() -> None:
    integrator = Neuron(np.inf, np.zeros(2), decay_u=1.0, fires=False)
    reading = replace(FLOAT, populations=(FLOAT.input, replace(FLOAT.output, model=integrator)))
    whole = Neuron(2**17 - 1, np.zeros(2, dtype=np.int32), fires=False)
    made = replace(SAME, populations=(SAME.input, replace(SAME.output, model=whole)))
    found = agreement(reading, made, IMAGES, np.array([0, 0, 1, 0]), shown="four images")
    assert (found.agreeing, found.fired, found.float_accuracy, found.accuracy) == (4, 4, 1.0, 1.0)


def test_the_figures_travel_with_the_network_and_not_in_its_fingerprint() -> None:
    found = agreement(FLOAT, SAME, IMAGES, shown="four images")
    kept = with_agreement(SAME, found)
    assert kept.fingerprint() == SAME.fingerprint()
    assert agreement_of(kept) == found.as_json() | {"layers": [found.as_json()["layers"][0]]}
    assert agreement_of(SAME) is None
