"""A population in tiles, where it may feed itself: its own cores are among those that it sends to.

It is split, then split again with the output axons that its own tiles need, and so on, until every tile fits.
"""

from __future__ import annotations

from kdsnn.hardware.limits import Hardware
from kdsnn.network import Population
from kdsnn.targets.base import Violation
from kdsnn.targets.placement.axons import Destinations
from kdsnn.targets.placement.footprint import Footprint, Tile
from kdsnn.targets.placement.split import Site, split

__all__ = ["settle"]

ROUNDS = 8


def settle(
    population: Population, footprints: tuple[Footprint, ...], later: Destinations, hardware: Hardware
) -> tuple[Site, list[Tile], list[Violation]]:
    """The population in tiles, the site with all output axons that they need, and the limits that it exceeds.

    Args:
        population: that is placed.
        footprints: of the projections into it.
        later: the cores of the populations after it.
        hardware: the limits of a core.
    """
    own = [footprint for footprint in footprints if footprint.source == population.name]
    site = Site(population, footprints, later.axons(), hardware)
    tiles = split(site)
    if not own:
        return site, tiles, site.violations
    tried: list[tuple[int, Site, list[Tile]]] = []
    for _ in range(ROUNDS):
        sent = later.copy()
        for footprint in own:
            for tile in tiles:
                sent.add(footprint, tile)
        site = Site(population, footprints, sent.axons(), hardware)
        if all(site.fits(tile) for tile in tiles):
            return site, tiles, site.violations
        tried.append((max(map(site.output_axons, tiles)), site, tiles))
        tiles = split(site)
    needed, site, tiles = min(tried, key=lambda one: one[0])
    what = (
        f"a core of {len(tiles):,} needs {needed:,} output axons, its own population's cores among those that it sends"
        f" to, and has {hardware.most('output_axons'):,}"
    )
    return site, tiles, [*site.violations, Violation(population.name, what)]
