"""Seconds that `kdsnn --help` takes, five times in a row: `uv run python benchmarks/help_time.py`."""

from __future__ import annotations

import subprocess
import sys
import time


def main() -> None:
    command = [sys.executable, "-c", "from kdsnn.cli.main import main; main()", "--help"]
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        print(f"{time.perf_counter() - began:.3f} s")


if __name__ == "__main__":
    main()
