"""The kinds of files that are read from anybody, each with valid ones, and what reads it for a command."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nir
import numpy as np
import safetensors.numpy
import tomlkit
import torch
from hypothesis import strategies as st
from PIL import Image

from kdsnn.data.events.binning import Binning, to_frames
from kdsnn.data.events.recordings import read_recording as read_events
from kdsnn.data.files import read_idx
from kdsnn.data.sources.load import load_images
from kdsnn.data.sources.source import Reading
from kdsnn.distill.checkpoint import read_given
from kdsnn.energy.models import load_energy_model
from kdsnn.export.foreign.convert import Foreign, read_foreign
from kdsnn.export.foreign.recording import read_recording
from kdsnn.export.nir import read_nir, to_nir
from kdsnn.hardware.limits import load_hardware
from kdsnn.network.overflow import overflows
from kdsnn.recipes.load import load_recipe
from kdsnn.steps.layer_needs import layer_needs
from tests.data.events import made
from tests.files.tiny import tiny_network
from tests.fuzzing import runs
from tests.fuzzing.mutations import bytes_mutated, hdf5_mutated, structure_mutated


@dataclass(frozen=True)
class Kind:
    """Files of a kind: names and strategies of their contents, and their reader."""

    case: st.SearchStrategy[tuple[str, bytes]]
    read: Callable[[Path], object]


@cache
def network() -> Any:
    return tiny_network()


@cache
def integer_file() -> bytes:
    file = BytesIO()
    nir.write(file, to_nir(network()))
    return file.getvalue()


@cache
def float_file() -> bytes:
    one = np.ones(3, np.float32)
    conv = nir.Conv2d((4, 4), np.ones((3, 1, 2, 2), np.float32), 1, 0, 1, 1, one)
    image = np.ones((3, 3, 3), np.float32)
    lif = nir.LIF(tau=image, r=image, v_leak=0 * image, v_threshold=image, v_reset=0 * image)
    nodes = {
        "input": nir.Input(np.array([1, 4, 4])),
        "conv": conv,
        "lif": lif,
        "pool": nir.SumPool2d(np.array([3, 3]), np.array([1, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 1, 1])}, 0, -1),
        "linear": nir.Affine(np.ones((3, 3), np.float32), one),
        "if": nir.IF(r=one, v_threshold=one, v_reset=0 * one),
        "output": nir.Output(np.array([3])),
    }
    names, file = list(nodes), BytesIO()
    nir.write(file, nir.NIRGraph(nodes, list(pairwise(names)), type_check=False))
    return file.getvalue()


def packed(**arrays: Any) -> bytes:
    file = BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def plain(array: Any) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def picture(kind: str) -> bytes:
    file = BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, kind)
    return file.getvalue()


def toml(folder: str, name: str) -> st.SearchStrategy[bytes]:
    text = (files(folder) / f"{name}.toml").read_bytes()
    table = json.loads(json.dumps(tomlkit.loads(text.decode()).unwrap(), default=str))

    def dumped(value: Any) -> bytes:
        try:
            return tomlkit.dumps(value).encode()
        except (ValueError, TypeError, tomlkit.exceptions.TOMLKitError):  # TOML has no null
            return text[: len(text) // 2]

    return bytes_mutated(text) | structure_mutated(table).map(dumped)


def named(name: str, *contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.just(name), st.one_of(*contents))


def read_integer(path: Path) -> None:
    read = read_nir(path)
    layer_needs(read)
    overflows(read)


def read_folder(path: Path) -> None:
    load_images(path.parent, Reading())


def tensors() -> dict[str, Any]:
    return {"a": np.ones((2, 3), np.float32), "b": np.arange(3)}


def pickled() -> bytes:
    file = BytesIO()
    torch.save({name: torch.tensor(value) for name, value in tensors().items()}, file)
    return file.getvalue()


EVENTS = {"x": np.arange(5), "y": np.arange(5), "t": np.arange(5), "p": np.arange(5) % 2}
IMAGES = {"x": np.arange(128, dtype=np.uint8).reshape(2, 1, 8, 8), "y": np.arange(2), "classes": np.array(["a", "b"])}
IDX = bytes.fromhex("00000803000000020000000300000003") + bytes(range(18))


def read_idx_of(path: Path) -> None:
    read_idx(path.parent, "train", "mnist")


@cache
def events() -> st.SearchStrategy[tuple[str, bytes]]:
    """All formats of recordings but those that tonic reads."""
    writers = {
        "a2.aedat": made.write_aedat2,
        "a3.aedat": made.write_aedat3,
        "lz4.aedat4": made.write_aedat4,
        "zstd.aedat4": partial(made.write_aedat4, packing="ZSTD"),
    }
    found = [
        named("a.npz", bytes_mutated(packed(**EVENTS))),
        named("a.npy", bytes_mutated(plain(np.ones((5, 4), int)))),
    ]
    with TemporaryDirectory() as folder:
        for name, write in writers.items():
            write(Path(folder) / name, made.some_events(0, (8, 8), 20))
            found.append(named(name, bytes_mutated((Path(folder) / name).read_bytes())))
    return st.one_of(found)


def read_frames(path: Path) -> None:
    to_frames(*read_events(path), (8, 8), Binning(4))


KINDS: dict[str, Kind] = {
    "integer NIR": Kind(named("a.nir", bytes_mutated(integer_file()), hdf5_mutated(integer_file())), read_integer),
    "float NIR": Kind(
        named("a.nir", bytes_mutated(float_file()), hdf5_mutated(float_file())),
        lambda path: read_foreign(path, Foreign(dt=1e-4, reset="zero", writer="by-hand")),
    ),
    "recipe": Kind(named("a.toml", toml("kdsnn.recipes", "digits-2conv")), load_recipe),
    "energy model": Kind(named("a.toml", toml("kdsnn.energy", "loihi1")), lambda p: load_energy_model(str(p))),
    "hardware": Kind(named("a.toml", toml("kdsnn.hardware", "loihi1")), lambda p: load_hardware(str(p))),
    "arrays": Kind(
        named("a.npz", bytes_mutated(packed(**IMAGES))) | named("a.npy", bytes_mutated(plain(IMAGES["x"]))), load_images
    ),
    "images": Kind(
        named("a.png", bytes_mutated(picture("PNG"))) | named("a.jpg", bytes_mutated(picture("JPEG"))), read_folder
    ),
    "idx": Kind(
        named("train-images-idx3-ubyte", bytes_mutated(IDX))
        | named("train-images-idx3-ubyte.gz", bytes_mutated(gzip.compress(IDX, mtime=0))),
        read_idx_of,
    ),
    "events": Kind(events(), read_frames),
    "recorded spikes": Kind(
        named(
            "a.npz", bytes_mutated(packed(x=np.zeros((2, *network().image_shape), np.uint8), predictions=np.ones(2)))
        ),
        lambda path: read_recording(path, network()),
    ),
    "checkpoint": Kind(
        named("a.safetensors", bytes_mutated(safetensors.numpy.save(tensors())))
        | named("a.pt", bytes_mutated(pickled())),
        read_given,
    ),
    "run": Kind(runs.case(), runs.read),
}
