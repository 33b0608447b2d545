"""Runs one job on SANA-FE: `python simulate.py JOB_FOLDER`. Started by kdsnn's adapter, in a process of its own.

In the folder it reads `job.json`, `chip.yaml`, `messages.npy` and, for population i and projection j, `core.<i>.npy`,
`bias.<i>.npy`, `drive.<i>.npy` and `synapses.<j>.npy`. It writes

- `spikes.<i>.npy` (samples, T, neurons) uint8, where the job asks for them
- `potentials.npy` (samples, neurons) int32: of an output that never fires, after its last step of each image
- `steps.npz`: for each time step, what SANA-FE says of it (see `record.py`)
- `progress`: the number of images that are through
- at the end `result.json`, or `error.json`
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import traceback
from importlib.metadata import version
from pathlib import Path

from sanafe_job import Job, Result

__all__ = ["main"]

INTERVAL_S = 0.25


def main(folder: Path) -> None:
    """Runs the job; leaves the reason where it fails."""
    job: Job = json.loads((folder / "job.json").read_text())
    end_with_parent(folder, job["parent"])
    try:
        result = run(folder, job)
    except Exception as error:  # noqa: BLE001  whatever it was, the adapter is to hear of it
        (folder / "error.json").write_text(json.dumps({"message": f"{type(error).__name__}: {error}"}))
        traceback.print_exc()
        sys.exit(1)
    part = folder / "result.part"
    part.write_text(json.dumps(result))
    part.replace(folder / "result.json")


def run(folder: Path, job: Job) -> Result:
    """Builds the network and steps through all images; the figures for `result.json`."""
    start = time.perf_counter()
    from chip import build
    from record import Record

    chip, populations = build(folder, job)
    record = Record(folder, job, populations)
    begin = time.perf_counter()
    images = job["samples"] * job["timesteps"]
    steps = images + max(population.depth for population in populations)
    for step in range(steps):
        for population in populations:
            population.prepare(step)
        answer = chip.sim(
            1,
            timing_model=job["timing"],
            processing_threads=1,
            spike_trace=True,
            potential_trace=True,
            neuron_trace=True,
            perf_trace=True,
            message_trace=True,
            write_trace_headers=True,
        )
        record.add(step, answer)
    record.write()
    versions = {name: version(name) for name in ("sanafe", "numpy")}
    return {
        "fingerprint": job["fingerprint"],
        "versions": versions | {"python": sys.version.split()[0]},
        "setup_s": begin - start,
        "run_s": time.perf_counter() - begin,
        "steps": steps,
        "fill_steps": steps - images,
    }


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
    main(Path(sys.argv[1]))
