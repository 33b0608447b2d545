"""A converted module in a run: it keeps evaluations, is reported, knows its data, and is no recipe's run."""

from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

import kdsnn
from kdsnn.data.datasets import load_dataset
from kdsnn.distill.student import distill
from kdsnn.errors import InputError, UsageError
from kdsnn.files.reading import read_json
from kdsnn.files.writing import write_json
from kdsnn.noise.plan import open_study
from kdsnn.recipes.load import load_recipe
from kdsnn.run_folders import find_run
from kdsnn.steps.convert import Converted
from kdsnn.targets.reference import ReferenceTarget
from tests.small_run import small_run


def module() -> nn.Module:
    torch.manual_seed(0)
    neurons = snntorch.Leaky(0.8, threshold=0.2, reset_mechanism="zero", init_hidden=True, output=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), neurons).eval()


def convert(run: Path, data: object = "digits") -> Converted:
    return kdsnn.convert(module(), data, timesteps=3, run=run, max_disagreement=1)


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    train = load_dataset("digits").train
    return train.images[:300], train.labels[:300]


def test_it_is_the_latest_run_with_its_figures(tmp_path: Path) -> None:
    made = convert(tmp_path / "runs" / "mine")
    assert made.model.run == tmp_path / "runs" / "mine" == find_run(None)
    assert kdsnn.load().network.fingerprint() == made.network.fingerprint()
    figures = read_json(tmp_path / "runs" / "mine" / "quantization.json")
    assert figures["module_agreement"]["images"] == 96
    assert figures["integer_accuracy"] == made.quantized.integer_accuracy


def test_a_range_that_was_said_is_kept(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    np.savez(tmp_path / "mine.npz", x=arrays[0] / 255 * 4, y=arrays[1])
    made = kdsnn.convert(
        module(), tmp_path / "mine.npz", timesteps=3, run=tmp_path / "run", max_disagreement=1, data_range=(0, 4)
    )
    assert kdsnn.evaluate(tmp_path / "run", "reference").accuracy == made.quantized.integer_accuracy


def test_evaluations_and_report_are_of_its_data_even_where_these_were_in_memory(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]
) -> None:
    made = convert(tmp_path / "mine", arrays)
    (tmp_path / "mine").rename(tmp_path / "moved")
    found = kdsnn.evaluate(tmp_path / "moved", "reference")
    assert found.samples == 60  # a fifth
    assert found.accuracy == made.quantized.integer_accuracy
    assert kdsnn.report(tmp_path / "moved").is_file()
    report = read_json(tmp_path / "moved" / "report.json")
    assert report["left_out"] == []
    assert [row["what"] for row in report["accuracy"]] == ["module (SNN, float)", "integer network", "on reference"]
    assert len({(row["samples"], round(row["accuracy"], 9)) for row in report["accuracy"][1:]}) == 1


def test_changed_data_are_refused(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = arrays
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    convert(tmp_path / "mine", tmp_path / "mine.npz")
    np.savez(tmp_path / "mine.npz", x=x[::-1], y=y)
    with pytest.raises(InputError, match="is not what the recipe was made with"):
        kdsnn.evaluate(tmp_path / "mine", "reference", samples=1)


def test_made_anew_it_has_the_new_network(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    convert(run)
    again = kdsnn.convert(module(), "digits", timesteps=5, run=run, max_disagreement=1)
    assert kdsnn.load(run).network.fingerprint() == again.network.fingerprint()


def test_one_of_a_recipe_and_one_of_a_module_do_not_mix(tmp_path: Path) -> None:
    of_recipe = small_run().run
    assert of_recipe is not None
    with pytest.raises(InputError, match="holds a run of a recipe"):
        convert(of_recipe)
    convert(tmp_path / "mine")
    refused = "is of a module that was converted"
    with pytest.raises(InputError, match=refused):
        distill(load_recipe("digits-2conv"), run=tmp_path / "mine")
    with pytest.raises(InputError, match=refused):
        kdsnn.quantize(tmp_path / "mine")
    for runs in ((str(tmp_path / "mine"),), (str(of_recipe), str(tmp_path / "mine"))):
        with pytest.raises(InputError, match=refused) as raised:
            open_study(*runs, target=ReferenceTarget())
        assert "kdsnn distill" in raised.value.hint
        assert "kdsnn convert" not in raised.value.hint


def test_what_cannot_be_a_run(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InputError, match="the images have no labels"):
        convert(tmp_path / "mine", arrays[0])
    with pytest.raises(UsageError, match="either a file to write, or a run"):
        kdsnn.convert(module(), "digits", timesteps=3, run=tmp_path / "mine", out=tmp_path / "mine.nir")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        convert(tmp_path / "file")
    assert not (tmp_path / "mine").exists()
    convert(tmp_path / "mine")
    write_json(tmp_path / "mine" / "module.json", {"data": {"dataset": 3}})
    with pytest.raises(InputError, match="does not say its data"):
        kdsnn.evaluate(tmp_path / "mine", "reference")
