"""A bundle that runs a network on real Lava without kdsnn: the worker's scripts, and a job with its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.files.writing import copy, write_atomic
from kdsnn.network import Network
from kdsnn.targets.lava.job import write_job

__all__ = ["write_bundle"]

README = """This folder runs one network on Lava, without kdsnn. With Python 3.10:

    python -m pip install -r requirements.txt
    python worker/main.py job

It streams the images in job/images.npy, and leaves in job/ the spikes of every population (spikes.<i>.npy, a row a time
step) and result.json. Time steps, populations and projections stand in job/job.json. To run images of your own, replace
job/images.npy (uint8, N x C x H x W; where "static" in job/job.json is false N x T x C x H x W, a frame for each time
step) and set "samples" there to their number.
"""


def write_bundle(network: Network, images: npt.NDArray[np.uint8], folder: Path) -> list[Path]:
    """Writes `worker/`, `job/`, `requirements.txt` and `README.txt`, and returns all files.

    Args:
        network: fits Lava.
        images: to stream, `(N, *image_shape)` uint8.
        folder: exists.
    """
    here = Path(__file__).parent
    write_atomic(folder / "README.txt", README.encode())
    copy(here / "requirements.txt", folder / "requirements.txt")
    files = [folder / "README.txt", folder / "requirements.txt"]
    for script in sorted((here / "worker").glob("*.py")):
        copy(script, folder / "worker" / script.name)
        files.append(folder / "worker" / script.name)
    return files + write_job(folder / "job", network, images, [p.name for p in network.spiking])
