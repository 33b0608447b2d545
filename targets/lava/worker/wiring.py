"""Makes the Lava processes of a network and connects them."""

from functools import partial

import numpy as np
from integrator import Integrator
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode
from models import ImageSource, Recorder
from wide import LaneConv, LaneDense

__all__ = ["build"]


def build(job, folder, lanes, files):
    """The processes of a network, by name, connected.

    Args:
        job: what adapter.py wrote.
        folder: of the job, with the biases and weights.
        lanes: copies of the network side by side.
        files: the files of each population (`listen`) and each projection (`events`), by index, and of the potentials
            of an output that never fires (`potentials`), if any.
    """
    populations = {p["name"]: p for p in job["populations"]}
    neurons, *spiking = job["populations"]
    outlets = {neurons["name"]: _source(job, neurons, lanes)}
    for index, population in enumerate(spiking, start=1):
        outlets[population["name"]] = _lif(job, population, lanes, load(folder, f"bias.{index}"))
    if not spiking[-1]["fires"]:
        outlets[spiking[-1]["name"]].proc_params["read"] = {
            "shape": spiking[-1]["shape"],
            "potentials": files["potentials"],
        }
    processes = list(outlets.values())

    unheard = dict(enumerate(job["populations"]))
    names = [p["name"] for p in job["populations"]]
    for index, projection in enumerate(job["projections"]):
        source, target = populations[projection["source"]], populations[projection["target"]]
        heard = unheard.pop(names.index(source["name"]), None)  # the first projection out of a population records it
        count = {
            "depth": source["depth"],
            "channels": source["shape"][0],
            "lanes": lanes,
            "graded": source is neurons and job["bits"] > 1,
            "largest": 2 ** job["bits"] - 1 if source is neurons else 1,
            "events": files["events"][index],
            "listen": files["listen"][names.index(source["name"])] if heard else None,
        }
        synapse = _synapse(projection, load(folder, f"weight.{index}"), source, count, job["bits"])
        processes.append(synapse)
        outlet = outlets[source["name"]].s_out
        (outlet if outlet.shape == synapse.s_in.shape else outlet.flatten()).connect(synapse.s_in)
        synapse.a_out.connect(outlets[target["name"]].a_in)
    for index, population in unheard.items():
        recorder = Recorder(
            shape=_shape(population, lanes.count),
            listen=files["listen"][index],
            name=f"recorder of {population['name']}",
        )
        processes.append(recorder)
        outlets[population["name"]].s_out.connect(recorder.s_in)
    return processes


def load(folder, name):
    """An array of the job."""
    return np.load(folder / f"{name}.npy", allow_pickle=False)


def _shape(population, lanes=1):
    channels, *sides = population["shape"]
    return (*sides[::-1], channels * lanes)  # (C, H, W) is Lava's (W, H, C); (N,) stays


def _source(job, population, lanes):
    return ImageSource(
        shape=_shape(population, lanes.count),
        images=job["images"],
        lanes=lanes,
        bits=job["bits"],
        name=population["name"],
    )


def _lif(job, population, lanes, bias):
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
    return neurons


def _synapse(projection, weight, source, count, bits):
    lanes = count["lanes"].count
    if projection["kind"] == "conv2d":
        arguments = _conv(projection, weight.astype(np.int32), source)
        make = Conv if lanes == 1 else partial(LaneConv, lanes=lanes)
    else:
        arguments = _dense(projection, weight.astype(np.int32), source)
        make = Dense if lanes == 1 else partial(LaneDense, lanes=lanes)
    name = f"{projection['source']}->{projection['target']}"
    synapse = make(**arguments, num_message_bits=bits if count["graded"] else 0, name=name)
    synapse.proc_params["count"] = count
    return synapse


def _conv(projection, weight, source):
    # cross-correlation (C_out, C_in, H, W) as true convolution (C_out, W, H, C_in)
    flipped = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    return {
        "weight": np.ascontiguousarray(flipped) << projection["exponent"],  # Conv ignores its weight_exp
        "input_shape": _shape(source),
        **{key: tuple(projection[key][::-1]) for key in ("stride", "padding", "dilation")},
        "groups": projection["groups"],
    }


def _dense(projection, weight, source):
    if len(source["shape"]) == 3:  # columns in the order in which Lava flattens (W, H, C)
        weight = weight.reshape(-1, *source["shape"]).transpose(0, 3, 2, 1).reshape(len(weight), -1)
    return {
        "weights": 2 * weight,  # weights of mixed sign lose their lowest bit
        "weight_exp": projection["exponent"] - 1,
        "sign_mode": SignMode.MIXED,  # else Lava infers it from the values
    }
