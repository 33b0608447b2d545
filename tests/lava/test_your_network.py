"""docs/your-network.md, executed: its notebook in a kernel, real Lava included, and the refusals that it shows.

The notebook is made from the page (`docs/generate.py --check`), so that what is run here is the page's text. It runs as
a reader's does, in a kernel by nbclient, which alone shows that its cells are valid, that magics write files and stop
at a failed command, and what a result looks like in a notebook.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdsnn.files.reading import read_json
from kdsnn.steps.models import load
from tests.pages import ROOT, blocks, sessions, without_figures

PAGE = "docs/your-network.md"
NOTEBOOK = ROOT / "docs" / "your-network.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=400).execute()
nbformat.write(notebook, "executed.ipynb")
"""
pytestmark = pytest.mark.timeout(600)


def call(folder: Path, *command: str) -> tuple[int, str]:
    here = str(Path(sys.executable).parent)
    there = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    there.pop("KDSNN_RUNS", None)  # as a reader has it
    there["CUDA_VISIBLE_DEVICES"] = ""  # a reader without a card
    done = subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder, after the last cell."""
    mine = tmp_path_factory.mktemp("mine")
    code, said = call(mine, sys.executable, "-c", RUN, str(NOTEBOOK))
    assert code == 0, said[-3000:]
    return mine


@pytest.fixture(scope="module")
def outputs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What each cell showed, by its source."""
    cells = read_json(folder / "executed.ipynb")["cells"]
    return {"".join(cell["source"]): cell["outputs"] for cell in cells if cell["cell_type"] == "code"}


def shown(outputs: dict[str, list[dict[str, Any]]], part: str) -> str:
    """What the cell printed that has this in it, without colours."""
    (found,) = (made for source, made in outputs.items() if part in source)
    text = "".join("".join(one["text"]) for one in found if one.get("name") == "stdout")
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)


def test_the_notebook_has_each_block_and_no_outputs() -> None:
    cells = [cell for cell in read_json(NOTEBOOK)["cells"] if cell["cell_type"] == "code"]
    wanted = blocks(PAGE, "python") + blocks(PAGE, "sh") + blocks(PAGE, "toml")
    assert len(cells) == len(wanted)
    sources = "\n".join("".join(cell["source"]) for cell in cells)
    for text in wanted:
        assert re.sub(r"\A# [\w.]+\n+", "", text).strip() in sources
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_it_takes_four_commands_or_twelve_lines_of_python() -> None:
    commands = blocks(PAGE, "sh")[0].splitlines()
    assert [line.split()[1] for line in commands] == ["convert", "evaluate", "energy", "report"]
    (python,) = (block for block in blocks(PAGE, "python") if "kdsnn.report" in block)
    assert len(python.splitlines()) <= 12
    assert [name for name in ("convert", "evaluate", "export", "energy", "report") if f"kdsnn.{name}(" in python]


@pytest.mark.parametrize("name", ["mine", "python"])
def test_from_a_module_and_a_folder_of_images_to_lava_and_a_report(folder: Path, name: str) -> None:
    run = folder / "runs" / name
    figures, (evaluation,) = read_json(run / "quantization.json"), [*map(read_json, (run / "evaluations").iterdir())]
    assert figures["float_accuracy"] > 0.85
    assert abs(figures["integer_accuracy"] - figures["float_accuracy"]) < 0.03  # 10 of 359 images
    assert (evaluation["target"], evaluation["samples"], evaluation["matches_reference"]) == ("lava", 50, True)
    assert evaluation["identity"]["data"]["name"] == "photos"
    report = read_json(run / "report.json")
    assert [row["target"] for row in report["targets"]] == ["lava"]
    assert "spikes equal in" in report["edges"]["module_to_float"]
    assert report["energy"]
    assert (run / "report.html").stat().st_size > 10_000


def test_commands_and_python_make_the_same_network(folder: Path) -> None:
    networks = [load(folder / "runs" / name / "model.nir").network for name in ("mine", "python")]
    assert networks[0].populations[-1].shape == (10,)
    assert networks[0].labels == tuple("0123456789")
    assert [p.op for p in networks[0].projections] != []
    assert len({str(network.provenance["module_to_float"]) for network in networks}) == 1
    assert len({network.fingerprint() for network in networks}) == 1


def test_the_bundle_is_verified_on_lava(folder: Path) -> None:
    manifest = read_json(folder / "bundle" / "manifest.json")
    assert manifest["target"] == "lava"
    assert manifest["fingerprint"] == load(folder / "runs" / "python").network.fingerprint()
    assert manifest["verified"]["images"] == 4
    assert manifest["verified"]["spikes"] > 0
    assert all((folder / "bundle" / name).is_file() for name in manifest["files"])


def test_results_show_well(outputs: dict[str, list[dict[str, Any]]]) -> None:
    html = "".join(outputs["found"][0]["data"]["text/html"])
    assert "<caption>lava: 50 images, T = 8</caption>" in html
    assert "integer → lava: every spike equal" in html
    for text in map("".join, (one.get("text", "") for made in outputs.values() for one in made)):
        assert "━" not in text  # a bar that moves is none here


def test_the_copy_of_an_ann(folder: Path, outputs: dict[str, list[dict[str, Any]]]) -> None:
    said = shown(outputs, 'kdsnn.distill("my.toml"')
    teacher, copy, machine = (float(share) for share in re.findall(r"([\d.]+)%", said.splitlines()[-1]))
    assert teacher > 95
    assert copy > teacher - 6
    assert abs(machine - copy) < 3
    assert read_json(folder / "runs" / "copy" / "teacher.json")["model"] == "my_ann.py:make"


def test_the_nir_file(outputs: dict[str, list[dict[str, Any]]]) -> None:
    assert "fires as recorded.npz says, on 200 images" in shown(outputs, "said = {")
    commands = shown(outputs, "kdsnn quantize snn.nir")
    assert "integer → onnx: every spike equal" in commands
    assert float(re.findall(r"accuracy ([\d.]+)%", commands)[0]) > 85


CODES = {"Exit code 2": 2, "Exit code 3": 3, "Exit code 4": 4, "Exit code 5": 5, "Exit code 6": 6, "Exit code 7": 7}
SAID_AFTER = re.findall(r"```console\n.*?```\n.*?(Exit code \d)", (ROOT / PAGE).read_text(), re.DOTALL)
REFUSALS = [(*shown, code) for (shown,), code in zip(sessions(PAGE), SAID_AFTER, strict=True)]


@pytest.mark.parametrize(("command", "quoted", "code"), REFUSALS)
def test_a_refusal_is_as_the_page_says(folder: Path, command: str, quoted: str, code: str) -> None:
    before = sorted(folder.glob("*.nir"))
    ended, said = call(folder, *shlex.split(command))
    assert ended == CODES[code], said
    for line in without_figures(quoted).splitlines():
        assert line in without_figures(said)
    assert sorted(folder.glob("*.nir")) == before
