"""Runs one job on lava-nc: `python main.py JOB_FOLDER`. Started by kdsnn's Lava adapter, under Python 3.10.

In the folder it reads `job.json`, `images.npy` (samples, *shape), or (samples, T, *shape) where each time step has a
frame of its own, and, for population i and projection j, `bias.<i>.npy` and `weight.<j>.npy`. It writes, where `steps`
are T for each round of images in the lanes:

- `tally.<i>.npy` (steps, 2): spikes, and neurons that were updated
- `spikes.<i>.npy` (samples * T, *shape), where the job asks for them
- `potentials.npy` (samples, *shape) int32: of an output that never fires, after its last step of each image
- `events.<j>.npy` (steps, 4): events of spikes at synapses, and at those of nonzero weight; the same of graded messages
- `progress.npy` (1,): the time step that the output has reached
- at the end `result.json`, or `error.json`
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import numpy.typing as npt
from guard import Guard, end_group, write_error
from lanes import Lanes
from lava_job import Job, Result
from recording import Files, Listen

__all__ = ["main"]


def main(folder: Path) -> None:
    """Runs the job; ends the process group where it fails."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # started by hand: a group of our own, for the whole group is ended on failure
    job: Job = json.loads((folder / "job.json").read_text())
    guard = Guard(folder, job["parent"])
    try:
        result = run(folder, job, guard)
    except BaseException as error:  # whatever it was, the adapter is to hear of it
        write_error(folder, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        end_group()
        raise
    part = folder / "result.part"
    part.write_text(json.dumps(result))
    part.replace(folder / "result.json")


def run(folder: Path, job: Job, guard: Guard) -> Result:
    """Builds, runs and stops the network; the figures for `result.json`."""
    start = time.perf_counter()
    from choice import process_models
    from lava.magma.core.process.message_interface_enum import ActorType
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.magma.runtime.runtime import Runtime
    from usage import cpu_s, memory_mib, peak_mib
    from wiring import build

    lanes = Lanes(job["lanes"], job["samples"], job["timesteps"])
    processes = build(job, folder, lanes, make_files(folder, job, lanes))
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=process_models(stock=job["stock"]))
    # every channel is emptied at every step, so that two slots are one more than can be in use
    executable = processes[0].compile(config, {"pypy_channel_size": 2})
    runtime = Runtime(executable, ActorType.MultiProcessing)
    executable.assign_runtime_to_all_processes(runtime)
    guard.watch(runtime, [process.name for process in executable.proc_builders])
    runtime.initialize()

    fill = max(population["depth"] for population in job["populations"])
    steps = lanes.steps + fill
    pids = [actor.pid for actor in runtime._messaging_infrastructure.actors]
    used, begin = cpu_s(pids), time.perf_counter()
    runtime.start(RunSteps(num_steps=steps))
    end = time.perf_counter()
    result: Result = {
        "cpu_s": cpu_s(pids) - used,
        "memory_mib": memory_mib(pids),
        "peak_process_mib": peak_mib(pids),
        "fingerprint": job["fingerprint"],
        "versions": versions(),
        "setup_s": begin - start,
        "run_s": end - begin,
        "steps": steps,
        "fill_steps": fill,
        "processes": len(processes),
        "lanes": lanes.count,
    }
    guard.stop()
    runtime.stop()
    return result


def make_files(folder: Path, job: Job, lanes: Lanes) -> Files:
    """The files that the processes write into, at their full size, so that a full disk fails here and not inside."""
    output, last = len(job["populations"]) - 1, job["populations"][-1]
    progress = make_file(folder / "progress.npy", (1,), np.int64)
    listen = []
    for index, population in enumerate(job["populations"]):
        recorded = population["name"] in job["record"]
        shape = (job["samples"] * job["timesteps"], *population["shape"])
        listen.append(
            Listen(
                depth=population["depth"],
                shape=population["shape"],
                lanes=lanes,
                tally=make_file(folder / f"tally.{index}.npy", (lanes.steps, 2), np.int64),
                record=make_file(folder / f"spikes.{index}.npy", shape, np.uint8) if recorded else None,
                progress=progress if index == output else None,
            )
        )
    shape, read = (lanes.steps, 4), (job["samples"], *last["shape"])
    events = [make_file(folder / f"events.{j}.npy", shape, np.int64) for j in range(len(job["projections"]))]
    potentials = None if last["fires"] else make_file(folder / "potentials.npy", read, np.int32)
    return Files(listen, events, potentials)


def make_file(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> str:
    """Path of a new .npy file of zeros."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    size = array.offset + array.nbytes
    del array
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a hole in a mapped file would be a bus error on a full disk
    return str(path)


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    from importlib.metadata import version

    return {name: version(name) for name in ("lava-nc", "numpy", "scipy")} | {"python": sys.version.split()[0]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
