"""The images that a command shows to a network, their labels, and which these are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from kdsnn.choices import DATASETS, ENCODERS
from kdsnn.data.datasets import Dataset
from kdsnn.data.encoders import DIRECT, check_still
from kdsnn.data.identity import DataIdentity, identify
from kdsnn.data.sources.load import ImageSet, load_data, load_images
from kdsnn.data.sources.source import Range, Reading
from kdsnn.distill.preparation import data_of
from kdsnn.errors import InputError, UsageError
from kdsnn.files.reading import json_object
from kdsnn.network import Network
from kdsnn.network.arrays import freeze
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.schema import DataSection
from kdsnn.run_folders import MODULE, RECIPE
from kdsnn.steps.models import Model
from kdsnn.steps.module_runs import section_of_module

__all__ = ["READ", "READING", "Selection", "said_of", "select_images", "selection_of"]

READING = "reading"  # of the provenance of a network: what its data do not say themselves, as JSON
READ = {"range", "test_share", "steps", "encode", "bin_by", "event_bits", "sensor"}  # of a recipe's data, what that is

SAMPLE_SEED = 0  # which test images a smaller sample takes
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """Images that are shown to a network.

    Attributes:
        images: `(N, *image_shape)` uint8.
        labels: `(N,)`, where they have any.
        identity: which these are.
        chosen: `(N,)`, the number of each among all of the data, from 0; None where they are the first of them.
    """

    images: Images
    labels: Labels | None
    identity: DataIdentity
    chosen: Labels | None = None


def said_of(data: Dataset | ImageSet, data_range: Range | None = None) -> dict[str, str]:
    """What a network's provenance keeps of how it was shown data that no recipe names; a range, if one was said."""
    said: dict[str, object] = {} if data.encode == DIRECT else {"encode": data.encode}
    said |= {} if data_range is None else {"range": list(data_range)}
    return {READING: json.dumps(said)} if said else {}


def select_images(
    model: Model,
    *,
    dataset: object = None,
    images: object = None,
    samples: int | None = None,
    encode: str | None = None,
    data_range: Range | None = None,
) -> Selection:
    """The images to evaluate on: those given, or the test split of what the model was trained on.

    Data are named, or given, as `kdsnn.data.sources.load.load_data` takes them; what they do not say themselves is as
    it was in the training. Labels follow the names of the classes, where both have names.

    Args:
        model: what will see them; its run or its network says which data it was trained on.
        dataset: take the test split of this one.
        images: take all of these, or the test split where they have one; they need no labels.
        samples: at most so many: the first of `images`, or a fixed random sample of the data set.
        encode: how still images are shown, one of `kdsnn.choices.ENCODERS`; None is as in the training.
        data_range: what becomes 0 and what becomes 255, where the data do not say it; None is as in the training.

    Raises:
        UsageError: there is no data set, or no encoder, of that name.
        InputError: the data are missing or broken, are others than the run was trained on, or have other classes.
    """
    if encode is not None:
        ENCODERS.get(encode)
    if data_range is not None and images is None and dataset is None:
        raise UsageError("a range is said of data that are named", hint="name them: --images or --dataset")
    reading = _reading(model.network, encode)
    if encode not in (None, DIRECT):
        reading = replace(reading, steps=None)  # what shall be encoded is still, unless it says otherwise itself
    if data_range is not None:
        reading = replace(reading, value_range=data_range)
    if images is not None:
        shown = load_images(images, reading)
        if encode is not None and shown.steps is not None:
            check_still(shown.name, encode)
        labels = _numbered(shown.labels, shown.classes, model.network, shown.name)
        how = "all" if samples is None or samples >= len(shown.images) else "first"
        frames = shown.shown(shown.images[:samples], model.network.timesteps)
        return _selection(frames, None if labels is None else labels[:samples], shown.name, None, how)
    found = _trained_on(model) if dataset is None else load_data(dataset, reading)
    found = found if encode is None else replace(found, encode=encode)
    labels = _numbered(found.test.labels, found.labels, model.network, found.name)
    steps = model.network.timesteps
    if samples is None or samples >= len(found.test.images):
        return _selection(found.shown(found.test.images, steps), labels, found.name, "test", "all")
    chosen = np.random.default_rng(SAMPLE_SEED).permutation(len(found.test.images))[:samples]
    frames = found.shown(found.test.images[chosen], steps)
    taken = _selection(frames, labels[chosen], found.name, "test", f"random, seed {SAMPLE_SEED}")
    return replace(taken, chosen=chosen)


def selection_of(
    model: Model,
    data: object = None,
    *,
    dataset: object = None,
    samples: int | None = None,
    encode: str | None = None,
    data_range: Range | None = None,
) -> Selection:
    """Images that were selected already, or those that `select_images` selects."""
    if isinstance(data, Selection):
        return data
    return select_images(model, dataset=dataset, images=data, samples=samples, encode=encode, data_range=data_range)


def _trained_on(model: Model) -> Dataset:
    """The data that a model's run was trained on, which must be the same still, or those that its network names."""
    section = None if model.run is None else _section_of(model.run)
    if section is not None and section.dataset not in DATASETS:
        return data_of(section)
    name = model.network.provenance.get("dataset")
    if name is None:
        raise InputError(
            f"{model.path} does not say what data it was made with", hint="name data: --dataset or --images"
        )
    if name not in DATASETS:
        raise InputError(
            f"{model.path} was made with data that it calls {name[:100]!r}, and not where they lie",
            hint="say where: --dataset PATH",
        )
    return load_data(name, _reading(model.network))


def _section_of(run: Path) -> DataSection | None:
    """The data of a run: of its recipe, or those that its module was converted with."""
    if (run / RECIPE).is_file():
        return load_recipe(run / RECIPE).data
    return section_of_module(run) if (run / MODULE).is_file() else None


def _reading(network: Network, encode: str | None = None) -> Reading:
    """How the data were read that a network was trained on; others that say nothing are read so too."""
    try:
        said = json_object(network.provenance.get(READING, "{}"), "its provenance")
        low_high, share = said.get("range"), said.get("test_share")
        return Reading(
            low_high and (float(low_high[0]), float(low_high[1])),
            share and float(share),
            binding=False,
            steps=None if network.static else network.timesteps,
            encode=str(said.get("encode", DIRECT)) if encode is None else encode,
            bin_by=said.get("bin_by"),
            event_bits=said.get("event_bits"),
            sensor=_sensor(network),
        )
    except (AttributeError, IndexError, InputError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"network {network.name!r} does not say how its data are read: {error}") from error


def _sensor(network: Network) -> tuple[int, int] | None:
    """Height and width of what a network in time looks at."""
    shape = network.input.shape
    return None if network.static or len(shape) != 3 else (shape[1], shape[2])


@overload
def _numbered(labels: Labels, classes: tuple[str, ...] | None, network: Network, name: str) -> Labels: ...
@overload
def _numbered(labels: None, classes: tuple[str, ...] | None, network: Network, name: str) -> None: ...
def _numbered(labels: Labels | None, classes: tuple[str, ...] | None, network: Network, name: str) -> Labels | None:
    """Labels as the network numbers its classes: by name, or as they are where one of them has no names."""
    wanted = network.labels
    if labels is None or classes is None or classes == wanted or _is_plain(classes):
        return labels
    if set(classes) <= set(wanted):
        number: Labels = np.array([wanted.index(c) for c in classes])
        return number[labels]
    if _is_plain(wanted) and len(classes) == len(wanted):
        return labels
    raise InputError(
        f"{name} has other classes than the network: {_listed(set(classes) - set(wanted))}",
        hint=f"those of the network are {_listed(wanted)}",
    )


def _is_plain(classes: tuple[str, ...]) -> bool:
    """Whether the names of classes are their numbers."""
    return classes == tuple(map(str, range(len(classes))))


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:10]) + (" ..." if len(listed) > 10 else "")


def _selection(images: Images, labels: Labels | None, name: str, split: str | None, selection: str) -> Selection:
    freeze(images, *(() if labels is None else (labels,)))  # the checksum shall stay true
    return Selection(images, labels, identify(images, labels, name, split, selection))
