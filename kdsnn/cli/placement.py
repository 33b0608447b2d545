"""How a placement is shown: a row a layer, what is used of what its cores have, and cores and chips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdsnn.cli.common import output, table

if TYPE_CHECKING:
    from kdsnn.targets.placement.place import Layer, Placement

__all__ = ["show"]

COLUMNS = {
    "neurons": "neurons",
    "synaptic_memory": "memory KiB",
    "input_axons": "axons in",
    "output_axons": "axons out",
}
BITS_A_KIB = 8 * 1024


def show(placement: Placement) -> None:
    """Prints a placement."""
    hardware = placement.hardware
    headings = [
        "name",
        "kind",
        "cores",
        *(h for name in COLUMNS.values() for h in (name.replace(" ", "\n"), f"{name}\nused")),
    ]
    rows = [_row(placement, layer) for layer in placement.layers]
    table(f"{hardware.title}: used of what the cores in use have", headings, [*rows, _row(placement, None)])
    lines = [_summary(placement), f"A core has {_room(placement)}."]
    lines += [f"No limit of {name.replace('_', ' ')}: {why}." for name, why in hardware.missing.items()]
    output().print("\n".join((*lines, *hardware.notes)), markup=False)


def _row(placement: Placement, layer: Layer | None) -> list[str | int]:
    cores = placement.cores if layer is None else len(layer.cores)
    name, kind = ("total", "") if layer is None else (layer.name, "relay" if layer.relay else layer.kind)
    row: list[str | int] = [name, kind, cores]
    for what in COLUMNS:
        used, share = (placement if layer is None else layer).total(what), placement.share(what, layer)
        used = -(-used // BITS_A_KIB) if what == "synaptic_memory" else used
        row += [used, "-" if share is None else f"{share:.0%}"]
    return row


def _room(placement: Placement) -> str:
    most = {what: placement.hardware.most(what) for what in COLUMNS}
    parts = [f"{value:,} {COLUMNS[what]}" for what, value in most.items() if value and what != "synaptic_memory"]
    if most["synaptic_memory"]:
        parts.insert(1, f"{most['synaptic_memory'] // BITS_A_KIB:,} KiB of memory")
    return ", ".join(parts)


def _summary(placement: Placement) -> str:
    chips = f"{placement.chips:,} chip{'' if placement.chips == 1 else 's'} of {placement.hardware.cores:,}"
    return f"{placement.cores:,} cores, {placement.relay_cores:,} of them for relays; {chips}"
