"""Runs of which one file of JSON was mutated: what reads them for reports, tables and bundles."""

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kdsnn.data.datasets import Dataset, Split
from kdsnn.display import percent
from kdsnn.evaluation.in_time import Curve
from kdsnn.export.nir import write_nir
from kdsnn.files.records import Measured, read_record
from kdsnn.files.writing import write_json
from kdsnn.noise.measurements import record_name
from kdsnn.paper.gaussian import gaussian_accuracy
from kdsnn.report.page import write_report
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.export import _clear
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.steps.module_runs import write_module
from kdsnn.targets.reference import ReferenceTarget
from tests.files.tiny import tiny_network
from tests.fuzzing.mutations import bytes_mutated, structure_mutated

SHARED = {"accuracy": 0.5, "macs": 10, "model": "ANN"}
EVALUATION, NOISE = "evaluation", "noise"


@cache
def made() -> Path:
    """A run with all that a report shows."""
    run = Path(mkdtemp(prefix="kdsnn-fuzzing-")) / "run"
    run.mkdir()
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (12, 1, 4, 4)).astype(np.uint8), np.arange(12) % 3)
    network = tiny_network()
    write_nir(network, run / "model.nir")
    data = Dataset("tiny", split, Split(split.images[:6], split.labels[:6]), network.labels)
    write_module(run, "tiny", object(), data)
    model = load(str(run))
    shown = select_images(model)
    evaluate_model(model, ReferenceTarget(), shown, curve=Curve())
    fingerprint = network.fingerprint()
    write_json(run / "quantization.json", {"fingerprint": fingerprint, "float_accuracy": 0.5, "integer_accuracy": 0.5})
    for name in ("teacher.json", "student.json"):
        write_json(run / name, SHARED)
    write_json(run / "gaussian.json", {"0.1": {"student": 0.5, "teacher": 0.5}})
    write_json(run / "manifest.json", {"files": {"model.nir": "0"}})
    points = [{"level": level, "mean": 0.5, "spread": None} for level in (0.0, 0.1)]
    curve = {"network": "tiny, integer", "points": points}
    measured = {
        "dataset": "tiny",
        "samples": 6,
        "seeds": 1,
        "target": "reference",
        "settings": {},
        "data": shown.identity.as_json(),
        "networks": [{"name": "tiny, integer", "fingerprint": fingerprint}],
        "noise": [{"kind": "gaussian", "level": "sigma", "curves": [curve]}],
    }
    write_json(run / f"{record_name(measured)}.json", measured)
    return run


def names() -> list[str]:
    """Its files of JSON, from its folder."""
    return sorted(str(path.relative_to(made())) for path in made().rglob("*.json"))


@st.composite
def case(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name of one, with other separators, and what it holds now."""
    name = draw(st.sampled_from(names()))
    data = (made() / name).read_bytes()
    changed: Any = draw(bytes_mutated(data) | structure_mutated(json.loads(data)))
    return name.replace("/", "@"), changed if isinstance(changed, bytes) else json.dumps(changed).encode()


def read(path: Path) -> None:
    """All that reads a run's JSON."""
    run = path.parent / "run"
    shutil.copytree(made(), run)
    shutil.copy(path, run / path.name.replace("@", "/"))
    _clear(run)
    gaussian_accuracy(run, 0.1, "teacher")
    percent(read_record(run / "student.json", Measured)["accuracy"])
    write_report(load(str(run)))
