"""Recipes: those that ship, changes by --set, and everything that can be wrong with one, told at once."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdsnn.choices import DATASETS, STUDENTS, SURROGATES, TEACHERS
from kdsnn.errors import RecipeError, UsageError
from kdsnn.recipes.load import load_recipe, recipe_names, recipe_toml
from kdsnn.recipes.schema import DistillSection, Recipe, StudentSection, TrainSection


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def problems(recipe: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as raised:
        load_recipe(recipe, overrides)
    return raised.value.problems


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_names_what_exists(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.data.dataset in DATASETS
    assert recipe.teacher.model in TEACHERS
    assert recipe.student.model in STUDENTS
    assert recipe.student.surrogate in SURROGATES


@pytest.mark.parametrize("name", recipe_names())
def test_toml_goes_round(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["description='a \\n \"b\" ü'"])
    path = written(tmp_path, recipe_toml(recipe))
    assert load_recipe(path) == recipe
    assert recipe_toml(load_recipe(path)) == recipe_toml(recipe)


@given(
    st.builds(
        Recipe,
        name=st.just("made"),
        description=st.text(st.characters(exclude_categories=["Cs"])),
        seed=st.integers(0, 2**32 - 1),
        student=st.builds(
            StudentSection,
            width=st.floats(0.01, 64),
            channels=st.none() | st.lists(st.integers(1, 1000), min_size=1).map(tuple),
        ),
        distill=st.builds(
            DistillSection,
            alpha=st.floats(0, 1),
            temperature=st.floats(1e-6, 1e6),
            pairs=st.none() | st.lists(st.tuples(st.text("ab.", min_size=1), st.text("01")), min_size=1).map(tuple),
        ),
        train=st.builds(TrainSection, lr=st.floats(1e-30, 1e9), clip_norm=st.none() | st.floats(1e-9, 10)),
    )
)
def test_any_recipe_goes_round(recipe: Recipe) -> None:
    import tomllib

    from kdsnn.files.records import as_python

    assert Recipe.model_validate(as_python(tomllib.loads(recipe_toml(recipe)))) == recipe


def test_the_recipe_of_the_paper() -> None:
    recipe = load_recipe("mnist-2conv")
    assert (recipe.teacher.model, recipe.student.model, recipe.student.timesteps) == ("resnet18", "2conv", 4)
    assert recipe.student.width == 1.0
    assert recipe.student.channels is None
    assert recipe.distill.kind == "response"


def test_changes() -> None:
    recipe = load_recipe(
        "digits-2conv",
        ["distill.alpha=0.75", "distill.kind=none", " train.epochs =3", "student.channels=[3, 5]", 'name = "x"'],
    )
    assert (recipe.distill.alpha, recipe.distill.kind, recipe.train.epochs) == (0.75, "none", 3)
    assert (recipe.student.channels, recipe.name) == ((3, 5), "x")
    pairs = load_recipe("digits-2conv", ["distill.pairs=[['if1', '5'], ['if2', '12']]"])
    assert pairs.distill.pairs == (("if1", "5"), ("if2", "12"))
    assert load_recipe("digits-2conv", ["description=a=b"]).description == "a=b"
    assert load_recipe("digits-2conv", ["train.lr=1"]).train.lr == 1.0
    assert load_recipe("digits-2conv").distill.alpha != 0.75  # the recipe that ships is as it was


@pytest.mark.parametrize("change", ["distill.alpha", "=1", "distill.=1", ".alpha=1", ""])
def test_a_change_that_is_none(change: str) -> None:
    with pytest.raises(RecipeError, match=r"is not KEY=VALUE.*\n.*--set distill.alpha=0.5"):
        load_recipe("digits-2conv", [change])


def test_a_change_below_what_is_no_section() -> None:
    with pytest.raises(RecipeError, match="'name' is not a section"):
        load_recipe("digits-2conv", ["name.first=1"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("distill.alhpa=0.5", ["distill.alhpa: there is no such key", "did you mean 'alpha'?"]),
        ("distil.alpha=0.5", ["distil: there is no such key", "did you mean 'distill'?"]),
        ("teacher.epoch=0.5", ["teacher.epoch", "did you mean 'epochs'?"]),  # of the section it inherits from
        ("distill.alpha=-1.5", ["distill.alpha", "greater than or equal to 0, not -1.5"]),
        ("distill.alpha=nan", ["distill.alpha", "finite"]),
        ("distill.temperature=0", ["distill.temperature", "greater than 0"]),
        ("distill.temperature=inf", ["distill.temperature", "finite"]),
        ("distill.kind=response-based", ["distill.kind", "no loss 'response-based'", "did you mean 'response'?"]),
        ("distill.pairs=[['if1']]", ["distill.pairs.0.1"]),
        ("distill.pairs=[['if1', 2]]", ["distill.pairs.0.1", "string"]),
        ("distill.pairs=[]", ["distill.pairs", "at least 1"]),
        ("train.epochs=2.5", ["train.epochs", "integer"]),
        ("train.epochs='3'", ["train.epochs", "integer"]),
        ("train.epochs=true", ["train.epochs", "integer"]),
        ("train.epochs=0", ["train.epochs"]),
        ("train.batch_size=1000000000000000000000", ["train.batch_size"]),
        ("train.lr=-1e-3", ["train.lr"]),
        ("train.schedule=onecicle", ["train.schedule", "onecycle"]),
        ("student.timesteps=0", ["student.timesteps"]),
        ("student.width=1e9", ["student.width"]),
        ("student.channels=[]", ["student.channels"]),
        ("student.channels=[1, 2.5]", ["student.channels.1"]),
        ("student.channels=16", ["student.channels"]),
        ("student.model=../x", ["student.model"]),
        ("quantize.weight_bits=1", ["quantize.weight_bits"]),
        ("quantize.input_bits=9", ["quantize.input_bits", "'auto'", "less than or equal to 8"]),
        ("seed=-1", ["seed"]),
        ("name=../../etc", ["name"]),
        ("data=3", ["data", "dictionary"]),
    ],
)
def test_a_wrong_value_is_named(change: str, words: list[str]) -> None:
    found = "\n".join(problems("digits-2conv", change))
    for word in words:
        assert word in found


def test_all_problems_are_told_at_once() -> None:
    found = problems("digits-2conv", "train.lr=nan", "distill.alhpa=1", "student.timesteps=0", "x=1")
    assert len(found) == 4


def test_terminal_codes_in_a_recipe_do_not_reach_the_terminal(tmp_path: Path) -> None:
    text = '"a\\u001b[31m" = 1\nname = "b\\u001b[2J"\n[train]\nschedule = "c\\u0007"\n'
    with pytest.raises(RecipeError) as raised:
        load_recipe(written(tmp_path, text))
    assert len(raised.value.problems) == 3
    assert str(raised.value).replace("\n", " ").isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name: this key is needed"),
        ("# only words", "name: this key is needed"),
        (b"name = '\xff'", "is not UTF-8"),
        ("name = ", "is not TOML"),
        ("name = 'a'\nname = 'b'", "is not TOML"),
        ("[[train]]\nepochs = 1", "train: "),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no recipe file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(RecipeError, match="there is no recipe file"):
        load_recipe(tmp_path / "folder.toml")


@pytest.mark.parametrize(("name", "hint"), [("mnist5k-2con", "did you mean 'mnist5k-2conv'?"), ("", "recipes are: ")])
def test_an_unknown_name_is_answered_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_recipe(name)
    assert raised.value.exit_code == 2
    assert hint in raised.value.hint


def test_every_wrong_name_is_told_at_once() -> None:
    wrong = {
        "data.dataset": ("mnist5", "data set 'mnist5'; did you mean 'mnist5k'?"),
        "data.augment": ("afine", "augmentation 'afine'; did you mean 'affine'?"),
        "teacher.model": ("resnet1", "teacher 'resnet1'; did you mean 'resnet18'?"),
        "teacher.optimizer": ("adam", "optimizer 'adam'; did you mean 'adamw'?"),
        "student.model": ("2con", "student '2con'; did you mean '2conv'?"),
        "student.surrogate": ("arctangent", "surrogate gradient 'arctangent'; surrogate gradients are: atan, "),
        "distill.kind": ("respons", "loss 'respons'; did you mean 'response'?"),
        "train.schedule": ("one-cycle", "schedule 'one-cycle'; did you mean 'onecycle'?"),
        "quantize.method": ("best", "quantization method 'best'; quantization methods are: max, mse, percentile"),
    }
    found = problems("digits-2conv", *(f"{key}={value}" for key, (value, _) in wrong.items()))
    assert len(found) == len(wrong)
    for key, (_, says) in wrong.items():
        assert any(p.startswith(f"{key}: there is no {says}") for p in found), key


def test_a_recipe_cannot_be_changed() -> None:
    recipe = load_recipe("digits-2conv")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 1  # type: ignore[misc]
    assert math.isfinite(recipe.train.lr)


def test_recipes_and_runs_are_read_without_torch() -> None:
    code = """
import sys
import kdsnn.recipes.load, kdsnn.run_folders
kdsnn.recipes.load.load_recipe("digits-2conv")
heavy = {"torch", "numpy", "sklearn", "accelerate"} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
