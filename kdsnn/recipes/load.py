"""Recipes by name or path: read, changed by `--set`, and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from kdsnn.data.sources.reference import absolute
from kdsnn.errors import InputError, RecipeError, UsageError
from kdsnn.files.reading import read_text, reading
from kdsnn.files.records import as_python
from kdsnn.own_code.functions import anchored
from kdsnn.recipes.paper_rows import DERIVED
from kdsnn.recipes.schema import Recipe
from kdsnn.registry import suggestion
from kdsnn.toml_files import MOST_BYTES, table_of

__all__ = ["load_recipe", "recipe_names", "recipe_toml"]


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package: its TOML files, and what is made from them for the paper."""
    folder = files("kdsnn.recipes")
    return sorted([*DERIVED, *(i.name.removesuffix(".toml") for i in folder.iterdir() if i.name.endswith(".toml"))])


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe, checked.

    Args:
        recipe: name of one that ships with the package, or path of a TOML file, from whose folder a path in it starts.
        overrides: changes, such as `distill.alpha=0.5`; values are TOML, or else text. A path in one starts from the
            working directory.

    Raises:
        RecipeError: with all problems at once.
        UsageError: there is no recipe of that name.
    """
    data = _read(str(recipe))
    _place(data, Path(recipe).parent)
    for override in overrides:
        _override(data, override)
    try:
        return Recipe.model_validate(as_python(data), context={"placed": True})
    except ValidationError as error:
        raise RecipeError(f"recipe {str(recipe)!r} is not valid", problems=list(_problems(error))) from error
    except RecursionError as error:
        raise RecipeError(f"recipe {str(recipe)!r} is nested too deeply") from error


def recipe_toml(recipe: Recipe) -> str:
    """The recipe as TOML, defaults written out."""
    return tomlkit.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _read(recipe: str) -> dict[str, Any]:
    if recipe.endswith(".toml"):
        path = Path(recipe)
        with reading(f"recipe file {recipe}", kind=RecipeError):
            if not path.is_file():
                raise RecipeError(f"there is no recipe file {recipe}")
        data = read_text(path, MOST_BYTES, kind=RecipeError)
    elif recipe in DERIVED:
        base, changes = DERIVED[recipe]
        made = _read(base)
        for change in changes:
            _override(made, change)
        return made
    elif recipe in recipe_names():
        data = (files("kdsnn.recipes") / f"{recipe}.toml").read_text()
    else:
        hint = suggestion(recipe, recipe_names(), "recipes")
        raise UsageError(f"there is no recipe {recipe!r}", hint=hint)
    return table_of(data, f"recipe {recipe!r}", RecipeError)


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"change {override!r} is not KEY=VALUE", hint="for example: --set distill.alpha=0.5")
    try:
        parsed = table_of(f"value = {text}", "a change")
    except InputError:
        parsed = {}
    value = parsed["value"] if len(parsed) == 1 else text  # a line break could begin another key
    section = data
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise RecipeError(f"change {override!r}: {part!r} is not a section")
    section[parts[-1]] = value
    if isinstance(changed := data[parts[0]], dict):
        _place({parts[0]: changed}, Path.cwd())


def _place(data: dict[str, Any], folder: Path) -> None:
    """Makes the paths of the data and of a user's own networks absolute, from the folder where they were written."""
    for name in ("data", "teacher", "student"):
        section = data.get(name)
        if not isinstance(section, dict):
            continue
        if isinstance(dataset := section.get("dataset"), str):
            section["dataset"] = absolute(dataset, folder)
        if isinstance(model := section.get("model"), str):
            section["model"] = anchored(model, folder)
        if isinstance(weights := section.get("weights"), str):
            section["weights"] = str((folder / Path(weights).expanduser()).absolute())


UNION = ("literal", "constrained", "tuple")  # how pydantic calls the kinds of value that a key may have


def _problems(error: ValidationError) -> Iterator[str]:
    found = error.errors()
    wrong_items = {problem["loc"][:-1] for problem in found}
    for problem in found:
        if problem["type"] == "too_short" and problem["loc"] in wrong_items:
            continue  # pydantic counts the right items only
        where = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(UNION))
        where = repr(where)[1:-1][:200]  # a key may hold anything, terminal codes too
        if problem["type"] == "extra_forbidden":
            what_to_do = suggestion(str(problem["loc"][-1]), _keys(problem["loc"][:-1]), "keys")
            yield f"{where}: there is no such key; {what_to_do}"
        elif problem["type"] == "missing":
            yield f"{where}: this key is needed"
        elif problem["type"] == "value_error":  # ours: it says what is wrong, and what to do
            yield f"{where}: {problem['ctx']['error']}".removeprefix(": ")[:300]
        else:
            yield f"{where}: {problem['msg']}, not {problem['input']!r}"[:300]


def _keys(section: tuple[int | str, ...]) -> list[str]:
    model: Any = Recipe
    for part in section:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
