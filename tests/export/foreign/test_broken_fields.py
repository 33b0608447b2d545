"""Any field of any node may hold anything: the graph is read, or refused by one of our errors; never a traceback."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import nir
import numpy as np
import pytest
import torch

from kdsnn.errors import InputError
from tests.export.foreign.foreign_graphs import read
from tests.export.foreign.random_graphs import random_graph
from tests.export.foreign.test_foreign import CASES
from tests.export.foreign.test_writers import LOOKS

ANYTHING: list[Callable[[Any], Any]] = [
    *(lambda _, v=value: v for value in (None, "text", b"x", {}, True, 1 + 2j, [[1], [2, 3]], (2**12, 2**12))),
    *(lambda _, v=value: v for value in (np.nan, np.inf, 10**30, -1, 0, 2**24, np.zeros(0), np.ones((2,) * 5))),
    *(
        lambda _, v=value: v
        for value in (np.array(["a"]), np.array([{}], dtype=object), torch.ones(3).requires_grad_())
    ),
    lambda value: np.zeros_like(value, dtype=float),
    lambda value: np.asarray(value)[..., :-1],
    lambda value: np.asarray(value, dtype=np.float64) * 1e300,
]


def inner(graph: nir.NIRGraph) -> Iterator[Any]:
    for node in graph.nodes.values():
        yield from inner(node) if isinstance(node, nir.NIRGraph) else [node]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_field_holds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graphs = [*CASES.values(), *LOOKS.values(), *map(random_graph, range(5))]
    refused = 0
    for _ in range(150):
        graph = copy.deepcopy(graphs[rng.integers(len(graphs))])
        nodes = list(inner(graph))
        node = nodes[rng.integers(len(nodes))]
        names = [field.name for field in dataclasses.fields(node) if field.name != "metadata"]
        name, change = names[rng.integers(len(names))], ANYTHING[rng.integers(len(ANYTHING))]
        value = getattr(node, name, None)
        try:
            if isinstance(value, dict):
                setattr(node, name, {"input": change(value.get("input"))})
            else:
                setattr(node, name, change(value))
        except (TypeError, ValueError, IndexError):  # the change is of arrays, and this is none
            continue
        try:
            read(graph, reset="zero" if rng.random() < 0.5 else None)
        except InputError:
            refused += 1
    assert 20 < refused < 130
