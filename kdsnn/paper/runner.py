"""Runs what the rows of a table still lack: teachers first, then students, in several processes or on a Dask pool."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path

from kdsnn.errors import InputError, KdsnnError
from kdsnn.jobs.dask_workers import dask_pool
from kdsnn.jobs.interruption import to_go_on
from kdsnn.jobs.local_processes import Pool, completed, local_pool, result_of
from kdsnn.paper.runs import finished_runs, recipes_of, run_folder, same_but_seed
from kdsnn.recipes.paper_rows import Row
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import runs_root

__all__ = ["missing_recipes", "run_rows"]

Tell = Callable[[str], None]


def missing_recipes(rows: Sequence[Row], changes: Sequence[str] = (), *, as_published: bool = False) -> list[Recipe]:
    """The recipes of the rows and of their baselines, each once, of which there is no finished run."""
    done = [recipe for _, recipe in finished_runs()]
    of_rows = (recipe for row in rows for recipe in recipes_of(row, changes, as_published=as_published))
    wanted = {recipe.name: recipe for recipe in of_rows}
    return [recipe for recipe in wanted.values() if recipe not in done]


def run_rows(
    rows: Sequence[Row],
    changes: Sequence[str] = (),
    *,
    as_published: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    tell: Tell = print,
) -> None:
    """Trains what is missing, and measures noise where the rows ask for it.

    A run that was interrupted goes on where it was. One that fails does not stop the others.

    Args:
        rows: of a table.
        changes: of all recipes.
        as_published: see `kdsnn.paper.runs.recipes_of`.
        workers: processes at a time.
        scheduler: address of a Dask scheduler, whose workers take the place of the processes. They must see the
            runs folder under the same path, and the data folder, where KDSNN_DATA names one.
        tell: called with a line for each thing that is done.

    Raises:
        InputError: some failed; their reasons.
        PoolError, MissingExtraError, UsageError: see `kdsnn.jobs.dask_workers.dask_pool`.
    """
    from kdsnn.distill.losses.loss import loss_of
    from kdsnn.distill.teacher import teacher_folder

    recipes = missing_recipes(rows, changes, as_published=as_published)
    taught = [recipe for recipe in recipes if loss_of(recipe.distill).needs_teacher]
    teachers = {teacher_folder(recipe): recipe for recipe in taught}
    problems: list[str] = []
    with to_go_on("the same command again goes on where it stopped"), _pool(workers, scheduler) as pool:
        _wait(pool, {pool.submit(_teach, r): f"teacher {f.name}" for f, r in teachers.items()}, tell, problems)
        _wait(pool, {pool.submit(_distill, r): f"student {r.name}" for r in recipes}, tell, problems)
        _wait(pool, _noises(rows, changes, pool, as_published=as_published), tell, problems)
    if problems:
        raise InputError(f"{len(problems)} of the table's runs failed", problems=list(dict.fromkeys(problems)))


def _noises(rows: Sequence[Row], changes: Sequence[str], pool: Pool, *, as_published: bool) -> dict[Future[str], str]:
    sigmas: dict[str, list[float]] = {}
    recipes: dict[str, Recipe] = {}
    for row in rows:
        if row.sigma is not None:
            for recipe in recipes_of(row, changes, as_published=as_published):
                recipes[recipe.name] = recipe
                sigmas.setdefault(recipe.name, []).append(row.sigma)
    return {
        pool.submit(_measure, folder.resolve(), sigmas[name]): f"noise on {name}"
        for folder, recipe in finished_runs()
        for name in sigmas
        if same_but_seed(recipe, recipes[name])
    }


def _wait(pool: Pool, jobs: dict[Future[str], str], tell: Tell, problems: list[str]) -> None:
    for job in completed(pool, jobs):
        try:
            tell(f"{jobs[job]}: {result_of(job)}")
        except KdsnnError as error:
            problems.append(f"{jobs[job]}: {error}")


def _pool(workers: int, scheduler: str | None) -> AbstractContextManager[Pool]:
    if scheduler is None:
        return local_pool(workers)
    root, data = runs_root().resolve(), os.environ.get("KDSNN_DATA")
    folders = {"KDSNN_RUNS": str(root)} | ({"KDSNN_DATA": str(Path(data).resolve())} if data else {})
    return dask_pool(scheduler, shared=root, environ=folders)


def _teach(recipe: Recipe) -> str:
    from kdsnn.distill.teacher import teach
    from kdsnn.files.records import Measured, read_record

    return _percent(read_record(teach(recipe) / "result.json", Measured)["accuracy"])


def _distill(recipe: Recipe) -> str:
    from kdsnn.distill.student import distill
    from kdsnn.files.records import Measured, read_record

    run = distill(recipe, run=run_folder(recipe), resume=True)
    return _percent(read_record(run / "student.json", Measured)["accuracy"])


def _measure(folder: Path, sigmas: Sequence[float]) -> str:
    from kdsnn.paper.gaussian import measure_gaussian

    for sigma in sigmas:
        measure_gaussian(folder, sigma)
    return ", ".join(f"sigma {sigma}" for sigma in sigmas)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}%"
