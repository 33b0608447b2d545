"""Runs one job on SANA-FE, for `targets/processes/worker/run_job.py`.

In the folder it reads `job.json`, `chip.yaml`, `messages.npy` and, for population i and projection j, `core.<i>.npy`,
`bias.<i>.npy`, `drive.<i>.npy` and `synapses.<j>.npy`. It writes

- `spikes.<i>.npy` (samples, T, neurons) uint8, where the job asks for them
- `potentials.npy` (samples, neurons) int32: of an output that never fires, after its last step of each image
- `steps.npz`: for each time step, what SANA-FE says of it (see `record.py`)
- `progress`: the number of images that are through
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from pathlib import Path

from sanafe_job import Job, Result

__all__ = ["run"]


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
