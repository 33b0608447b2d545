"""Our Conv, Dense and LIFReset models compute what the stock models of lava-nc compute, and count what arrives."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from kdsnn.targets.lava import environment as environment_module
from kdsnn.targets.processes.environments import Environment, worker_variables

CASES = 250


def test_models_equal_the_stock_models_on_random_shapes(environment: Environment, tmp_path: Path) -> None:
    script = Path(__file__).with_name("arithmetic_check.py")
    worker = Path(environment_module.__file__).with_name("worker")
    command = [str(environment.python), "-B", str(script), str(worker), str(tmp_path), str(CASES)]
    done = subprocess.run(command, env=worker_variables(), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    ways = json.loads(done.stdout)
    assert ways.pop("cases") == CASES
    assert set(ways) == {
        "Convolution",
        "Pooling",
        "EventSum",
        "MatrixProduct",
        "neurons without decays",
        "neurons with decays",
        "resets to zero",
        "other resets",
        "wrapping inputs",
        "inputs in range",
    }
    assert min(ways.values()) >= 30, ways
