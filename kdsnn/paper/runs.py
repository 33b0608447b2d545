"""Which runs stand for a row of a table, and what was measured in them."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kdsnn.errors import InputError, UsageError
from kdsnn.files.records import Measured, read_record
from kdsnn.paper.gaussian import gaussian_accuracy
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.recipes.paper_rows import PUBLISHED, SETTINGS, TABLES, Figures, Row
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import RECIPE, run_names, runs_root

__all__ = ["Result", "collect", "finished_runs", "recipes_of", "run_folder", "same_but_seed", "select_rows"]


@dataclass(frozen=True)
class Result:
    """A row, and what we measured: means over all seeds that were run, in percent.

    Attributes:
        row: with the paper's figures.
        ours: None for each that was not run.
        seeds: how many seeds of the distilled student there are.
    """

    row: Row
    ours: Figures
    seeds: int

    def as_json(self) -> dict[str, Any]:
        """All figures by name; in percent, gains in points."""
        return {
            "row": self.row.name,
            "recipe": self.row.recipe,
            "alone": self.row.alone,
            "dataset": self.row.dataset,
            "kind": self.row.kind,
            "student": self.row.student,
            "teacher": self.row.teacher,
            "sigma": self.row.sigma,
            "paper": None if self.row.paper is None else _figures(self.row.paper),
            "ours": _figures(self.ours),
            "seeds": self.seeds,
        }


def select_rows(table: str, patterns: Sequence[str] = ()) -> tuple[Row, ...]:
    """Rows of a table.

    Args:
        table: one of `kdsnn.recipes.paper_rows.TABLES`.
        patterns: names of rows, with `*` for anything; none takes all.

    Raises:
        UsageError: a pattern fits no row.
    """
    rows = TABLES[table]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(row.name, pattern) for row in rows):
            names = ", ".join(row.name for row in rows)
            raise UsageError(f"no row of {table} is called {pattern!r}", hint=f"rows are: {names}")
    return tuple(r for r in rows if not patterns or any(fnmatch.fnmatchcase(r.name, p) for p in patterns))


def recipes_of(row: Row, changes: Sequence[str] = (), *, as_published: bool = False) -> tuple[Recipe, Recipe]:
    """The recipes of a row: of the student that is taught, and of the student alone.

    Args:
        row: of a table.
        changes: of both.
        as_published: with the paper's loss on the rates, and the cross-entropy of the labels; else with the settings
            that gained, `kdsnn.recipes.paper_rows.SETTINGS`.
    """
    settings = PUBLISHED if as_published else SETTINGS
    taught, alone = ([*settings[kind], *changes] for kind in (row.kind, "none"))
    return load_recipe(row.recipe, taught), load_recipe(row.alone, alone)


def collect(rows: Sequence[Row], changes: Sequence[str] = (), *, as_published: bool = False) -> list[Result]:
    """What was measured in runs of the rows' recipes, whichever their seeds.

    Args:
        rows: of a table.
        changes: of all recipes, such as `train.epochs=50`: runs of these count, and no others.
        as_published: see `recipes_of`.
    """
    runs = finished_runs()
    return [_result(row, recipes_of(row, changes, as_published=as_published), runs) for row in rows]


def finished_runs() -> list[tuple[Path, Recipe]]:
    """All runs under the root whose student is trained; those that cannot be read are left out."""
    found = []
    for name in run_names():
        folder = runs_root() / name
        if (folder / "student.json").is_file():
            try:
                found.append((folder, load_recipe(str(folder / RECIPE))))
            except InputError:
                continue
    return found


def run_folder(recipe: Recipe) -> Path:
    """Where the run of a row lies: its name, and a sign of its contents."""
    digest = hashlib.sha256(recipe_toml(recipe).encode()).hexdigest()[:8]
    return runs_root() / f"{recipe.name}-{digest}"


def same_but_seed(recipe: Recipe, other: Recipe) -> bool:
    """Whether two recipes train the same, from whichever seed."""
    return recipe.model_copy(update={"seed": other.seed, "description": other.description}) == other


def _result(row: Row, recipes: tuple[Recipe, Recipe], runs: Sequence[tuple[Path, Recipe]]) -> Result:
    taught, alone = (_runs_of(recipe, runs) for recipe in recipes)
    ours = Figures(
        teacher=_mean([_accuracy(run, "teacher", row) for run in taught]),
        alone=_mean([_accuracy(run, "student", row) for run in alone]),
        distilled=_mean([_accuracy(run, "student", row) for run in taught]),
    )
    return Result(row, ours, len(taught))


def _runs_of(recipe: Recipe, runs: Sequence[tuple[Path, Recipe]]) -> list[Path]:
    """One run a seed, the latest."""
    by_seed: dict[int, Path] = {}
    for folder, other in runs:
        if same_but_seed(other, recipe):
            by_seed.setdefault(other.seed, folder)
    return list(by_seed.values())


def _accuracy(run: Path, who: str, row: Row) -> float | None:
    if row.sigma is not None:
        return gaussian_accuracy(run, row.sigma, who)
    return float(read_record(run / f"{who}.json", Measured)["accuracy"])


def _mean(accuracies: Sequence[float | None]) -> float | None:
    known = [a for a in accuracies if a is not None]
    return round(100 * fmean(known), 2) if known else None


def _figures(figures: Figures) -> dict[str, float | None]:
    return {
        "teacher": figures.teacher,
        "alone": figures.alone,
        "distilled": figures.distilled,
        "gain": figures.gain,
    }
