"""NIR files: they come back identical, plain nir reads them, and every kind of broken file gets one clear error."""

import json
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.errors import InputError, NetworkError
from kdsnn.export.hdf5_guard import Budget, check_hdf5
from kdsnn.export.nir import read_nir, to_nir, write_nir
from kdsnn.network import MEMBRANE_SHIFT, Conv2d, Network
from kdsnn.targets.reference import simulate
from kdsnn.testing import example_networks, random_images, random_network


@pytest.fixture
def network() -> Network:
    return example_networks()[0]


@pytest.fixture
def file(network: Network, tmp_path: Path) -> Path:
    path = tmp_path / "model.nir"
    write_nir(network, path)
    return path


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_random_networks_come_back_identical(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    network = random_network(seed)
    path = tmp_path_factory.mktemp("nir") / "model.nir"
    write_nir(network, path)
    back = read_nir(path)
    assert back.fingerprint() == network.fingerprint()
    assert (back.name, dict(back.provenance)) == (network.name, dict(network.provenance))


def test_two_paths_come_back(tmp_path: Path) -> None:
    network = example_networks()[-1]
    write_nir(network, tmp_path / "m.nir")
    assert read_nir(tmp_path / "m.nir").fingerprint() == network.fingerprint()


@pytest.mark.parametrize("fires", [np.greater, np.greater_equal])
def test_the_file_means_the_same_spikes_to_anybody(file: Path, network: Network, fires: np.ufunc) -> None:
    """Runs the float arrays of the plain NIR graph with NIR's equations alone, and gets our spikes; no tie decides."""
    graph = nir.read(file, type_check=False)
    images = random_images(network, 3)
    wanted, _ = simulate(network, images)
    v: dict[str, np.ndarray] = {}
    for t in range(network.timesteps):
        values = {"input": (images >> (8 - network.input_bits)).astype(np.float64)}
        for name, node in _in_order(graph):
            x = sum(values[a] for a, b in graph.edges if b == name)
            if isinstance(node, nir.IF):
                v[name] = v.get(name, 0.0) + node.r * x
                fired = fires(v[name], node.v_threshold)
                v[name] = np.where(fired, node.v_reset, v[name])
                values[name] = fired.astype(np.float64)
                assert np.array_equal(fired, wanted[name][:, t].astype(bool))
            else:
                values[name] = _linear(node, x)


def _in_order(graph: nir.NIRGraph) -> list[tuple[str, nir.NIRNode]]:
    done, order = {"input"}, []
    while len(order) < len(graph.nodes) - 1:
        for name, node in graph.nodes.items():
            if name not in done and all(a in done for a, b in graph.edges if b == name):
                done.add(name)
                order.append((name, node))
    return order


def _linear(node: nir.NIRNode, x: np.ndarray) -> np.ndarray:
    from kdsnn.network.linear_maps import apply

    if isinstance(node, nir.Conv2d):
        groups = int(node.groups)
        op = Conv2d(node.weight, tuple(node.stride), tuple(node.padding), tuple(node.dilation), groups)
        return apply(op, x) + node.bias.reshape(-1, 1, 1)
    if isinstance(node, nir.SumPool2d):
        ones = np.ones((x.shape[1], 1, *node.kernel_size))
        return apply(Conv2d(ones, tuple(node.stride), tuple(node.padding), groups=x.shape[1]), x)
    if isinstance(node, nir.Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, nir.Affine):
        return x @ node.weight.T + node.bias
    if isinstance(node, nir.Scale):
        return x * node.scale
    assert isinstance(node, nir.Output)
    return x


def test_plain_nir_type_checks_an_ungrouped_network(tmp_path: Path) -> None:
    for seed in range(40):
        network = random_network(seed, leaky=False)
        convolutions = [p.op for p in network.projections if isinstance(p.op, Conv2d)]
        square = all(op.weight.shape[2] == op.weight.shape[3] for op in convolutions)
        if square and all(op.groups == 1 or (op.weight == 1).all() for op in convolutions):
            write_nir(network, tmp_path / "m.nir")
            assert set(nir.read(tmp_path / "m.nir").nodes) >= {p.name for p in network.populations}
            return
    pytest.fail("no such network among the first 40 seeds")


def test_arrays_are_whole_numbers_in_float32(file: Path) -> None:
    """But thresholds stand half of the least step of a potential above one."""
    for node in nir.read(file, type_check=False).nodes.values():
        for name in ("weight", "bias", "scale", "v_threshold"):
            values = getattr(node, name, None)
            if values is not None:
                assert values.dtype == np.float32
                values = values - 1 / 128 if name == "v_threshold" else values
                scale = 2**MEMBRANE_SHIFT if name in ("bias", "scale") else 1
                assert (values * scale == np.round(values * scale)).all()


def test_a_bias_of_each_neuron_is_a_scale_of_ones(file: Path, network: Network) -> None:
    """What NIR's Conv2d cannot say stands beside it, so that it is lost on nobody."""
    differing = [
        p for p in network.spiking if len(p.shape) == 3 and np.ptp(p.model.bias.reshape(p.shape[0], -1), 1).any()
    ]
    graph = nir.read(file, type_check=False)
    assert differing
    for population in differing:
        (beside,) = (a for a, b in graph.edges if b == population.name and a.endswith("_bias"))
        wanted = np.ldexp(population.model.bias, population.model.bias_exponent - MEMBRANE_SHIFT)
        assert np.array_equal(graph.nodes[beside].scale.reshape(-1), wanted)


def test_a_float_network_is_refused(float_network: Network) -> None:
    with pytest.raises(NetworkError, match="only integer networks"):
        to_nir(float_network)


def test_nothing_is_left_beside_the_file(file: Path) -> None:
    assert [p.name for p in file.parent.iterdir()] == ["model.nir"]


@pytest.mark.parametrize("keep", [0, 10, 1000, 0.5, 0.99])
def test_truncated_files(file: Path, keep: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(InputError):
        read_nir(file)


def test_not_hdf5_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.nir").write_text("hello")
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        read_nir(tmp_path / "x.nir")
    with pytest.raises(InputError, match="there is no file"):
        read_nir(tmp_path / "y.nir")
    with pytest.raises(InputError, match="there is no file"):
        read_nir(tmp_path)


def test_any_changed_number_is_noticed(file: Path, network: Network) -> None:
    with h5py.File(file, "r+") as f:
        name = next(n for n in f["node/nodes"] if "weight" in f["node/nodes"][n])
        weight = f["node/nodes"][name]["weight"]
        weight[...] = -weight[...]
    with pytest.raises(InputError, match="changed since it was written"):
        read_nir(file)


def test_a_fraction_is_noticed(file: Path) -> None:
    with h5py.File(file, "r+") as f:
        name = next(n for n in f["node/nodes"] if "weight" in f["node/nodes"][n])
        f["node/nodes"][name]["weight"][...] += 0.5
    with pytest.raises(InputError, match="not whole numbers"):
        read_nir(file)


def test_a_foreign_graph_is_named_as_such(tmp_path: Path) -> None:
    graph = nir.NIRGraph(
        {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}, [("input", "output")]
    )
    nir.write(tmp_path / "other.nir", graph)
    with pytest.raises(InputError, match="not an integer network that kdsnn wrote"):
        read_nir(tmp_path / "other.nir")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "kdsnn.nir/99"},
        {"timesteps": "many"},
        {"timesteps": 0},
        {"projections": []},
        {"populations": [{"name": "../x", "bias_exponent": 0}]},
        {"labels": ["one"]},
        {"input_bits": 12},
    ],
)
def test_wrong_metadata(file: Path, change: dict[str, object]) -> None:
    with h5py.File(file, "r+") as f:
        metadata = f["node/metadata"]
        header = json.loads(metadata["kdsnn"][()]) | change
        del metadata["kdsnn"]
        metadata["kdsnn"] = json.dumps(header)
    with pytest.raises(InputError):
        read_nir(file)


def external(f: h5py.File) -> None:
    f["stolen"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(f: h5py.File) -> None:
    f["loop"] = h5py.SoftLink("/")


def twice(f: h5py.File) -> None:
    f["again"] = f["node"]  # a second hard link to all that is there


def cycle(f: h5py.File) -> None:
    f["node/again"] = f["node"]


def deep(f: h5py.File) -> None:
    f.create_group("/".join("d" * 80))


def bomb(f: h5py.File) -> None:
    f.create_dataset("bomb", shape=(2**40,), dtype="u1", chunks=(2**20,), compression="gzip")


def stored_elsewhere(f: h5py.File) -> None:
    f.create_dataset("elsewhere", shape=(4,), dtype="u1", external=[("other.bin", 0, 4)])


def virtual(f: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    f.create_virtual_dataset("virtual", layout)


def long_name(f: h5py.File) -> None:
    f.create_group("n" * 10_000)


def reference_type(f: h5py.File) -> None:
    f.create_dataset("refs", shape=(1,), dtype=h5py.ref_dtype)


@pytest.mark.parametrize(
    "attack", [external, soft, twice, cycle, deep, bomb, stored_elsewhere, virtual, long_name, reference_type]
)
def test_hostile_hdf5_is_refused_before_it_is_read(file: Path, attack: object) -> None:
    with h5py.File(file, "r+") as f:
        attack(f)
    with pytest.raises(InputError, match="refused at"):
        read_nir(file)


def test_too_many_objects(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as f:
        for i in range(30):
            f.create_group(str(i))
    check_hdf5(tmp_path / "many.h5")
    with pytest.raises(InputError, match="more than 10 objects"):
        check_hdf5(tmp_path / "many.h5", Budget(objects=10))
