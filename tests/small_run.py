"""A run folder with an integer network of one layer on the digits data set: made in no time, and counted by hand."""

import numpy as np

from kdsnn.export.nir import write_nir
from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.run_folders import runs_root
from kdsnn.steps.models import Model, load

TIMESTEPS = 2
INPUT_BITS = 4
CLASSES = tuple("0123456789")


def one_layer(seed: int = 0, *, weight_bits: int = 8, dataset: str = "digits") -> Network:
    """64 pixels, ten neurons that all of them reach; no weight is zero."""
    weight = np.random.default_rng(seed).integers(1, 2 ** (weight_bits - 1), (10, 64)).astype(np.int16)
    neuron = Neuron(3000, np.zeros(10, np.int32))
    populations = (Population("input", (1, 8, 8), Input(INPUT_BITS)), Population("out", (10,), neuron))
    provenance = {"dataset": dataset, "weight_bits": str(weight_bits)}
    projection = Projection("input", "out", Dense(weight))
    return Network("small", populations, (projection,), TIMESTEPS, CLASSES, True, provenance)


def small_run(name: str = "small", seed: int = 0, *, weight_bits: int = 8) -> Model:
    """The model of a new run with this network."""
    run = runs_root() / name
    run.mkdir(parents=True)
    (run / "recipe.toml").write_text(recipe_toml(load_recipe("digits-2conv")))
    write_nir(one_layer(seed, weight_bits=weight_bits), run / "model.nir")
    return load(str(run))


def input_macs(images: np.ndarray) -> int:
    """By hand: every pixel that is not black in its four highest bits reaches ten synapses at each step."""
    return int((images >= 16).sum()) * 10 * TIMESTEPS
