"""What a run keeps of its evaluations: each apart, and nothing that is not of its network and its test images."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.errors import InputError
from kdsnn.export.nir import write_nir
from kdsnn.files.writing import write_json
from kdsnn.network import Input
from kdsnn.report.collect import collect
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.evaluations import ACTIVITY, EVALUATIONS, activity_of, judged, kept, of_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model, load
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget
from tests.small_run import input_macs, one_layer, small_run


def folder(model: Model) -> Path:
    assert model.run is not None
    return model.run


def files(model: Model) -> set[str]:
    return {path.name for path in (folder(model) / EVALUATIONS).iterdir()}


def noise_file(tmp_path: Path, samples: int = 20) -> Path:
    rng = np.random.default_rng(1)
    x = rng.integers(1, 256, (samples, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x=x, y=rng.integers(0, 10, samples))
    return tmp_path / "noise.npz"


def test_a_smaller_evaluation_replaces_no_larger_one() -> None:
    model = small_run()
    for samples in (50, 5, 50):
        evaluate_model(model, ReferenceTarget(), select_images(model, samples=samples))
    assert sorted(name.rsplit("-", 1)[0] for name in files(model)) == ["reference-5", "reference-50"]
    assert [e["samples"] for e in of_model(model)] == [50, 5]


def test_a_file_says_of_which_network_target_and_images_it_is() -> None:
    model = small_run()
    shown = select_images(model, samples=7)
    evaluate_model(model, GpuTarget(device="cpu"), shown)
    (found,) = kept(folder(model))
    assert found["fingerprint"] == model.network.fingerprint()
    assert found["identity"]["target"] == {"name": "gpu", "settings": {"device": "cpu", "arithmetic": "auto"}}
    data = found["identity"]["data"]
    test = load_dataset("digits").test
    chosen = np.random.default_rng(0).permutation(360)[:7]
    assert np.array_equal(shown.images, test.images[chosen])
    assert (data["name"], data["split"], data["selection"], data["samples"]) == ("digits", "test", "random, seed 0", 7)
    assert len(data["sha256"]) == 64
    assert found["counts"]["input_macs"] == input_macs(test.images[chosen])


def test_settings_of_a_target_and_other_images_are_other_evaluations(tmp_path: Path) -> None:
    model = small_run()
    own, noise = select_images(model, samples=20), select_images(model, images=noise_file(tmp_path))
    for target, shown in (
        (GpuTarget(device="cpu"), own),
        (GpuTarget(device="cpu", arithmetic="float32"), own),
        (GpuTarget(device="cpu"), noise),
    ):
        evaluate_model(model, target, shown)
    assert len(files(model)) == 3
    assert {e["identity"]["data"]["name"] for e in kept(folder(model))} == {"digits", "noise.npz"}


def test_images_and_labels_decide_the_checksum(tmp_path: Path) -> None:
    model = small_run()
    x, y = np.zeros((3, 1, 8, 8), np.uint8), np.zeros(3, np.int64)
    sums = []
    for images, labels in ((x, y), (x + np.uint8(2), y), (x, y + 1), (x, None), (x, y)):
        np.savez(tmp_path / "mine.npz", x=images, **({} if labels is None else {"y": labels}))
        shown = select_images(model, images=tmp_path / "mine.npz")
        sums.append(shown.identity.sha256)
        with pytest.raises(ValueError, match="read-only"):
            shown.images[0] = 1
    assert sums[0] == sums[-1]
    assert len(set(sums)) == 4


def test_images_of_ones_own_do_not_count_for_the_run(tmp_path: Path) -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, images=noise_file(tmp_path)))
    assert of_model(model) == []
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=20))
    (found,) = of_model(model)
    assert found["counts"]["input_macs"] == input_macs(select_images(model, samples=20).images)


def test_another_network_in_the_run_has_no_evaluations_yet() -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=4))
    write_nir(one_layer(seed=1), model.path)
    again = load(str(folder(model)))
    assert [why for _, why in judged(again)] == ["of another network"]
    assert [why for _, why in judged(model)] == [None]
    assert of_model(again) == []


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("sha256", "of other images than digits has now"),
        ("selection", "of other images than digits has now"),
        ("split", "of other images"),
        ("name", "of other images"),
    ],
)
def test_other_images_under_the_same_name_do_not_count(key: str, why: str) -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=4))
    (path,) = (folder(model) / EVALUATIONS).iterdir()
    data = json.loads(path.read_text())
    data["identity"]["data"][key] = "0" * 64
    write_json(path, data)
    assert of_model(model) == []
    assert [said for _, said in judged(model)] == [why]


def test_files_that_are_no_evaluations_are_left_out() -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=4))
    place = folder(model) / EVALUATIONS
    (good,) = place.iterdir()
    whole = json.loads(good.read_text())
    (place / "broken.json").write_text("{")
    write_json(place / "empty.json", {})
    unread = {"schema", "timesteps", "compared_populations", "wall_s", "notes", "edges"}
    for key in whole.keys() - unread:
        write_json(place / f"no-{key}.json", {k: v for k, v in whole.items() if k != key})
    for part in ("target", "data"):
        write_json(place / f"no-{part}-of.json", {**whole, "identity": {**whole["identity"], part: "gpu"}})
        write_json(place / f"empty-{part}-of.json", {**whole, "identity": {**whole["identity"], part: {}}})
    for part, wrong in (("counts", 7), ("layers", 7), ("layers", [7])):
        write_json(place / f"wrong-{part}-{wrong}.json", {**whole, part: wrong})
    assert len(list(place.iterdir())) > 10
    assert kept(folder(model)) == [whole]


@pytest.mark.parametrize("count", ["input_macs_effective", "leak_updates"])
@pytest.mark.parametrize("where", ["counts", "layers"])
def test_those_of_an_older_version_are_named_and_do_not_count(count: str, where: str) -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=4))
    (path,) = (folder(model) / EVALUATIONS).iterdir()
    older = json.loads(path.read_text())
    for counted in [older["counts"]] if where == "counts" else older["layers"]:
        del counted[count]
    write_json(path, older)
    assert kept(folder(model)) == [older]
    assert of_model(model) == []
    why = "of an older version, which counted less: run kdsnn evaluate again"
    assert judged(model) == [(older, why)]
    with pytest.raises(InputError) as caught:
        collect(model)
    assert caught.value.problems == (f"evaluation on reference, 4 images of digits test (random, seed 0): {why}",)
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=5))
    assert [(row["samples"], row["why"]) for row in collect(model)["left_out"] if "samples" in row] == [(4, why)]
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=4))
    assert [said for _, said in judged(model)] == [None, None]


def test_each_neurons_spikes_are_kept_beside_the_counts() -> None:
    model = small_run()
    shown = select_images(model, samples=20)
    evaluate_model(model, ReferenceTarget(), shown)
    (kept_one,) = of_model(model)
    spikes = ReferenceTarget().compile(model.network).run(shown.images).spikes["out"]
    found = activity_of(model, kept_one)
    assert found is not None
    assert found["out"].tolist() == spikes.sum(axis=(0, 1)).tolist()
    (path,) = (folder(model) / ACTIVITY).iterdir()
    np.savez(path, **{"spikes/out": found["out"] + 1})  # of something else
    assert activity_of(model, kept_one) is None
    path.write_bytes(b"no archive")
    assert activity_of(model, kept_one) is None
    path.unlink()
    assert activity_of(model, kept_one) is None


def test_a_run_can_be_copied_and_moved(tmp_path: Path) -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=4))
    shutil.copytree(folder(model), tmp_path / "elsewhere")
    shutil.move(folder(model), tmp_path / "moved")
    for place in (tmp_path / "elsewhere", tmp_path / "moved"):
        there = load(str(place))
        assert [e["samples"] for e in of_model(there)] == [4]
        evaluate_model(there, ReferenceTarget(), select_images(there, samples=4))
        assert len(files(there)) == 1  # the same question, the same file
        for path in place.rglob("*.*"):
            assert str(tmp_path).encode() not in path.read_bytes()


def test_grey_images_before_an_input_of_one_bit_are_noted(tmp_path: Path) -> None:
    """Three of five images hold a value that is neither black nor white, each but one pixel."""
    x = np.zeros((5, 1, 8, 8), np.uint8)
    x[1:, 0, 2, 3] = 255
    x[0, 0, 0, 0], x[2, 0, 7, 7], x[4, 0, 1, 1] = 1, 254, 128
    whole = one_layer()
    bits = replace(whole.input, model=Input(1))
    one_bit = Model(replace(whole, populations=(bits, whole.output)), tmp_path / "one.nir", None)
    shown = select_images(one_bit, images=x)
    found = evaluate_model(one_bit, ReferenceTarget(), shown)
    assert found.as_json()["notes"]["images_cut_to_one_bit"] == 3
    assert "input has one bit, and 3 of 5 images hold other values than 0 and 255" in str(found)
    for model, images in ((one_bit, x[[1, 3]]), (Model(whole, tmp_path / "four.nir", None), x)):
        exact = evaluate_model(model, ReferenceTarget(), select_images(model, images=images))
        assert "images_cut_to_one_bit" not in exact.as_json()["notes"]
        assert "one bit" not in str(exact)


def test_the_note_of_grey_images_is_kept() -> None:
    model = small_run()
    whole = model.network
    one_bit = replace(whole, populations=(replace(whole.input, model=Input(1)), whole.output))
    evaluate_model(replace(model, network=one_bit), ReferenceTarget(), select_images(model, samples=4))
    (found,) = kept(folder(model))
    assert found["notes"]["images_cut_to_one_bit"] == 4
