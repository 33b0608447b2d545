"""Our Conv and Dense models compute what the stock models of lava-nc compute, and count what arrives."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kdsnn.targets.lava import environment as environment_module
from kdsnn.targets.lava.environment import LavaEnvironment, worker_variables

CASES = 250


def test_models_equal_the_stock_models_on_random_shapes(environment: LavaEnvironment, tmp_path: Path) -> None:
    script = Path(__file__).with_name("arithmetic_check.py")
    worker = Path(environment_module.__file__).with_name("worker")
    command = [str(environment.python), "-B", str(script), str(worker), str(tmp_path), str(CASES)]
    done = subprocess.run(command, env=worker_variables(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(CASES)]
