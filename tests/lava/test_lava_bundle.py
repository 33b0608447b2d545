"""An exported bundle runs on Lava without kdsnn, and computes the reference's spikes."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.processes.environments import Environment
from kdsnn.targets.reference import simulate
from kdsnn.testing import example_networks, stimuli


@pytest.mark.parametrize("name", ["image", "recurrent-events"])
def test_a_bundle_runs_by_hand_and_outlives_nothing(environment: Environment, tmp_path: Path, name: str) -> None:
    network = next(n for n in example_networks() if n.name == name)
    images = stimuli(network)
    folder = tmp_path / "a bundle"
    folder.mkdir()
    written = LavaTarget().write_files(network, images, folder, None)
    assert all(file.is_file() for file in written.paths)
    command = [str(environment.python), "worker/main.py", "job"]
    subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
    assert json.loads((folder / "job" / "result.json").read_text())["fingerprint"] == network.fingerprint()
    for index, population in enumerate(network.populations):
        if index:
            rows = np.load(folder / "job" / f"spikes.{index}.npy")
            wanted = simulate(network, images)[0][population.name]
            assert np.array_equal(rows.reshape(wanted.shape), wanted)
