"""A float network against what another simulator recorded: equal, or refused with population, step and neuron."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from kdsnn.errors import InputError, VerificationError
from kdsnn.export.foreign.expectation import check_recorded
from tests.export.foreign.foreign_graphs import HEAD, STEPS, chain, conv, fire, images, lif, read, simulate_graph

GRAPH = chain(conv(3, 2, padding=1), lif(3, 8, 6), *HEAD)
INNER = chain(conv(3, 2, padding=1), lif(3, 8, 6))


@pytest.fixture
def pixels() -> np.ndarray:
    return images(n=20)


@pytest.fixture
def recorded(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """By NIR's equations alone."""
    output = simulate_graph(GRAPH, pixels)
    return {
        "x": pixels,
        "y": np.zeros(20),
        "output_spikes": output,
        "spikes/n1": simulate_graph(INNER, pixels),
        "predictions": output.sum(1).argmax(1),
    }


def saved(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path / "recorded.npz", **arrays)
    return path / "recorded.npz"


def test_what_fires_as_recorded_passes(tmp_path: Path, recorded: dict[str, np.ndarray]) -> None:
    done = check_recorded(read(GRAPH), saved(tmp_path, recorded))
    assert done.compared == ("n1", "n4", "predictions")
    assert (done.images, done.on_threshold) == (20, 0)
    assert done.values == 20 * STEPS * (144 + 5) + 20
    assert str(done) == "fires as recorded.npz says, on 20 images: 23,860 values equal of n1, n4 and predictions"
    counts = {"x": recorded["x"], "spikes/n1": recorded["spikes/n1"].reshape(20, STEPS, -1).sum(1)}
    assert check_recorded(read(GRAPH), saved(tmp_path, counts)).values == 20 * 144


def test_one_spike_is_named(tmp_path: Path, recorded: dict[str, np.ndarray]) -> None:
    """The first in time; at a step, the first on the way from the input."""
    network = read(GRAPH)
    output = recorded["output_spikes"].copy()
    output[7, 5, 2] = 1 - output[7, 5, 2]
    with pytest.raises(VerificationError) as caught:
        check_recorded(network, saved(tmp_path, recorded | {"output_spikes": output}))
    there = f"{output[7, 5, 2]:g} spikes there, {1 - output[7, 5, 2]:g} here; 1 of 20 images differ"
    assert f"recorded.npz says: population 'n4', step 5, neuron 2 (image 7): {there}" in str(caught.value)
    assert "--reset" in caught.value.hint
    inner = recorded["spikes/n1"].copy()
    inner[7, 5, 1, 2, 3] = 1 - inner[7, 5, 1, 2, 3]
    with pytest.raises(VerificationError, match=r"population 'n1', step 5, neuron 63 \(image 7\)"):
        check_recorded(network, saved(tmp_path, recorded | {"output_spikes": output, "spikes/n1": inner}))
    predictions = recorded["predictions"].copy()
    predictions[3] = 4 - predictions[3] if predictions[3] != 2 else 0
    with pytest.raises(VerificationError, match=r"image 3 is predicted as \d there and \d here"):
        check_recorded(network, saved(tmp_path, {"x": recorded["x"], "predictions": predictions}))
    counts = recorded["spikes/n1"].reshape(20, STEPS, -1).sum(1)
    counts[2, 9] += 1
    with pytest.raises(VerificationError, match=r"population 'n1', over all steps, neuron 9 \(image 2\)"):
        check_recorded(network, saved(tmp_path, {"x": recorded["x"], "spikes/n1": counts}))


@pytest.mark.parametrize("wrong", [{"dt": 1.3e-3}, {"input_scale": 1 / 200}, {"solve": "exact"}])
def test_another_meaning_of_the_file_shows(tmp_path: Path, recorded: dict[str, np.ndarray], wrong: Any) -> None:
    with pytest.raises(VerificationError, match="does not fire as recorded"):
        check_recorded(read(GRAPH, **wrong), saved(tmp_path, recorded))


def in_float32(weight: float, theta: float) -> np.ndarray:
    """The spikes of one IF that gets a weight at each step, in float32."""
    v, out = np.float32(0), np.zeros((1, STEPS, 1))
    for t in range(STEPS):
        v += np.float32(weight)
        if v > np.float32(theta):
            out[0, t], v = 1, np.float32(0)
    return out


def test_a_potential_on_its_threshold_may_be_decided_in_float32(tmp_path: Path) -> None:
    """0.1 + 0.1 + 0.1 is above 0.3 in float64 and not in float32; nothing else passes for rounding."""
    network = read(chain(nir.Linear(np.array([[0.1]])), fire(1, theta=0.3), shape=(1,)), input_scale=1.0)
    x, spikes = np.ones((1, 1), np.uint8), in_float32(0.1, 0.3)
    assert spikes[0, :, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    many = {"x": np.repeat(x, 12, 0), "output_spikes": np.repeat(spikes, 12, 0)}
    done = check_recorded(network, saved(tmp_path, many))
    assert done.on_threshold == 12
    assert "in 12 a potential on its threshold decides" in str(done)
    many["output_spikes"][11, 4] = 1
    with pytest.raises(VerificationError, match=r"\(image 11\).*12 of 12 images differ"):
        check_recorded(network, saved(tmp_path, many))
    for other in (1 - spikes, 0 * spikes, np.roll(spikes, 1, axis=1)):
        with pytest.raises(VerificationError, match="population 'n1', step"):
            check_recorded(network, saved(tmp_path, {"x": x, "output_spikes": other}))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no images": ({"x": None}, "has no images x"),
    "floats": ({"x": np.zeros((20, 2, 8, 6))}, r"x of \(20, 2, 8, 6\) float64.*\n.*--input-scale"),
    "other images": ({"x": np.zeros((20, 2, 8, 8), np.uint8)}, "takes uint8 of"),
    "fewer": ({"x": np.zeros((19, 2, 8, 6), np.uint8)}, "19 images, and 20 of"),
    "steps": ({"output_spikes": np.zeros((20, STEPS + 1, 5))}, rf"neither \(N, {STEPS}, 5\)(.|\n)*-T"),
    "classes": ({"output_spikes": np.zeros((20, STEPS, 6))}, "neither"),
    "names": ({"spikes/n9": np.zeros((20, STEPS, 5))}, "has spikes/n9, and there may be: spikes/n1, spikes/n4"),
    "text": ({"predictions": np.array(["a"] * 20)}, "predictions is .* not numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_recordings_that_do_not_fit_are_refused(tmp_path: Path, recorded: dict[str, np.ndarray], case: str) -> None:
    changed, what = WRONG[case]
    arrays = {key: value for key, value in (recorded | changed).items() if value is not None}
    with pytest.raises(InputError, match=what):
        check_recorded(read(GRAPH), saved(tmp_path, arrays))


def test_files_that_are_no_recordings(tmp_path: Path, recorded: dict[str, np.ndarray]) -> None:
    network = read(GRAPH)
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "cut.npz").write_bytes(saved(tmp_path, recorded).read_bytes()[:500])
    np.savez(tmp_path / "object.npz", x=np.array([{}], dtype=object))
    for name in ("none.npz", "one.npy", "text.npz", "cut.npz", "object.npz"):
        with pytest.raises(
            InputError,
            match=rf"{name}(: array .*)? (is not an|cannot be read|holds Python)(.|\n)*numpy\.(savez|stack)",
        ):
            check_recorded(network, tmp_path / name)
    with pytest.raises(InputError, match="nothing to compare"):
        check_recorded(network, saved(tmp_path, {"x": recorded["x"]}))


def test_an_integrator_is_compared_by_its_predictions(tmp_path: Path) -> None:
    graph = chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD[:2], nir.I(np.ones(5)))
    pixels = images(n=5)
    potentials = simulate_graph(graph, pixels)
    network = read(graph)
    check_recorded(network, saved(tmp_path, {"x": pixels, "predictions": potentials[:, -1].argmax(1)}))
    with pytest.raises(InputError, match="output_spikes is of an integrator"):
        check_recorded(network, saved(tmp_path, {"x": pixels, "output_spikes": potentials}))
