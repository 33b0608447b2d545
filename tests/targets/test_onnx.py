"""The ONNX target computes the reference's spikes and counts in both flavours, and so do the files that it exports."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.errors import TimedOutError, UsageError, VerificationError
from kdsnn.evaluation import check_same
from kdsnn.export.onnx.models import to_onnx
from kdsnn.export.onnx_runtime import onnx_runtime
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.or_pool import max_pool
from kdsnn.targets.onnx import OnnxTarget, files
from kdsnn.targets.reference import ReferenceTarget, simulate
from kdsnn.targets.registry import load_target
from kdsnn.testing import check_target, example_networks, random_images, random_network

FLAVOURS = ["float32", "int8"]
KINDS = {
    "in_time": st.booleans(),
    "reset": st.sampled_from(["zero", "zero", "subtract", "none"]),
    "recurrent": st.booleans(),
}
IN_TIME = {"in_time": True, "reset": "subtract", "recurrent": True}


@pytest.fixture
def network() -> Network:
    return example_networks()[0]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_conformance(flavour: str) -> None:
    result = check_target(OnnxTarget(flavour=flavour))
    assert list(result.passed) == [n.name for n in example_networks()]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(FLAVOURS), st.fixed_dictionaries(KINDS))
def test_random_networks(seed: int, flavour: str, kind: dict[str, Any]) -> None:
    network = random_network(seed, **kind)
    images = random_images(network, 5, seed)
    result = OnnxTarget(flavour=flavour).compile(network).run(images, record="all")
    check_same(result, ReferenceTarget().compile(network).run(images, record="all"))


def test_batches_do_not_change_the_result(network: Network) -> None:
    images = random_images(network, 11)
    program = OnnxTarget().compile(network)
    whole = program.run(images, record="all")
    program.batch = 4
    seen: list[int] = []
    check_same(program.run(images, record="all", progress=seen.append), whole)
    assert seen == [4, 8, 11]
    assert list(program.run(images).spikes) == [network.output.name]
    with pytest.raises(TimedOutError, match="after 4 images"):
        program.run(images, time_limit_s=0)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("kind", [{"leaky": False}, {"leaky": True}, IN_TIME], ids=["plain", "leaky", "in-time"])
def test_the_files_alone_count_the_references_spikes(tmp_path: Path, flavour: str, kind: dict[str, Any]) -> None:
    """With ONNX Runtime and the file, as somebody without kdsnn would; and one graph serves any number of images."""
    network = random_network(7, **kind)
    images = random_images(network, 9)
    written = OnnxTarget(flavour=flavour).write_files(network, images, tmp_path, None)
    assert [path.name for path in written.paths] == ["model.onnx", "step.onnx"]
    session = onnx_runtime().InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for shown in (images, images[:1]):
        counts, layers = session.run(["counts", "layer_spikes"], {"image": shown})
        wanted, _ = simulate(network, shown)
        assert np.array_equal(counts, wanted[network.output.name].sum(1).reshape(len(shown), -1))
        assert layers.sum(0).tolist() == [int(train.sum()) for train in wanted.values()]
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["kdsnn.fingerprint"] == network.fingerprint()
    assert properties["kdsnn.network.populations"].split("\n") == list(wanted)


def test_a_wrong_file_is_not_a_bundle(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = random_network(3)
    monkeypatch.setattr(files, "to_onnx", lambda _network, **options: to_onnx(other, **options))
    images = random_images(other, 4)
    spikes, potentials = simulate(other, images)
    inverted = {name: 1 - train for name, train in spikes.items()}
    monkeypatch.setattr(files, "simulate", lambda *_: (inverted, potentials))
    with pytest.raises(VerificationError, match=r"model\.onnx does not count"):
        OnnxTarget().write_files(other, images, tmp_path, None)


def test_the_size_does_not_grow_with_time(network: Network) -> None:
    sizes = [to_onnx(replace(network, timesteps=steps)).ByteSize() for steps in (2, 200)]
    assert sizes[1] - sizes[0] < 50


def test_weights_are_stored_once_and_as_they_are(network: Network) -> None:
    model = to_onnx(network, flavour="int8")
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name.startswith("weight.")}
    summed = {p.name for p in network.projections if max_pool(network, network.population(p.target)) is None}
    assert 0 < len(summed) < len(network.projections)
    assert set(stored) == {f"weight.{name}" for name in summed}
    assert all(weight.dtype == np.int8 for weight in stored.values())


def test_spikes_of_a_layer_are_summed_in_a_type_that_holds_them_all() -> None:
    def sums(timesteps: int) -> set[int]:
        nodes = to_onnx(_wide(timesteps)).graph.node
        summed = {node.input[0] for node in nodes if node.op_type == "ReduceSum"}
        flat = {node.input[0] for node in nodes if node.op_type == "Flatten" and node.output[0] in summed}
        return {attribute_of(node, "to") for node in nodes if node.output[0] in flat}

    assert sums(2**8 - 1) == {onnx.TensorProto.FLOAT}
    assert sums(2**8) == sums(2**15 - 1) == {onnx.TensorProto.INT32}
    assert sums(2**15) == {onnx.TensorProto.INT64}


def _wide(timesteps: int) -> Network:
    """2**16 neurons."""
    shape, one = (1, 2**8, 2**8), np.ones((1, 1), dtype=np.int64)
    populations = (
        Population("input", shape, Input(1)),
        Population("wide", shape, Neuron(1, np.zeros(2**16, dtype=np.int64))),
        Population("out", (1,), Neuron(1, np.zeros(1, dtype=np.int64))),
    )
    projections = (
        Projection("input", "wide", Conv2d(one[:, :, None, None])),
        Projection("wide", "out", Dense(np.repeat(one, 2**16, axis=1))),
    )
    return Network("wide", populations, projections, timesteps, ("a",), integer=True)


def attribute_of(node: onnx.NodeProto, name: str) -> int:
    return next(attribute.i for attribute in node.attribute if attribute.name == name)


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="option 'device' of target 'onnx'"):
        load_target("onnx", {"device": "tpu"})
    with pytest.raises(UsageError, match="option 'flavour' of target 'onnx'"):
        load_target("onnx", {"flavour": "int4"})
    assert (
        not OnnxTarget("cuda").probe().available or "CUDAExecutionProvider" in onnx_runtime().get_available_providers()
    )
