"""All that waits for a GPU, in eight minutes of one: each result is printed and written as it comes.

    python benchmarks/on_gpu.py gpu.jsonl [--device cuda] [--budget 480] [--wheels FOLDER] [--data FOLDER]
    uv run python benchmarks/on_gpu.py --gather FOLDER     # before, on a machine of the same kind and Python
    uv run python benchmarks/on_gpu.py rehearsal.jsonl --device cpu --tiny

Each step is a process of its own with a limit of seconds, so that what hangs or crashes costs its own results alone.
What does not fit into the budget any more is skipped, and the file says so. The same command again goes on after the
steps that are done. `--wheels` needs no registry: a folder of wheels, or of packages as `--gather` copies them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from shutil import copyfile
from typing import Any

HERE = Path(__file__).resolve().parent
BROUGHT = (
    *("snntorch", "nir", "nirtorch", "tomlkit", "typer", "pydantic", "pydantic-core", "annotated-types"),
    *("typing-inspection", "platformdirs", "mlxtend", "spikingjelly", "loguru", "accelerate", "nvidia-ml-py"),
)
LAST_LINES = 5  # of a step that failed


@dataclass(frozen=True)
class Step:
    """A part of the whole.

    Attributes:
        name: a function of `on_gpu_steps.py`.
        limit_s: after so many seconds it is ended; what it has written until then stays.
        least_s: with fewer seconds left it is not begun.
    """

    name: str
    limit_s: float
    least_s: float


STEPS = (
    Step("conformance", 60, 20),
    Step("throughput", 90, 30),
    Step("peers", 90, 30),
    Step("joules", 60, 30),
    Step("teacher", 120, 40),
    Step("students", 300, 60),
)


class Results:
    """The lines of a file, each on the disk before the next is computed.

    Args:
        path: of JSON lines; those that are there stay, but one that was cut off.
        setting: what stands in each line, and tells whether a step was done before.
    """

    def __init__(self, path: Path, setting: dict[str, Any]) -> None:
        self.path, self.setting = path, setting
        whole = [line for line in _lines(path) if _parsed(line) is not None]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in whole))
        self.done = {
            row["step"]
            for row in map(json.loads, whole)
            if row.get("status") == "done" and setting.items() <= row.items()
        }

    def add(self, step: str, row: dict[str, Any]) -> None:
        """Prints and writes a line."""
        line = json.dumps({"step": step, **row, **self.setting})
        print(line, flush=True)
        with self.path.open("a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="file of JSON lines")
    parser.add_argument("--device", default="cuda", help="of torch: cuda or cpu")
    parser.add_argument("--tiny", action="store_true", help="sizes of a rehearsal")
    parser.add_argument("--budget", type=float, default=480, help="seconds of all steps together")
    parser.add_argument("--steps", nargs="+", choices=[s.name for s in STEPS], help="these alone")
    parser.add_argument("--dataset", default=None, help="of the trainings: fashion-mnist, or of a rehearsal digits")
    parser.add_argument("--wheels", type=Path, help="folder of packages that the machine lacks")
    parser.add_argument("--data", type=Path, help="folder of data sets")
    parser.add_argument("--gather", type=Path, metavar="FOLDER", help="copy these packages from here, and end")
    options = parser.parse_args()
    if options.gather is not None:
        gather(options.gather, BROUGHT)
        return
    if options.out is None:
        parser.error("name the file of results")
    dataset = options.dataset or ("digits" if options.tiny else "fashion-mnist")
    setting = {"device": options.device, "tiny": options.tiny, "dataset": dataset}
    results, begun = Results(options.out, setting), time.monotonic()
    runs = options.out.resolve().with_suffix(".runs")
    environment = {**os.environ, "PYTHONPATH": _python_path(options.wheels), "KDSNN_RUNS": str(runs)}
    if options.data is not None:
        environment["KDSNN_DATA"] = str(options.data.resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the step, too
    asked = [step for step in STEPS if options.steps is None or step.name in options.steps]
    for step in asked:
        left = options.budget - (time.monotonic() - begun)
        if step.name in results.done:
            print(f"{step.name}: done before")
        elif left < step.least_s and not options.tiny:
            results.add(step.name, {"status": "skipped", "why": f"{left:.0f} s are left, and it needs {step.least_s}"})
        else:
            command = [sys.executable, str(HERE / "on_gpu_steps.py"), step.name, json.dumps(setting)]
            run(step.name, command, results, environment, min(step.limit_s, max(left, 0.0)))


def run(name: str, command: list[str], results: Results, environment: dict[str, str], limit_s: float) -> None:
    """Runs a step, takes what it prints line by line, and writes how it ended; ends all its processes in time."""
    begun, tail = time.monotonic(), deque[str](maxlen=LAST_LINES)
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    timer = threading.Timer(limit_s, _end, [child.pid])
    timer.start()
    try:
        assert child.stdout is not None  # noqa: S101
        for line in child.stdout:
            row = _parsed(line)
            if row is None:
                print(line, end="", flush=True)
                tail.append(line.rstrip())
            else:
                results.add(name, row)
        code = child.wait()
    finally:
        timer.cancel()
        _end(child.pid)
        if child.stdout is not None:
            child.stdout.close()
    seconds = round(time.monotonic() - begun, 1)
    if code == 0:
        results.add(name, {"status": "done", "seconds": seconds})
    elif seconds >= limit_s:
        results.add(name, {"status": "cut off", "seconds": seconds, "why": f"its limit was {limit_s:.0f} s"})
    else:
        results.add(name, {"status": "failed", "seconds": seconds, "exit": code, "last lines": list(tail)})


def gather(folder: Path, names: Iterable[str]) -> None:
    """Copies installed packages, with what tells their versions."""
    for name in names:
        found = distribution(name)
        for file in found.files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                copyfile(found.locate_file(file), target)  # type: ignore[arg-type]
        print(f"{name} {found.version}")


def _python_path(wheels: Path | None) -> str:
    """The repository, and what was brought along; wheels are unpacked first."""
    brought = []
    if wheels is not None:
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(wheels)
            wheel.rename(wheel.with_suffix(".unpacked"))
        brought = [str(wheels.resolve())]
    return os.pathsep.join([*brought, str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


if __name__ == "__main__":
    main()
