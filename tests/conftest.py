"""What all tests share. Every test writes its runs and its cache-independent files under its own tmp_path."""

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is loaded; see kdsnn.cli.main
if "PYTEST_XDIST_WORKER" in os.environ:  # a process for each core: threads of each would wait for the others'
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection


@pytest.fixture(autouse=True)
def _own_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def float_network() -> Network:
    """A float network of one dense layer."""
    neuron = Neuron(1.0, np.array([0.25, -0.5]), decay_u=1.0, decay_v=0.0)
    populations = (Population("input", (1, 2, 2), Input()), Population("out", (2,), neuron))
    weight = np.array([[0.5, -0.25, 0.1, 0.0], [-1.0, 0.3, 0.2, 0.9]]) / 255
    return Network("float", populations, (Projection("input", "out", Dense(weight)),), 4, ("a", "b"), integer=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for tests of the groups `browser` and `site`."""
    from playwright.sync_api import sync_playwright

    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    assert chromium, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()
