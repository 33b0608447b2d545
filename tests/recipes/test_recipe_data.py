"""Data of one's own in a recipe: from where a path starts, what is refused, and what decides a teacher."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.distill.preparation import prepare
from kdsnn.distill.teacher import teacher_folder
from kdsnn.errors import InputError, RecipeError
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.recipes.schema import DataSection, Recipe
from tests.data.sources.made import folder, numbered


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and its photos, and the working directory another, with other photos."""
    x, y = numbered(30, 3, (8, 8))
    folder(tmp_path / "project" / "photos", x, y, ("ant", "bee", "cat"))
    folder(tmp_path / "here" / "photos", x, y % 2, ("dog", "eel"))
    folder(tmp_path / "here" / "others", x, y % 2, ("fox", "gnu"))
    (tmp_path / "project" / "my.toml").write_text('name = "my"\n[data]\ndataset = "photos"\n')
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_a_path_starts_where_it_is_written(place: Path) -> None:
    recipe = load_recipe("../project/my.toml")
    assert recipe.data.dataset == str(place / "project" / "photos")
    for change in ("data.dataset=photos", "data={dataset='photos'}", "data.dataset='./photos'"):
        assert load_recipe("../project/my.toml", [change]).data.dataset == str(place / "here" / "photos")
    assert load_recipe("../project/my.toml", ["data.augment=flip"]).data.dataset == str(place / "project" / "photos")
    assert DataSection(dataset="photos").dataset == str(place / "here" / "photos")
    run = place / "run.toml"
    run.write_text(recipe_toml(recipe))
    assert load_recipe(run) == recipe


def test_what_lies_in_the_working_directory_alone_is_not_the_recipes(place: Path) -> None:
    path = place / "project" / "my.toml"
    path.write_text('name = "my"\n[data]\ndataset = "others"\n')
    with pytest.raises(RecipeError, match="there is no data set 'others'"):
        load_recipe(path)
    path.write_text('name = "my"\n[data]\ndataset = "./others"\n')
    with pytest.raises(InputError, match=f"there is no file or folder {place}/project/others"):
        prepare(load_recipe(path))  # a run whose data are gone can still be read


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.dataset=mnist5", "did you mean 'mnist5k'"),
        ("data.test_share=0", "data.test_share"),
        ("data.test_share=1.0", "data.test_share"),
        ("data.range=[1, 0]", "the smaller number comes first"),
        ("data.range=[0, nan]", "finite"),
        ("data.range=[0]", "data.range"),
        ("data.sha256=abc", "data.sha256"),
        ("data={dataset='digits', range=[0, 1]}", "range: data set 'digits' has its own"),
        ("data={dataset='digits', test_share=0.5}", "test_share: data set 'digits' has its own"),
    ],
)
def test_a_wrong_section_is_refused(place: Path, change: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe(place / "project" / "my.toml", [change])


def test_data_are_prepared_as_the_recipe_says(place: Path) -> None:
    x, y = numbered(40, 2, (8, 8))
    np.savez(place / "project" / "floats.npz", x=x / 255 * 2 - 1, y=y)
    changes = ["data.dataset=../project/floats.npz", "data.range=[-1, 1]", "data.test_share=0.25"]
    prepared = prepare(load_recipe(place / "project" / "my.toml", changes))
    assert len(prepared.dataset.test.labels) == 10
    both = np.concatenate([prepared.dataset.train.images, prepared.dataset.test.images])[:, 0]
    assert sorted(map(bytes, both)) == sorted(map(bytes, x))
    assert prepared.dataset.value_range == (-1, 1)
    np.savez(place / "v.npz", x=np.zeros((8, 5), np.uint8), y=np.arange(8) % 2)
    vectors = load_recipe(place / "project" / "my.toml", ["data.dataset=../v.npz"])
    assert prepare(vectors).dataset.image_shape == (5,)
    with pytest.raises(RecipeError, match=r"'flip' is for images, and v\.npz holds vectors"):
        prepare(load_recipe(place / "project" / "my.toml", ["data.dataset=../v.npz", "data.augment=flip"]))


def test_the_data_decide_the_teacher_and_changed_ones_are_noticed(place: Path) -> None:
    recipe = load_recipe(place / "project" / "my.toml")
    first = prepare(recipe).recipe
    assert first.data.sha256 is not None
    assert teacher_folder(first).name.startswith("photos-cnn-")
    image = place / "project" / "photos" / "ant" / "00000.png"
    image.unlink()
    with pytest.raises(InputError, match="photos is not what the recipe was made with"):
        prepare(first)
    second = prepare(recipe).recipe
    assert teacher_folder(first) != teacher_folder(second)
    assert prepare(Recipe(name="d", data=DataSection(dataset="digits"))).recipe.data.sha256 is None
