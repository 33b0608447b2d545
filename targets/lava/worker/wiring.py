"""Makes the Lava processes of a network and connects them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from integrator import Integrator
from lanes import Lanes
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode
from lava_job import Job, JobPopulation, JobProjection
from models import ImageSource, Recorder
from recording import Count, Files, Read
from wide import LaneConv, LaneDense

__all__ = ["build"]

Array = npt.NDArray[Any]


def build(job: Job, folder: Path, lanes: Lanes, files: Files) -> list[Any]:
    """The processes of a network, connected; the image source is the first.

    Args:
        job: what adapter.py wrote.
        folder: of the job, with the images, biases and weights.
        lanes: copies of the network side by side.
        files: that the processes write into.
    """
    populations = {p["name"]: p for p in job["populations"]}
    neurons, *spiking = job["populations"]
    outlets = {neurons["name"]: _source(job, folder, neurons, lanes)}
    for index, population in enumerate(spiking, start=1):
        outlets[population["name"]] = _lif(job, population, lanes, load(folder, f"bias.{index}"))
    if files.potentials is not None:
        outlets[spiking[-1]["name"]].proc_params["read"] = Read(spiking[-1]["shape"], files.potentials)
    processes = list(outlets.values())

    unheard = dict(enumerate(job["populations"]))
    names = [p["name"] for p in job["populations"]]
    for index, projection in enumerate(job["projections"]):
        source, target = populations[projection["source"]], populations[projection["target"]]
        heard = unheard.pop(names.index(source["name"]), None)  # the first projection out of a population records it
        count = Count(
            depth=source["depth"],
            channels=source["shape"][0],
            lanes=lanes,
            graded=source is neurons and job["bits"] > 1,
            largest=2 ** job["bits"] - 1 if source is neurons else 1,
            recurrent=source is target,
            events=files.events[index],
            listen=files.listen[names.index(source["name"])] if heard else None,
        )
        synapse = _synapse(projection, load(folder, f"weight.{index}"), source, count, job["bits"])
        processes.append(synapse)
        outlet = outlets[source["name"]].s_out
        (outlet if outlet.shape == synapse.s_in.shape else outlet.flatten()).connect(synapse.s_in)
        synapse.a_out.connect(outlets[target["name"]].a_in)
    for index, population in unheard.items():
        recorder = Recorder(
            shape=_shape(population, lanes.count),
            listen=files.listen[index],
            name=f"recorder of {population['name']}",
        )
        processes.append(recorder)
        outlets[population["name"]].s_out.connect(recorder.s_in)
    return processes


def load(folder: Path, name: str) -> Array:
    """An array of the job."""
    array: Array = np.load(folder / f"{name}.npy", allow_pickle=False)
    return array


def _shape(population: JobPopulation, lanes: int = 1) -> tuple[int, ...]:
    channels, *sides = population["shape"]
    return (*sides[::-1], channels * lanes)  # (C, H, W) is Lava's (W, H, C); (N,) stays


def _source(job: Job, folder: Path, population: JobPopulation, lanes: Lanes) -> ImageSource:
    return ImageSource(
        shape=_shape(population, lanes.count),
        images=str(folder / "images.npy"),
        lanes=lanes,
        bits=job["bits"],
        static=job["static"],
        name=population["name"],
    )


def _lif(job: Job, population: JobPopulation, lanes: Lanes, bias: Array) -> LIFReset:
    biases = np.broadcast_to(bias.reshape(population["shape"]), (lanes.count, *population["shape"]))
    make = LIFReset if population["fires"] else Integrator
    neurons = make(
        shape=_shape(population, lanes.count),
        du=population["decay_u"] - 1,  # the model adds one
        dv=population["decay_v"],
        vth=population["threshold"],
        bias_mant=lanes.join(biases),
        bias_exp=population["bias_exponent"],
        reset_interval=job["timesteps"],
        reset_offset=population["depth"] + 1,  # each population works on an image one step after those before it
        name=population["name"],
    )
    neurons.proc_params["depth"] = population["depth"]
    neurons.proc_params["lanes"] = lanes
    neurons.proc_params["reset_by"] = population["reset_by"]
    return neurons


def _synapse(projection: JobProjection, weight: Array, source: JobPopulation, count: Count, bits: int) -> Any:
    lanes = count.lanes.count
    if projection["kind"] == "conv2d":
        arguments = _conv(projection, weight.astype(np.int32), source)
        make = Conv if lanes == 1 else partial(LaneConv, lanes=lanes)
    else:
        arguments = _dense(projection, weight.astype(np.int32), source)
        make = Dense if lanes == 1 else partial(LaneDense, lanes=lanes)
    name = f"{projection['source']}->{projection['target']}"
    synapse = make(**arguments, num_message_bits=bits if count.graded else 0, name=name)
    synapse.proc_params["count"] = count
    return synapse


def _conv(projection: JobProjection, weight: Array, source: JobPopulation) -> dict[str, Any]:
    # cross-correlation (C_out, C_in, H, W) as true convolution (C_out, W, H, C_in)
    flipped = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    return {
        "weight": np.ascontiguousarray(flipped) << projection["exponent"],  # Conv ignores its weight_exp
        "input_shape": _shape(source),
        "stride": tuple(projection["stride"][::-1]),
        "padding": tuple(projection["padding"][::-1]),
        "dilation": tuple(projection["dilation"][::-1]),
        "groups": projection["groups"],
    }


def _dense(projection: JobProjection, weight: Array, source: JobPopulation) -> dict[str, Any]:
    if len(source["shape"]) == 3:  # columns in the order in which Lava flattens (W, H, C)
        weight = weight.reshape(-1, *source["shape"]).transpose(0, 3, 2, 1).reshape(len(weight), -1)
    return {
        "weights": 2 * weight,  # weights of mixed sign lose their lowest bit
        "weight_exp": projection["exponent"] - 1,
        "sign_mode": SignMode.MIXED,  # else Lava infers it from the values
    }
