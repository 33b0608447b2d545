"""Runs one job of a target: `python run_job.py SCRIPT JOB_FOLDER`, started by kdsnn in a process of its own.

The script's `run(folder, job)` is given the folder and the object in its `job.json`, and returns that of
`result.json`, which is written last; where it fails, the reason is left in `error.json`. The process ends when the one
that started it (`parent` in `job.json`) is gone.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path

__all__ = ["main"]

INTERVAL_S = 0.25


def main(script: Path, folder: Path) -> None:
    """Runs the job; leaves the reason where it fails."""
    job = json.loads((folder / "job.json").read_text())
    end_with_parent(folder, job["parent"])
    sys.path.insert(0, str(script.parent))
    try:
        result = importlib.import_module(script.stem).run(folder, job)
    except Exception as error:  # noqa: BLE001  whatever it was, the adapter is to hear of it
        (folder / "error.json").write_text(json.dumps({"message": f"{type(error).__name__}: {error}"}))
        traceback.print_exc()
        sys.exit(1)
    part = folder / "result.part"
    part.write_text(json.dumps(result))
    part.replace(folder / "result.json")


def end_with_parent(folder: Path, parent: int) -> None:
    """Ends this process once the program that started it is gone; watched from a thread."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL_S)
        while folder.exists():  # nobody is left to read or remove it; this process may write into it meanwhile
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
