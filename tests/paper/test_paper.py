"""The paper's rows: a recipe for each, what counts as a run of it, and how the missing ones are run."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdsnn.choices import STUDENTS, TEACHERS
from kdsnn.distill.student import distill
from kdsnn.errors import InputError, UsageError
from kdsnn.files.reading import read_json
from kdsnn.files.writing import write_json
from kdsnn.jobs.local_processes import Pool
from kdsnn.paper import runner
from kdsnn.paper.gaussian import measure_gaussian
from kdsnn.paper.runner import missing_recipes, run_rows
from kdsnn.paper.runs import collect, recipes_of, run_folder, select_rows
from kdsnn.paper.smoke import SMOKE, smoke_data
from kdsnn.recipes.load import load_recipe, recipe_names, recipe_toml
from kdsnn.recipes.paper_rows import DERIVED, TABLES, Figures, Row
from kdsnn.recipes.schema import Recipe

VGG = "cifar10-vgg11-from-resnet18"


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs run in this process; their names are kept."""
    ran: list[str] = []

    class Inline(Executor):
        def submit(self, job: Callable[..., str], *arguments: object) -> Future[str]:
            ran.append(f"{job.__name__.strip('_')} {getattr(arguments[0], 'name', '')}")
            future: Future[str] = Future()
            try:
                future.set_result(job(*arguments))
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)
            return future

    @contextmanager
    def pool(workers: int) -> Iterator[Pool]:
        yield Pool(Inline(), workers)

    monkeypatch.setattr(runner, "local_pool", pool)
    return ran


@pytest.fixture
def _smoke() -> Iterator[None]:
    with smoke_data():
        yield


def finished(recipe: Recipe, folder: Path, student: float, teacher: float | None = None) -> Path:
    """A run as it looks when it is done, without training it."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe_toml(recipe))
    write_json(folder / "student.json", {"accuracy": student})
    if teacher is not None:
        write_json(folder / "teacher.json", {"accuracy": teacher})
    return folder


def test_all_rows_of_the_paper_are_there() -> None:
    papers = {table: [row for row in rows if row.paper is not None] for table, rows in TABLES.items()}
    assert {table: len(rows) for table, rows in papers.items()} == {"table1": 13, "table2": 7, "table4": 3}
    assert [row.kind for row in papers["table1"]] == ["response"] * 7 + ["feature"] * 6
    gains = [row.paper.gain for row in papers["table1"] if row.paper is not None]
    assert gains == [0.68, 0.99, 1.07, 0.64, 0.80, 0.77, 0.73, 0.69, 1.76, 1.23, 0.38, 0.74, 0.44]  # as printed
    gains = [row.paper.gain for row in papers["table2"] if row.paper is not None]
    assert gains == [1.27, 1.54, 0.83, 1.31, 0.48, 0.91, 0.86]
    assert len({row.name for rows in TABLES.values() for row in rows}) == sum(map(len, TABLES.values())) - 2  # in two


@pytest.mark.parametrize("row", [row for rows in TABLES.values() for row in rows], ids=lambda row: row.name)
def test_the_recipe_of_a_row_is_what_the_row_says(row: Row) -> None:
    recipe, alone = load_recipe(row.recipe), load_recipe(row.alone)
    assert (recipe.distill.kind, alone.distill.kind) == (row.kind, "none")
    assert (recipe.student.model, recipe.teacher.model) == (row.student, row.teacher)
    assert recipe.data.dataset == row.dataset
    assert recipe.student.timesteps == 4
    assert row.student in STUDENTS
    assert row.teacher in TEACHERS
    assert (alone.student, alone.train, alone.data) == (recipe.student, recipe.train, recipe.data)  # but the teacher


def test_a_made_recipe_is_its_file_with_changes() -> None:
    made = load_recipe("mnist5k-rot-2conv-alone", ["train.epochs=3"])
    base = load_recipe("mnist5k-2conv")
    assert made.train == base.train.model_copy(update={"epochs": 3})
    assert (made.name, made.data.dataset, made.distill.kind) == ("mnist5k-rot-2conv-alone", "mnist5k-rot", "none")
    assert made.student == base.student
    assert "without a teacher" in made.description
    assert set(DERIVED) < set(recipe_names())


def test_rows_are_chosen_by_name() -> None:
    assert [r.name for r in select_rows("table2", ["*gaussian*"])] == [
        f"{VGG}-gaussian-{s}" for s in (0.01, 0.03, 0.05)
    ]
    assert len(select_rows("table1")) == 19
    with pytest.raises(UsageError, match="no row of table1 is called 'vgg'") as raised:
        select_rows("table1", ["vgg", "cifar10-*"])
    assert VGG in raised.value.hint


def test_runs_of_all_seeds_count_and_those_of_other_recipes_do_not(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for seed, accuracy in ((0, 0.90), (1, 0.92)):
        finished(load_recipe(VGG, [f"seed={seed}"]), runs / f"kd{seed}", accuracy, 0.95)
    finished(load_recipe("cifar10-vgg11-alone"), runs / "alone", 0.88)
    finished(load_recipe(VGG, ["train.epochs=1"]), runs / "short", 0.10, 0.10)
    (finished(load_recipe(VGG, ["seed=2"]), runs / "unfinished", 0.5) / "student.json").unlink()
    (runs / "broken").mkdir()
    (runs / "broken" / "recipe.toml").write_text("name =")
    write_json(runs / "broken" / "student.json", {})
    (result,) = collect(select_rows("table1", [VGG]), as_published=True)
    assert (result.ours, result.seeds) == (Figures(95.0, 88.0, 91.0), 2)
    assert result.as_json()["ours"] == {"teacher": 95.0, "alone": 88.0, "distilled": 91.0, "gain": 3.0}
    assert result.as_json()["paper"]["gain"] == 0.68
    (short,) = collect(select_rows("table1", [VGG]), ["train.epochs=1"], as_published=True)
    assert (short.ours, short.seeds) == (Figures(10.0, None, 10.0), 1)
    assert short.ours.gain is None


@pytest.mark.parametrize("row", [row for rows in TABLES.values() for row in rows], ids=lambda row: row.name)
def test_a_row_has_the_settings_that_gained_or_those_of_the_paper(row: Row) -> None:
    taught, alone = recipes_of(row)
    assert taught.distill.kind == {"response": "drive", "feature": "feature"}[row.kind]
    assert (taught.distill.task, alone.distill.task, alone.distill.kind) == ("mse", "mse", "none")
    assert taught.student.readout == alone.student.readout == "rate"
    assert (row.kind == "feature") == (taught.distill.pairs == "classifier")
    published = recipes_of(row, as_published=True)
    summed = ["distill.feature_reduction=sum"] if row.kind == "feature" else []
    assert published == (load_recipe(row.recipe, summed), load_recipe(row.alone))
    assert load_recipe(row.recipe).distill.task == load_recipe(row.alone).distill.task == "ce"
    assert [recipe.train.epochs for recipe in recipes_of(row, ["train.epochs=3"])] == [3, 3]


def test_what_is_missing_is_known_once_each(tmp_path: Path) -> None:
    rows = select_rows("table1", ["cifar10-vgg11-*"])
    names = [recipe.name for recipe in missing_recipes(rows)]
    assert names == [VGG, "cifar10-vgg11-alone", "cifar10-vgg11-from-wrn28-4", "cifar10-vgg11-from-pyramidnet18"]
    finished(load_recipe("cifar10-vgg11-alone"), tmp_path / "runs" / "alone", 0.88)
    assert "cifar10-vgg11-alone" in [recipe.name for recipe in missing_recipes(rows)]  # that one has other settings
    assert "cifar10-vgg11-alone" not in [recipe.name for recipe in missing_recipes(rows, as_published=True)]
    assert [r.seed for r in missing_recipes(rows, ["seed=1"])] == [1] * 4  # of another seed


@pytest.mark.usefixtures("_smoke")
def test_rows_are_run_shown_and_not_run_again(inline: list[str]) -> None:
    rows, told = select_rows("table2", ["*gaussian-0.0[13]", "mnist-rot-2conv"]), list[str]()
    run_rows(rows, SMOKE, tell=told.append)
    assert [job.split()[0] for job in inline] == ["teach"] * 2 + ["distill"] * 4 + ["measure"] * 2
    assert len(told) == 8
    for result in collect(rows, SMOKE):
        assert result.seeds == 1
        assert None not in (result.ours.teacher, result.ours.alone, result.ours.distilled, result.ours.gain)
    kept = read_json(run_folder(recipes_of(rows[0], SMOKE)[0]) / "gaussian.json")
    assert set(kept) == {"0.01", "0.03"}
    assert set(kept["0.01"]) == {"teacher", "student"}
    inline.clear()
    run_rows(rows, SMOKE, tell=told.append)
    assert [job.split()[0] for job in inline] == ["measure"] * 2  # which finds it measured


@pytest.mark.usefixtures("_smoke")
def test_one_that_fails_does_not_stop_the_others_and_is_resumed_later(
    inline: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = select_rows("table4", ["mnist-2conv"])
    work = runner._distill

    def failing(recipe: Recipe) -> str:
        if recipe.name == "mnist-2conv":
            raise InputError("no luck")
        return work(recipe)

    failing.__name__ = "distill"
    monkeypatch.setattr(runner, "_distill", failing)
    with pytest.raises(InputError, match="1 of the table's runs failed") as raised:
        run_rows(rows, SMOKE, tell=lambda _line: None)
    assert raised.value.problems == ("student mnist-2conv: no luck",)
    assert collect(rows, SMOKE)[0].ours.alone is not None
    monkeypatch.setattr(runner, "_distill", work)
    inline.clear()
    run_rows(rows, SMOKE, tell=lambda _line: None)
    assert inline == ["teach mnist-2conv", "distill mnist-2conv"]


@pytest.mark.usefixtures("_smoke")
def test_gaussian_noise_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("cifar10-vgg11-alone", SMOKE)
    run = distill(recipe, run=run_folder(recipe), device="cpu")
    measure_gaussian(run, 0.05)
    assert set(read_json(run / "gaussian.json")["0.05"]) == {"student"}  # alone: it has no teacher
    monkeypatch.setattr("kdsnn.distill.student.load_student", None)  # must not be asked
    measure_gaussian(run, 0.05)


def test_the_environment_is_as_it_was_after_a_smoke_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_RUNS", "mine")
    monkeypatch.delenv("KDSNN_DATA", raising=False)
    with smoke_data():
        root = Path(os.environ["KDSNN_DATA"])
        assert root.is_dir()
    assert not root.exists()
    assert os.environ["KDSNN_RUNS"] == "mine"
    assert "KDSNN_DATA" not in os.environ
