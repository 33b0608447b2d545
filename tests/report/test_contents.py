"""What a report says, worked out by hand from the images and the one layer of a small run."""

import numpy as np
import pytest

from kdsnn.evaluation.in_time import Curve
from kdsnn.network import Network
from kdsnn.report.accuracies import interval
from kdsnn.report.collect import collect, counts_of_evaluation
from kdsnn.report.layers import layer_rows
from kdsnn.report.page import render
from kdsnn.report.shown import one_image
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.evaluations import activity_of, of_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget
from tests import oracles
from tests.small_run import small_run


def evaluated(samples: int) -> tuple[Model, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A run that was evaluated on gpu: its images, their labels, and the spikes by plain enumeration."""
    model = small_run()
    shown = select_images(model, samples=samples)
    evaluate_model(model, GpuTarget("cpu"), shown)
    assert shown.labels is not None
    return model, shown.images, shown.labels, oracles.simulate_integer(model.network, shown.images)[0]


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (95, 100, 0.8882, 0.9785)],  # Wilson 1927; R's binom.wilson
)
def test_intervals_are_wilsons(right: int, samples: int, low: float, high: float) -> None:
    assert interval(right / samples, samples) == pytest.approx((low, high), abs=5e-5)


def test_the_verdict_counts_the_spikes_that_were_compared() -> None:
    model, images, labels, spikes = evaluated(30)
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=30))  # which is compared with nothing
    verdict = collect(model)["verdict"]
    assert verdict["machines"] == ["gpu"]
    assert verdict["spikes_compared"] == spikes["out"].sum() > 0
    winners = spikes["out"].sum(axis=1).argmax(axis=1)
    assert verdict["accuracy"]["accuracy"] == (winners == labels).mean()
    assert (verdict["neurons"], verdict["synaptic_weights"], verdict["weight_bits"]) == (10, 640, "8")
    assert verdict["energy"]["grey_bits"] == 4  # which a spike of Loihi 1 has not
    assert images.shape == (30, 1, 8, 8)


def test_no_machine_is_claimed_where_none_was_compared() -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=5))
    verdict = collect(model)["verdict"]
    assert (verdict["machines"], verdict["spikes_compared"]) == ([], 0)


def test_which_classes_are_taken_for_which() -> None:
    model, _, labels, spikes = evaluated(40)
    winners = spikes["out"].sum(axis=1).argmax(axis=1)
    wanted = [[int(((labels == a) & (winners == b)).sum()) for b in range(10)] for a in range(10)]
    assert collect(model)["confusion"] == wanted


def test_neurons_that_never_and_that_always_fire() -> None:
    model, _, _, spikes = evaluated(20)
    (evaluation,) = of_model(model)
    kept = activity_of(model, evaluation)
    assert kept is not None
    assert np.array_equal(kept["out"], spikes["out"].sum(axis=(0, 1)))
    (row,) = collect(model)["layers"]
    fired = spikes["out"].reshape(-1, 10).mean(axis=0)
    assert row["silent"] == (fired == 0).mean()
    assert row["saturated"] == (fired >= 0.95).mean()
    assert row["firing_rate"] == pytest.approx(fired.mean())


def test_layers_that_waste_neurons_are_named() -> None:
    model, *_ = evaluated(20)
    (evaluation,) = of_model(model)
    counts = counts_of_evaluation(evaluation)
    steps = 20 * model.network.timesteps
    for spikes, advice in (
        ([0] * 6 + [3] * 4, "60 % never fire: "),
        ([steps] * 2 + [3] * 8, "20 % fire at nearly every step: "),
        ([0] * 4 + [3] * 6, None),
        ([int(steps * 0.9)] * 10, None),
    ):
        (row,) = layer_rows(counts, model.network.timesteps, {"out": np.array(spikes)}, {})
        assert (row["advice"] or "").startswith(advice or "")
        assert (row["advice"] is None) == (advice is None)


def test_images_that_are_shown_are_right_ones_and_wrong_ones() -> None:
    model, images, labels, spikes = evaluated(40)
    winners = spikes["out"].sum(axis=1).argmax(axis=1)
    right, wrong = np.flatnonzero(winners == labels)[:2], np.flatnonzero(winners != labels)[:2]
    shown = collect(model)["images"]
    everything = select_images(model).images
    for number, image in zip((*right, *wrong), shown, strict=True):
        assert image["pixels"] == everything[image["number"]].tolist()  # a number among all test images
        assert image == one_image(model, image["number"])  # which is what kdsnn figure --image draws
        assert image["pixels"] == images[number].tolist()
        assert (image["label"], image["winner"]) == (str(labels[number]), str(winners[number]))
        assert image["scores"] == spikes["out"][number].sum(axis=0).tolist()
        for step, fired in enumerate(image["spikes"]["out"]):
            assert fired == np.flatnonzero(spikes["out"][number, step]).tolist()


def test_answers_over_time_are_of_the_widest_evaluation_that_has_them() -> None:
    model, images, labels, _ = evaluated(40)
    assert collect(model)["curve"] is None
    evaluate_model(model, GpuTarget("cpu"), select_images(model, samples=20), curve=Curve(margins=(1,)))
    curve = collect(model)["curve"]
    assert (curve["target"], curve["samples"], curve["unit"]) == ("gpu", 20, "spikes")
    shown = select_images(model, samples=20)
    spikes = oracles.simulate_integer(model.network, shown.images)[0]["out"]
    for step, accuracy in enumerate(curve["accuracy_by_step"]):
        winners = spikes[:, : step + 1].sum(axis=1).argmax(axis=1)
        assert accuracy == pytest.approx((winners == shown.labels).mean())
    page = render(collect(model))
    assert "Stopping early, by a lead in spikes" in page
    assert "lead of 1" in page
    assert len(images) == len(labels) == 40


def test_cores_hold_all_neurons() -> None:
    model, *_ = evaluated(5)
    placed = collect(model)["placements"]
    assert {p["hardware"] for p in placed} == {"loihi1", "loihi2"}
    for chip in placed:
        cores = [core for layer in chip["layers"] for core in layer["cores"]]
        assert sum(core["neurons"] for core in cores) == neurons(model.network)
        assert len(cores) == chip["cores"]


def neurons(network: Network) -> int:
    return sum(p.neurons for p in network.spiking)


def test_the_commands_that_make_it_again() -> None:
    model, *_ = evaluated(20)
    evaluate_model(model, GpuTarget("cpu", arithmetic="float32"), select_images(model, samples=5))
    commands = collect(model)["commands"]
    assert commands[0] == "kdsnn distill RUN/recipe.toml --run RUN"
    assert "kdsnn evaluate RUN --target gpu -n 20 -O device=cpu" in commands
    assert "kdsnn evaluate RUN --target gpu -n 5 -O device=cpu -O arithmetic=float32" in commands
    assert commands[-2:] == ["kdsnn energy RUN --target gpu -n 20 -O device=cpu", "kdsnn report RUN"]
    assert "kdsnn report small" in render(collect(model))
