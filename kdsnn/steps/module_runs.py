"""The run folder of a module that was converted: its network and figures, and which data it was made with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from kdsnn.choices import DATASETS
from kdsnn.data.datasets import Dataset
from kdsnn.data.encoders import DIRECT
from kdsnn.data.sources.save import save_data
from kdsnn.distill.preparation import IN_MEMORY
from kdsnn.errors import InputError
from kdsnn.files.reading import read_json
from kdsnn.files.records import as_python, problems_in
from kdsnn.files.writing import remove, write_json
from kdsnn.recipes.schema import DataSection
from kdsnn.run_folders import MODULE, RECIPE

__all__ = ["claim_for_module", "data_of_run", "ensure_for_module", "section_of_module", "write_module"]

SCHEMA = "kdsnn.module/1"
KEPT = {"dataset", "sha256", "steps", "range", "sensor"}  # of the data's section of a recipe


def ensure_for_module(run: Path) -> None:
    """Raises where a folder cannot become the run of a module; one that is already may be made anew.

    Raises:
        InputError: it is a file, or holds the run of a recipe.
    """
    if (run / RECIPE).is_file():
        raise InputError(f"{run} holds a run of a recipe", hint="take another folder")
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} exists and is not a folder")


def data_of_run(run: Path, data: object, dataset: Dataset | None) -> Dataset:
    """The data that a run of a module is made with, called as it will call them.

    Raises:
        InputError: they have no labels, or the folder cannot become such a run.
    """
    if dataset is None:
        raise InputError(
            "the images have no labels, and a run is measured on test images with labels",
            hint="give labels, or make a file alone: -o NAME.nir",
        )
    ensure_for_module(run)
    return dataset if isinstance(data, str | Path) else replace(dataset, name=IN_MEMORY)


def claim_for_module(run: Path) -> None:
    """Makes a folder ready to be written to: from now until `write_module`, it is no run. The caller holds its lock."""
    ensure_for_module(run)
    remove(run / MODULE)


def write_module(
    run: Path,
    name: str,
    data: object,
    dataset: Dataset,
    data_range: tuple[float, float] | None = None,
    sensor: tuple[int, int] | None = None,
) -> None:
    """Makes a folder a run; data that were in memory alone go with it.

    Args:
        run: that holds the network and its figures already.
        name: of the module.
        data: as they were given.
        dataset: what they are.
        data_range: what becomes 0 and what becomes 255 in them, where they do not say it.
        sensor: height and width in pixels, of recordings of events.
    """
    if isinstance(data, str | Path):
        section = DataSection(dataset=str(data), steps=dataset.steps, range=data_range, sensor=sensor)
    else:
        save_data(dataset, run / IN_MEMORY)
        section = DataSection.model_validate({"dataset": IN_MEMORY}, context={"placed": True})
    if section.dataset not in DATASETS:
        section = section.model_copy(update={"sha256": dataset.sha256})
    said = section.model_dump(mode="json", include=KEPT, exclude_none=True)
    if dataset.encode != DIRECT:
        said["encode"] = dataset.encode
    write_json(run / MODULE, {"schema": SCHEMA, "module": name, "data": said})


def section_of_module(run: Path) -> DataSection:
    """Which data a module was converted with.

    Raises:
        InputError: the file is broken.
    """
    path = run / MODULE
    try:
        section = DataSection.model_validate(as_python(read_json(path).get("data")), context={"placed": True})
    except ValidationError as error:
        raise InputError(f"{path} does not say its data", problems=list(problems_in(error))) from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply") from error
    inside = {"dataset": str(run.absolute() / IN_MEMORY)} if section.dataset == IN_MEMORY else {}
    return section.model_copy(update=inside)
