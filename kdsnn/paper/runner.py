"""Runs what the rows of a table still lack: teachers first, then students, in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from kdsnn.errors import InputError, KdsnnError
from kdsnn.paper.runs import finished_runs, run_folder, same_but_seed
from kdsnn.recipe import Recipe, load_recipe
from kdsnn.recipes.paper import Row

__all__ = ["missing_recipes", "run_rows"]

Tell = Callable[[str], None]


def missing_recipes(rows: Sequence[Row], changes: Sequence[str] = ()) -> list[Recipe]:
    """The recipes of the rows and of their baselines, each once, of which there is no finished run."""
    done = [recipe for _, recipe in finished_runs()]
    wanted = dict.fromkeys(name for row in rows for name in (row.recipe, row.alone))
    recipes = [load_recipe(name, changes) for name in wanted]
    return [recipe for recipe in recipes if recipe not in done]


def run_rows(rows: Sequence[Row], changes: Sequence[str] = (), *, workers: int = 1, tell: Tell = print) -> None:
    """Trains what is missing, and measures noise where the rows ask for it.

    A run that was interrupted goes on where it was. One that fails does not stop the others.

    Args:
        rows: of a table.
        changes: of all recipes.
        workers: processes at a time.
        tell: called with a line for each thing that is done.

    Raises:
        InputError: some failed; their reasons.
    """
    from kdsnn.distill.pipeline import teacher_folder

    recipes = missing_recipes(rows, changes)
    taught = [recipe for recipe in recipes if recipe.distill.kind != "none"]
    teachers = {teacher_folder(recipe): recipe for recipe in taught}
    problems: list[str] = []
    with _pool(workers) as submit:
        _wait({submit(_teach, r): f"teacher {f.name}" for f, r in teachers.items()}, tell, problems)
        _wait({submit(_distill, r): f"student {r.name}" for r in recipes}, tell, problems)
        _wait(_noises(rows, changes, submit), tell, problems)
    if problems:
        raise InputError(f"{len(problems)} of the table's runs failed", problems=list(dict.fromkeys(problems)))


Submit = Callable[..., "Future[str]"]


def _noises(rows: Sequence[Row], changes: Sequence[str], submit: Submit) -> dict[Future[str], str]:
    sigmas: dict[str, list[float]] = {}
    for row in rows:
        if row.sigma is not None:
            for name in (row.recipe, row.alone):
                sigmas.setdefault(name, []).append(row.sigma)
    recipes = {name: load_recipe(name, changes) for name in sigmas}
    return {
        submit(_measure, folder, sigmas[name]): f"noise on {name}"
        for folder, recipe in finished_runs()
        for name in sigmas
        if same_but_seed(recipe, recipes[name])
    }


def _wait(jobs: dict[Future[str], str], tell: Tell, problems: list[str]) -> None:
    for job in as_completed(jobs):
        try:
            tell(f"{jobs[job]}: {job.result()}")
        except KdsnnError as error:
            problems.append(f"{jobs[job]}: {error}")
        except BrokenExecutor:
            problems.append(f"{jobs[job]}: a process died, for lack of memory perhaps: try fewer workers")


@contextmanager
def _pool(workers: int) -> Iterator[Submit]:
    """Processes of their own, each with its share of the cores; what has not begun is dropped on an error."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(threads,))
    try:
        yield executor.submit
    finally:
        executor.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _teach(recipe: Recipe) -> str:
    from kdsnn.distill.pipeline import teach
    from kdsnn.runs import read_json

    return _percent(read_json(teach(recipe) / "result.json")["accuracy"])


def _distill(recipe: Recipe) -> str:
    from kdsnn.distill.pipeline import distill
    from kdsnn.runs import read_json

    return _percent(read_json(distill(recipe, run=run_folder(recipe), resume=True) / "student.json")["accuracy"])


def _measure(folder: Path, sigmas: Sequence[float]) -> str:
    from kdsnn.paper.gaussian import measure_gaussian

    for sigma in sigmas:
        measure_gaussian(folder, sigma)
    return ", ".join(f"sigma {sigma}" for sigma in sigmas)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}%"
