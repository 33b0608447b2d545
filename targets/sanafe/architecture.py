"""Loihi as SANA-FE describes machines: tiles, cores and their units, with the constants of Davies et al. 2018.

Energies that kdsnn's own model has are taken from it, so that the two can be compared part by part.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from kdsnn.energy.models import load_energy_model

__all__ = ["DENDRITE", "PORT", "PORT_NEURONS", "SOMA", "SYNAPSE", "Constants", "architecture", "constants"]

ENERGY_MODEL = "loihi1"
PORT_NEURONS = 1024  # SANA-FE's units hold no more
LINK_BUFFER = 16  # messages between two tiles: not public, and it decides congestion alone
SYNAPSE, DENDRITE, SOMA, PORT = "synapse", "dendrite", "soma", "port"  # names of the units of a core


@dataclass(frozen=True)
class Constants:
    """Joules and seconds of each thing that happens on the chip, and the size of its mesh.

    Attributes:
        synapse: a synaptic operation: energy and time.
        inactive: a neuron update without a spike.
        active: a neuron update with one.
        message: a spike that leaves its core, for each core that it goes to.
        east_west: a hop to the next tile in a row.
        north_south: a hop to the next row.
        synchronization: seconds of a time step, for one tile in use and for all.
        width: tiles in a row.
        height: rows.
        cores_per_tile: cores of a tile.
        link_buffer: messages between two tiles.
        static_w: watts of the chip while it does nothing, which SANA-FE does not charge.
    """

    synapse: tuple[float, float]
    inactive: tuple[float, float]
    active: tuple[float, float]
    message: tuple[float, float]
    east_west: tuple[float, float]
    north_south: tuple[float, float]
    synchronization: tuple[float, float]
    width: int
    height: int
    cores_per_tile: int
    link_buffer: int
    static_w: float

    @property
    def tiles(self) -> int:
        """Tiles of the chip."""
        return self.width * self.height

    @property
    def cores(self) -> int:
        """Cores of the chip."""
        return self.tiles * self.cores_per_tile

    def synchronization_s(self, tiles: int) -> float:
        """Seconds of a barrier over so many tiles."""
        one, every = self.synchronization
        return one + (every - one) * (tiles - 1) / (self.tiles - 1)


def constants() -> Constants:
    """The constants of Loihi 1, from its energy model."""
    model = load_energy_model(ENERGY_MODEL)
    pj = {part.name: part.energy_pj for part in model.parts}
    chip = model.chip
    assert chip is not None and model.static is not None  # noqa: S101, PT018  tests read the file
    ns = chip.time_ns

    def pair(energy_pj: float, time_ns: float) -> tuple[float, float]:
        return energy_pj * 1e-12, time_ns * 1e-9

    return Constants(
        synapse=pair(pj["synaptic operations"], ns.synaptic_operation),
        inactive=pair(pj["inactive neuron updates"], ns.neuron_update_inactive),
        active=pair(pj["active neuron updates"], ns.neuron_update_active),
        message=pair(pj["spikes within a tile"], ns.message),
        east_west=pair(pj["hops east or west"], ns.hop_east_west),
        north_south=pair(pj["hops north or south"], ns.hop_north_south),
        synchronization=(chip.barrier_s(1), chip.barrier_s(chip.tiles)),
        width=chip.tiles_wide,
        height=chip.tiles_high,
        cores_per_tile=chip.cores_per_tile,
        link_buffer=LINK_BUFFER,
        static_w=model.static.chip_w,
    )


def architecture(values: Constants, *, used: int, ports: int) -> str:
    """The description of the chip that SANA-FE reads, a YAML text. Cores are named by their numbers in all of it.

    Args:
        values: constants and size.
        used: cores that hold neurons, the first ones; the energy of their units is recorded.
        ports: further cores in the first tile, through which images enter; their neurons cost nothing.
    """
    cores, tiles, number = values.cores_per_tile, [], 0
    for index in range(values.tiles):
        inside = [index * cores + i < used for i in range(cores)] + [False] * (0 if index else ports)
        units = [_core(values, f"core{number + i}", recorded=recorded) for i, recorded in enumerate(inside)]
        tiles.append({"name": f"tile{index}", "attributes": _hops(values), "core": units})
        number += len(units)
    attributes = {
        "topology": "mesh",
        "width": values.width,
        "height": values.height,
        "link_buffer_size": values.link_buffer,
        "sync_model": "table",
        "latency_sync": {str(n): values.synchronization_s(n) for n in range(1, values.tiles + 1)},
    }
    text = json.dumps({"architecture": {"name": "loihi1", "attributes": attributes, "tile": tiles}})
    return re.sub(r'"(\d+)":', r"\1:", text)  # SANA-FE wants the numbers of tiles without quotes


def _hops(values: Constants) -> dict[str, float]:
    directions = {"east": values.east_west, "west": values.east_west}
    directions |= {"north": values.north_south, "south": values.north_south}
    hops: dict[str, float] = {}
    for name, (energy, latency) in directions.items():
        hops |= {f"energy_{name}_hop": energy, f"latency_{name}_hop": latency}
    return hops


def _core(values: Constants, name: str, *, recorded: bool) -> dict[str, Any]:
    """A core: spikes are buffered before the soma, so that each projection takes one time step."""
    synapse = {"energy_process_spike": values.synapse[0], "latency_process_spike": values.synapse[1]}
    fires = (values.active[0] - values.inactive[0], values.active[1] - values.inactive[1])
    recording = {"log_energy": True} if recorded else {}
    return {
        "name": name,
        "attributes": {"buffer_position": "soma", "buffer_inside_unit": False, "max_neurons_supported": PORT_NEURONS},
        "axon_in": [_unit("axon_in", energy_message_in=0.0, latency_message_in=0.0)],
        "synapse": [_unit(SYNAPSE, model="current_based", **synapse, **recording)],
        "dendrite": [_unit(DENDRITE, model="accumulator", energy_update=0.0, latency_update=0.0)],
        "soma": [
            _unit(SOMA, model="leaky_integrate_fire", **_soma(values.inactive, fires), **recording),
            _unit(PORT, model="leaky_integrate_fire", **_soma((0.0, 0.0), (0.0, 0.0))),
        ],
        "axon_out": [_unit("axon_out", energy_message_out=values.message[0], latency_message_out=values.message[1])],
    }


def _soma(update: tuple[float, float], fires: tuple[float, float]) -> dict[str, float]:
    """Every neuron costs an update at every step, and one that fires the rest of an active update."""
    costs: dict[str, float] = {}
    for index, what in enumerate(("energy", "latency")):
        costs |= {f"{what}_access_neuron": update[index], f"{what}_update_neuron": 0.0}
        costs[f"{what}_spike_out"] = fires[index]
    return costs


def _unit(name: str, **attributes: object) -> dict[str, Any]:
    return {"name": name, "attributes": attributes}
