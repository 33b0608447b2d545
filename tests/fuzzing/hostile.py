"""Files that cost far more than they weigh: what is declared, packed, nested or repeated, a maker for each."""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
from PIL import Image

from kdsnn.export.nir import write_nir
from kdsnn.recipes.load import load_recipe, recipe_toml
from tests.files.tiny import tiny_network

MIB = 2**20


@dataclass(frozen=True)
class Hostile:
    """Files that a maker writes into a folder, and the command that is given them, there."""

    make: Callable[[Path], None]
    command: str


def _graph(path: Path, nodes: dict[str, Any], edges: Iterable[tuple[str, str]] | None = None) -> None:
    nir.write(path, nir.NIRGraph(nodes, list(edges or pairwise(nodes)), type_check=False))


def _neurons(shape: tuple[int, ...] = (1,)) -> Any:
    ones = np.ones(shape, np.float32)
    return nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones)


def packed_weights(folder: Path, *, rows: int, columns: int = 4096) -> None:
    """A dense layer that gzip packs to a hundredth of what it declares."""
    nodes = {
        "input": nir.Input(np.array([columns])),
        "dense": nir.Linear(np.ones((2, 2), np.float32)),
        "if": _neurons((rows,)),
        "output": nir.Output(np.array([rows])),
    }
    _graph(folder / "a.nir", nodes)
    with h5py.File(folder / "a.nir", "r+") as file:
        del file["node/nodes/dense/weight"]
        made = file.create_dataset("node/nodes/dense/weight", (rows, columns), "f4", compression="gzip")
        made[:] = np.arange(columns, dtype=np.float32)[None] % 7 - 3


def many_nodes(folder: Path) -> None:
    """Neurons behind neurons, as many as the budget of objects has room for."""
    nodes: dict[str, Any] = {"input": nir.Input(np.array([1]))}
    nodes |= {f"n{i}": nir.Linear(np.ones((1, 1), np.float32)) if i % 2 else _neurons() for i in range(1, 3200)}
    _graph(folder / "a.nir", {**nodes, "last": _neurons(), "output": nir.Output(np.array([1]))})


def ladder(folder: Path) -> None:
    """Two ways from each rung to the next: as many paths as 2 to the number of rungs."""
    nodes: dict[str, Any] = {"input": nir.Input(np.array([1])), "r0": nir.Linear(np.ones((1, 1), np.float32))}
    edges = [("input", "r0")]
    for i in range(1, 200):
        nodes |= {f"{way}{i}": nir.Linear(np.full((1, 1), 0.5, np.float32)) for way in "ab"}
        nodes[f"r{i}"] = nir.Linear(np.ones((1, 1), np.float32))
        edges += [e for way in "ab" for e in ((f"r{i - 1}", f"{way}{i}"), (f"{way}{i}", f"r{i}"))]
    _graph(folder / "a.nir", {**nodes, "if": _neurons(), "output": nir.Output(np.array([1]))},
           [*edges, ("r199", "if"), ("if", "output")])  # fmt: skip


def all_to_all(folder: Path) -> None:
    """Each of 500 linear nodes feeds all later ones."""
    names = [f"n{i}" for i in range(500)]
    nodes: dict[str, Any] = {"input": nir.Input(np.array([1]))}
    nodes |= {name: nir.Linear(np.full((1, 1), 1e-3, np.float32)) for name in names}
    edges = [("input", "n0"), *((a, b) for i, a in enumerate(names) for b in names[i + 1 :]), ("n499", "if")]
    _graph(
        folder / "a.nir", {**nodes, "if": _neurons(), "output": nir.Output(np.array([1]))}, [*edges, ("if", "output")]
    )


def wide_convolutions(folder: Path, *, side: int, layers: int, kernel: int = 1, pooled: bool = False) -> None:
    """A few numbers that stand for millions of neurons; pooled, all but one are hidden."""
    nodes: dict[str, Any] = {"input": nir.Input(np.array([1, side, side]))}
    for i in range(layers):
        weight = np.full((1, 1, kernel, kernel), 0.1, np.float32)
        nodes |= {
            f"c{i}": nir.Conv2d((side, side), weight, 1, kernel // 2, 1, 1, np.zeros(1, np.float32)),
            f"n{i}": _neurons(),
        }
    if pooled:
        one = np.ones((1, 1, 1, 1), np.float32)
        nodes |= {"pool": nir.Conv2d((side, side), one, side, 0, 1, 1, np.zeros(1, np.float32)), "last": _neurons()}
        side = 1
    _graph(folder / "a.nir", {**nodes, "output": nir.Output(np.array([1, side, side]))})


def composed(folder: Path, *, side: int) -> None:
    """Padded convolutions without neurons in between: together, a matrix of all weights."""
    nodes: dict[str, Any] = {"input": nir.Input(np.array([1, side, side]))}
    for i in range(3):
        nodes[f"c{i}"] = nir.Conv2d(
            (side, side), np.ones((1, 1, 3, 3), np.float32), 1, 1, 1, 1, np.zeros(1, np.float32)
        )
    _graph(folder / "a.nir", {**nodes, "if": _neurons(), "output": nir.Output(np.array([1, side, side]))})


def tiny(folder: Path, **changes: Any) -> None:
    write_nir(replace(tiny_network(), **changes), folder / "a.nir")


def _npz(path: Path, **members: tuple[str, tuple[int, ...], int]) -> None:
    """Arrays of zeros, by dtype, shape and bytes, which never are in memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (dtype, shape, size) in members.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
                for _ in range(size // MIB):
                    file.write(bytes(MIB))


def bomb_of_images(folder: Path, *, shape: tuple[int, ...] = (2**16 - 64, 1, 128, 128), dtype: str = "|u1") -> None:
    tiny(folder)
    _npz(folder / "x.npz", x=(dtype, shape, 2**30 - MIB))


def bomb_of_labels(folder: Path, labels: str, count: int) -> None:
    """Labels of a byte, or names of classes of a character, which take many in memory."""
    tiny(folder)
    size = count * np.dtype(labels).itemsize
    arrays = {"x": ("|u1", (count, 1), count), "y": ("|i1", (count,), count)}
    if labels[1] == "U":
        arrays = {"x": ("|u1", (MIB, 1), MIB), "y": ("|i1", (MIB,), MIB), "classes": (labels, (count,), size)}
    _npz(folder / "x.npz", **arrays)


def bomb_of_events(folder: Path) -> None:
    packed_weights(folder, rows=4, columns=16)
    for label in "ab":
        (folder / "rec" / label).mkdir(parents=True)
        columns = dict.fromkeys("xytp", ("|u1", (2**28,), 2**28))
        for number in range(3):
            _npz(folder / "rec" / label / f"{number}.npz", **columns)


def bomb_of_spikes(folder: Path) -> None:
    """A recording of more steps than the network has."""
    packed_weights(folder, rows=4, columns=16)
    _npz(folder / "x.npz", x=("|u1", (64, 16), MIB), output_spikes=("|u1", (64, 2**22 - 2**14, 4), 2**30 - 4 * MIB))


def pictures(folder: Path, *, side: int, count: int) -> None:
    """White images, which PNG packs to nothing."""
    tiny(folder)
    for label in ("a", "b"):
        (folder / "photos" / label).mkdir(parents=True)
    Image.new("L", (side, side), 255).save(folder / "photos/a/0.png")
    data = (folder / "photos/a/0.png").read_bytes()
    for i in range(count):
        (folder / "photos" / "ab"[i % 2] / f"{i}.png").write_bytes(data)


def nested(folder: Path, name: str, begin: str, end: str, head: str = "") -> None:
    """As deep as a file of its kind may be long."""
    depth = (2**18 - 1000) // (len(begin) + len(end))
    tiny(folder)
    (folder / name).write_text(f"{head}x = {begin * depth}1{end * depth}\n")


def many_tables(folder: Path, name: str) -> None:
    tiny(folder)
    (folder / name).write_text("".join(f"[a{i}.b.c]\nd.e.f=1\n" for i in range(10_000)))


def shipped(folder: Path, package: str, changes: dict[str, str]) -> None:
    """A file that ships with kdsnn, with other figures in it, and a network of a million neurons."""
    text = (files(package) / "loihi1.toml").read_text()
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (folder / "a.toml").write_text(text)


def run_with(folder: Path, name: str, text: str) -> None:
    """A run that holds a network, and one more file that a report, or a table, reads."""
    (folder / "run" / "evaluations").mkdir(parents=True)
    (folder / "run" / "noise").mkdir()
    write_nir(tiny_network(), folder / "run" / "model.nir")
    (folder / "run" / "module.json").write_text(json.dumps({"data": {"dataset": "digits"}}))
    if name in ("student.json", "gaussian.json"):  # of runs of the paper's rows
        recipe = load_recipe("mnist5k-2conv-feature" if name == "student.json" else "mnist5k-rot-back-image-2conv")
        (folder / "run" / "recipe.toml").write_text(recipe_toml(recipe))
        (folder / "run" / "student.json").write_text('{"accuracy": 0.5}')
    (folder / "run" / name).write_text(text)


def many_tensors(folder: Path) -> None:
    """A header that is nearly all of 60 MiB."""
    _module(folder)
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": entry for i in range(850_000)}, separators=(",", ":")).encode()
    (folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def many_opcodes(folder: Path, *, count: int) -> None:
    """A pickle of empty lists in empty lists, packed."""
    _module(folder)
    with zipfile.ZipFile(folder / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + b"]" * count + b".")
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")


def _module(folder: Path) -> None:
    lines = "import snntorch as snn", "from torch import nn", "def make():"
    (folder / "net.py").write_text("\n".join((*lines, "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))")))


def chunks_of_a_chunk(folder: Path) -> None:
    """As many chunks as there may be, each of which unpacks to a mebibyte."""
    packed_weights(folder, rows=4, columns=16)
    with h5py.File(folder / "a.nir", "r+") as file:
        shape = (2**15, 2**8)
        made = file.create_dataset("node/nodes/dense/more", shape, "f4", chunks=(1, 2**8), compression="gzip")
        packed = zlib.compress(bytes(MIB), 9)
        for row in range(shape[0]):
            made.id.write_direct_chunk((row, 0), packed)


QUANTIZE = "quantize a.nir -T 4 -o out.nir"
DEEP = "[" * 10**5 + "]" * 10**5
EVALUATE = "evaluate a.nir -t reference --images"
HOSTILE = {
    "62 MiB of weights, packed": Hostile(lambda f: packed_weights(f, rows=4000), QUANTIZE),
    "127 MiB of weights, packed": Hostile(lambda f: packed_weights(f, rows=8100), QUANTIZE),
    "255 MiB of weights, packed": Hostile(lambda f: packed_weights(f, rows=16300), QUANTIZE),
    "chunks that unpack to more": Hostile(chunks_of_a_chunk, QUANTIZE),
    "3,200 nodes in a row": Hostile(many_nodes, QUANTIZE),
    "a ladder of 2^200 paths": Hostile(ladder, QUANTIZE),
    "500 nodes, all to all": Hostile(all_to_all, QUANTIZE),
    "convolutions of 2^22 cells": Hostile(lambda f: wide_convolutions(f, side=2048, layers=8), QUANTIZE),
    "a convolution of 2^24 cells": Hostile(lambda f: wide_convolutions(f, side=4095, layers=1), QUANTIZE),
    "a kernel of 1001 x 1001": Hostile(lambda f: wide_convolutions(f, side=1000, layers=1, kernel=1001), QUANTIZE),
    "convolutions of 2^22 hidden cells": Hostile(
        lambda f: wide_convolutions(f, side=2048, layers=8, pooled=True), QUANTIZE
    ),
    "a kernel of 1001 x 1001, hidden": Hostile(
        lambda f: wide_convolutions(f, side=1000, layers=1, kernel=1001, pooled=True), QUANTIZE
    ),
    "convolutions in a row, 64 x 64": Hostile(lambda f: composed(f, side=64), QUANTIZE),
    "convolutions in a row, 90 x 90": Hostile(lambda f: composed(f, side=90), QUANTIZE),
    "65,535 steps": Hostile(lambda f: tiny(f, timesteps=2**16 - 1), "export a.nir --dry-run"),
    "1 GiB of images": Hostile(bomb_of_images, f"{EVALUATE} x.npz"),
    "1 GiB of images in floats": Hostile(
        lambda f: bomb_of_images(f, shape=(2**13 - 8, 1, 128, 128), dtype="<f8"), f"{EVALUATE} x.npz"
    ),
    "1 GiB of labels": Hostile(lambda f: bomb_of_images(f, shape=(2**27 - 2**17,), dtype="<i8"), f"{EVALUATE} x.npz"),
    "2^29 labels": Hostile(lambda f: bomb_of_labels(f, "|i1", 2**29 - MIB), f"{EVALUATE} x.npz"),
    "2^27 names of classes": Hostile(lambda f: bomb_of_labels(f, "<U1", 2**27 - 2 * MIB), f"{EVALUATE} x.npz"),
    "2^28 events": Hostile(bomb_of_events, f"{QUANTIZE} --calibrate rec --sensor 4x4"),
    "1 GiB of recorded spikes": Hostile(bomb_of_spikes, f"{QUANTIZE} --expect x.npz"),
    "images of 169 million pixels": Hostile(lambda f: pictures(f, side=13_000, count=2), f"{EVALUATE} photos"),
    "300 images of 16 million pixels": Hostile(lambda f: pictures(f, side=4096, count=300), f"{EVALUATE} photos"),
    "an image of 900 million pixels": Hostile(lambda f: pictures(f, side=30_000, count=1), f"{EVALUATE} photos"),
    "a nested recipe": Hostile(lambda f: nested(f, "a.toml", "[", "]"), "recipe validate a.toml"),
    "a recipe of tables in tables": Hostile(lambda f: nested(f, "a.toml", "{a=", "}"), "recipe validate a.toml"),
    "a recipe of 10,000 tables": Hostile(lambda f: many_tables(f, "a.toml"), "recipe validate a.toml"),
    "a nested energy model": Hostile(
        lambda f: nested(f, "a.toml", "[", "]"), "energy a.nir --model a.toml --dataset digits"
    ),
    "nested hardware": Hostile(lambda f: nested(f, "a.toml", "[", "]"), "export a.nir --dry-run --hardware a.toml"),
    "hardware of one neuron a core": Hostile(
        lambda f: (wide_integer(f), shipped(f, "kdsnn.hardware", {"value = 1024\n": "value = 1\n"}))[0],
        "export a.nir --dry-run --hardware a.toml",
    ),
    **{
        f"{what} {name}": Hostile(lambda f, name=name, text=text: run_with(f, name, text), command)
        for name, command in {
            "evaluations/a.json": "report run",
            "noise/a.json": "report run",
            "quantization.json": "report run",
            "module.json": "report run",
            "student.json": "paper table1",
            "gaussian.json": "paper table2",
        }.items()
        for what, text in {"a nested": DEEP, "16 MB in": "[" + "[]," * 5_500_000 + "1]"}.items()
    },
    "850,000 tensors": Hostile(many_tensors, "convert net.py:make --images digits -T 4 --weights a.safetensors"),
    "2^24 opcodes": Hostile(
        lambda f: many_opcodes(f, count=2**24), "convert net.py:make --images digits -T 4 --weights a.pt"
    ),
    "2^29 opcodes": Hostile(
        lambda f: many_opcodes(f, count=2**29), "convert net.py:make --images digits -T 4 --weights a.pt"
    ),
}


def wide_integer(folder: Path) -> None:
    """A convolution of a million neurons."""
    from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection

    shape = (1, 1024, 1024)
    neurons = Population("wide", shape, Neuron(9, np.zeros(2**20, np.int64)))
    output = Population("out", (1,), Neuron(9, np.zeros(1, np.int64)))
    one = Projection("input", "wide", Conv2d(np.ones((1, 1, 1, 1), np.int16)))
    last = Projection("wide", "out", Dense(np.zeros((1, 2**20), np.int16)))
    populations = (Population("input", shape, Input(1)), neurons, output)
    network = Network("wide", populations, (one, last), 4, ("a",), integer=True)
    write_nir(network, folder / "a.nir")
