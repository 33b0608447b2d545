"""Makes the Lava processes of a network and connects them."""

import numpy as np
from integrator import Integrator
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIFReset
from lava.utils.weightutils import SignMode
from models import ImageSource, Recorder, to_lava

__all__ = ["build"]


def build(job, folder, files):
    """The processes of a network, by name, connected.

    Args:
        job: what adapter.py wrote.
        folder: of the job, with the biases and weights.
        files: the files of each population (`listen`) and each projection (`events`), by index, and of the potentials
            of an output that never fires (`potentials`), if any.
    """
    populations = {p["name"]: p for p in job["populations"]}
    neurons, *spiking = job["populations"]
    outlets = {neurons["name"]: _source(job, neurons)}
    for index, population in enumerate(spiking, start=1):
        outlets[population["name"]] = _lif(job, population, load(folder, f"bias.{index}"))
    if not spiking[-1]["fires"]:
        outlets[spiking[-1]["name"]].proc_params["read"] = {
            "depth": spiking[-1]["depth"],
            "timesteps": job["timesteps"],
            "steps": job["timesteps"] * job["samples"],
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
            "steps": job["timesteps"] * job["samples"],
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
            shape=_shape(population), listen=files["listen"][index], name=f"recorder of {population['name']}"
        )
        processes.append(recorder)
        outlets[population["name"]].s_out.connect(recorder.s_in)
    return processes


def load(folder, name):
    """An array of the job."""
    return np.load(folder / f"{name}.npy", allow_pickle=False)


def _shape(population):
    return tuple(population["shape"][::-1])  # (C, H, W) is Lava's (W, H, C); (N,) stays


def _source(job, population):
    return ImageSource(
        shape=_shape(population),
        images=job["images"],
        timesteps=job["timesteps"],
        bits=job["bits"],
        name=population["name"],
    )


def _lif(job, population, bias):
    make = LIFReset if population["fires"] else Integrator
    return make(
        shape=_shape(population),
        du=population["decay_u"] - 1,  # the model adds one
        dv=population["decay_v"],
        vth=population["threshold"],
        bias_mant=np.ascontiguousarray(to_lava(bias.reshape(population["shape"]))),
        bias_exp=population["bias_exponent"],
        reset_interval=job["timesteps"],
        reset_offset=population["depth"] + 1,  # each population works on an image one step after those before it
        name=population["name"],
    )


def _synapse(projection, weight, source, count, bits):
    make = _conv if projection["kind"] == "conv2d" else _dense
    synapse = make(projection, weight.astype(np.int32), source, bits if count["graded"] else 0)
    synapse.proc_params["count"] = count
    return synapse


def _conv(projection, weight, source, message_bits):
    # cross-correlation (C_out, C_in, H, W) as true convolution (C_out, W, H, C_in)
    flipped = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    return Conv(
        weight=np.ascontiguousarray(flipped) << projection["exponent"],  # Conv ignores its weight_exp
        input_shape=_shape(source),
        stride=tuple(projection["stride"][::-1]),
        padding=tuple(projection["padding"][::-1]),
        dilation=tuple(projection["dilation"][::-1]),
        groups=projection["groups"],
        num_message_bits=message_bits,
        name=f"{projection['source']}->{projection['target']}",
    )


def _dense(projection, weight, source, message_bits):
    if len(source["shape"]) == 3:  # columns in the order in which Lava flattens (W, H, C)
        weight = weight.reshape(-1, *source["shape"]).transpose(0, 3, 2, 1).reshape(len(weight), -1)
    return Dense(
        weights=2 * weight,  # weights of mixed sign lose their lowest bit
        weight_exp=projection["exponent"] - 1,
        sign_mode=SignMode.MIXED,  # else Lava infers it from the values
        num_message_bits=message_bits,
        name=f"{projection['source']}->{projection['target']}",
    )
