"""What real writers write: their files, read here, fire as they do. And where they cannot, because NIR lost something.

The writers are not dependencies of kdsnn: `uv run --group peers pytest -m peers`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.errors import InputError, VerificationError
from kdsnn.evaluation import evaluate
from kdsnn.export.foreign.convert import Foreign, from_graph, read_foreign
from kdsnn.export.foreign.expectation import check_recorded
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Network
from kdsnn.targets.lava.adapter import LavaTarget
from tests.oracles import simulate_float

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # theirs
STEPS, IMAGES = 12, 20
IMAGE, FLAT = (1, 8, 8), (64,)


def images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (IMAGES, *shape)).astype(np.uint8)


def compare(network: Network, own: np.ndarray, *, differ: bool = False) -> None:
    """The writer's own spikes are the float network's; and its integer network runs on real Lava."""
    assert 0.02 < own.mean() < 0.98
    fired = simulate_float(network, images(network.input.shape))[network.output.name]
    assert (fired != own.reshape(fired.shape)).any() == differ
    integer, _ = quantize(balance(network), calibration=images(network.input.shape))
    result = evaluate(integer, LavaTarget(), images(network.input.shape), np.zeros(IMAGES, np.int64))
    assert result.compared == tuple(p.name for p in integer.spiking)
    assert all(layer.spikes for layer in result.counts.layers)


def pixels(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(images(shape) / 255).float()


def step_by_step(net: Callable[[torch.Tensor], Any], shape: tuple[int, ...]) -> np.ndarray:
    made = [net(pixels(shape)) for _ in range(STEPS)]
    return np.stack([(m[0] if isinstance(m, tuple) else m).detach().numpy() for m in made], 1)


def boosted(net: nn.Sequential, *gains: float) -> nn.Sequential:
    layers = [m for m in net if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer, gain in zip(layers, gains, strict=True):
        layer.weight.data *= gain
    return net


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class TestSnnTorch:
    """`export_to_nir` type-checks, so neurons must have their shape: beta and threshold as tensors."""

    @pytest.fixture
    def export(self) -> Callable[..., nir.NIRGraph]:
        pytest.importorskip("nirtorch", reason="snntorch.export_nir needs nirtorch")
        from snntorch.export_nir import export_to_nir

        return export_to_nir

    def net(self, neuron: Callable[..., nn.Module]) -> nn.Sequential:
        layers = (nn.Conv2d(1, 4, 3, padding=1), neuron((4, 8, 8)), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 5))
        return boosted(nn.Sequential(*layers, neuron((5,), output=True)), 3, 6)

    @pytest.mark.parametrize("beta", [0.9, 0.5, 1.0])
    @pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
    def test_reset_to_zero(self, export: Callable[..., Any], kind: str, beta: float, tmp_path: Path) -> None:
        import snntorch
        from snntorch import utils

        def neuron(shape: tuple[int, ...], **options: Any) -> nn.Module:
            options |= {"init_hidden": True, "reset_mechanism": "zero", "threshold": torch.ones(shape)}
            if kind == "Synaptic":
                options |= {"alpha": torch.full(shape, 0.8), "reset_delay": False}
            made: nn.Module = getattr(snntorch, kind)(beta=torch.full(shape, beta), **options)
            return made

        net = self.net(neuron)
        nir.write(tmp_path / "m.nir", export(net, torch.rand(1, *IMAGE), ignore_dims=[0]))
        with pytest.raises(InputError, match=r"looks like a file of snntorch(.|\n)*--reset zero"):
            read_foreign(tmp_path / "m.nir", Foreign(timesteps=STEPS, dt=1e-4))
        network = read_foreign(tmp_path / "m.nir", Foreign(timesteps=STEPS, writer="snntorch", reset="zero"))
        utils.reset(net)
        own = step_by_step(net, IMAGE)
        compare(network, own)
        assert network.output.model.decay_v == pytest.approx(1 - beta, abs=1e-6)
        np.savez(tmp_path / "recorded.npz", x=images(IMAGE), output_spikes=own)
        assert check_recorded(network, tmp_path / "recorded.npz").on_threshold == 0

    @pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
    @pytest.mark.parametrize("reset", ["default", "none"])
    def test_another_reset_is_lost_in_the_file_and_asked_for(
        self, export: Callable[..., Any], kind: str, reset: str, tmp_path: Path
    ) -> None:
        """Who says it gets the writer's spikes, who says zero all the same gets others, which a recording shows."""
        import snntorch
        from snntorch import utils

        def neuron(shape: tuple[int, ...], **options: Any) -> nn.Module:
            options |= {} if reset == "default" else {"reset_mechanism": reset}
            options |= {"alpha": torch.full(shape, 0.8)} if kind == "Synaptic" else {}
            options |= {"beta": torch.full(shape, 0.9), "threshold": torch.ones(shape), "init_hidden": True}
            made: nn.Module = getattr(snntorch, kind)(**options)
            return made

        net = self.net(neuron)
        graph = export(net, torch.rand(1, *IMAGE), ignore_dims=[0])
        with pytest.raises(InputError, match="looks like a file of snntorch"):
            from_graph(graph, Foreign(timesteps=STEPS, dt=1e-4))
        utils.reset(net)
        own = step_by_step(net, IMAGE)
        said: Any = "subtract" if reset == "default" else "none"
        compare(from_graph(graph, Foreign(timesteps=STEPS, writer="snntorch", reset=said)), own)
        network = from_graph(graph, Foreign(timesteps=STEPS, dt=1e-4, reset="zero"))
        compare(network, own, differ=True)
        np.savez(tmp_path / "recorded.npz", x=images(IMAGE), output_spikes=own)
        with pytest.raises(VerificationError, match="does not fire as recorded"):
            check_recorded(network, tmp_path / "recorded.npz")

    def test_a_synaptic_that_drops_its_input_carries_a_doubt(self, export: Callable[..., Any], tmp_path: Path) -> None:
        """Its default, reset_delay=True, is not in the file."""
        import snntorch
        from snntorch import utils

        def neuron(shape: tuple[int, ...], **options: Any) -> nn.Module:
            options |= {"alpha": torch.full(shape, 0.8), "beta": torch.full(shape, 0.9), "reset_mechanism": "zero"}
            return snntorch.Synaptic(threshold=torch.ones(shape), init_hidden=True, **options)

        net = self.net(neuron)
        graph = export(net, torch.rand(1, *IMAGE), ignore_dims=[0])
        network = from_graph(graph, Foreign(timesteps=STEPS, writer="snntorch", reset="zero"))
        assert "reset_delay=False" in network.provenance["doubt"]
        utils.reset(net)
        compare(network, step_by_step(net, IMAGE), differ=True)

    @pytest.mark.parametrize("reset", ["subtract", "none"])
    def test_recurrence(self, export: Callable[..., Any], reset: Any) -> None:
        import snntorch
        from snntorch import utils

        said = {"init_hidden": True, "reset_mechanism": reset}
        recurrent = snntorch.RLeaky(beta=0.9, linear_features=20, **said)
        last = snntorch.Leaky(beta=torch.full((5,), 0.9), threshold=torch.ones(5), output=True, **said)
        net = boosted(nn.Sequential(nn.Linear(64, 20), recurrent, nn.Linear(20, 5), last), 9, 4)
        graph = export(net, torch.rand(1, *FLAT), ignore_dims=[0])
        utils.reset(net)
        compare(from_graph(graph, Foreign(timesteps=STEPS, dt=1e-4, reset=reset)), step_by_step(net, FLAT))


@pytest.mark.parametrize("fires_at", [">", ">="])
@pytest.mark.parametrize("neuron", ["IFNode", "LIFNode", "LIFNode no decay", "ParametricLIFNode", "CUBALIFNode"])
def test_spikingjelly(neuron: str, fires_at: Any, tmp_path: Path) -> None:
    """It fires at >=; without ties, > is the same."""
    based = pytest.importorskip("spikingjelly.activation_based", reason="a peer, installed on demand")
    from spikingjelly.activation_based import functional, layer
    from spikingjelly.activation_based import neuron as neurons
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    assert based is not None
    options = {
        "LIFNode": {"tau": 2.0},
        "LIFNode no decay": {"tau": 4.0, "decay_input": False},
        "ParametricLIFNode": {"init_tau": 3.0},
        "CUBALIFNode": {"c_decay": 0.5, "v_decay": 0.75},
    }.get(neuron, {})
    first, second = (getattr(neurons, neuron.split(maxsplit=1)[0])(**options) for _ in range(2))
    layers = (layer.Conv2d(1, 4, 3, padding=1), first, layer.AvgPool2d(2), layer.Flatten(), layer.Linear(64, 5), second)
    net = boosted(nn.Sequential(*layers), 9, 12)
    nir.write(tmp_path / "m.nir", export_to_nir(net, torch.rand(1, *IMAGE)))
    functional.reset_net(net)
    if neuron in ("LIFNode no decay", "CUBALIFNode"):
        with pytest.raises(InputError, match="looks like a file of snntorch"):
            read_foreign(tmp_path / "m.nir", Foreign(timesteps=STEPS, dt=1e-4))
    network = read_foreign(tmp_path / "m.nir", Foreign(timesteps=STEPS, writer="spikingjelly", fires_at=fires_at))
    compare(network, step_by_step(net, IMAGE))


class TestNorse:
    """Its graphs hold torch scalars, which nir cannot write, and nothing for a Flatten: read in memory.

    tau is written as dt / tau_inv, so dt squared gives its decays.
    """

    def made(self, cell: str) -> tuple[nir.NIRGraph, np.ndarray]:
        norse = pytest.importorskip("norse.torch", reason="a peer, installed on demand")
        from norse.torch.utils.export_nir import to_nir

        cells = [getattr(norse, cell)() for _ in range(2)]
        net = norse.SequentialState(nn.Linear(64, 20), cells[0], nn.Linear(20, 5), cells[1])
        boosted(net, 30, 30)
        graph = to_nir(net, torch.rand(1, *FLAT))
        state, out = None, []
        for _ in range(STEPS):
            spikes, state = net(pixels(FLAT), state)
            out.append(spikes.detach().numpy())
        return graph, np.stack(out, 1)

    @pytest.mark.parametrize("cell", ["IAFCell", "LIFBoxCell"])
    def test_without_a_current(self, cell: str) -> None:
        graph, own = self.made(cell)
        compare(from_graph(graph, Foreign(timesteps=STEPS, writer="norse")), own)

    def test_with_a_current(self) -> None:
        """It adds w S to the current, NIR adds w S dt / tau_syn: with w_in = tau_syn / dt it matches."""
        graph, own = self.made("LIFCell")
        compare(from_graph(graph, Foreign(timesteps=STEPS, writer="norse")), own, differ=True)
        for node in graph.nodes.values():
            if isinstance(node, nir.CubaLIF):
                node.w_in = node.tau_syn / 1e-6
        compare(from_graph(graph, Foreign(timesteps=STEPS, writer="norse")), own)


class TestSinabs:
    """Its graphs hold torch scalars and flattens without a shape, which nir cannot write: read in memory."""

    def made(self, layers: Callable[[Any], list[nn.Module]], shape: tuple[int, ...]) -> tuple[nir.NIRGraph, np.ndarray]:
        pytest.importorskip("sinabs", reason="a peer, installed on demand")
        import sinabs.layers
        from sinabs.nir import to_nir

        net = nn.Sequential(*layers(sinabs.layers))
        timed = len(shape) == 1  # dense layers take (B, T, N), squeezing ones (B T, C, H, W)
        out = []
        graph = to_nir(net, torch.rand(1, *((STEPS,) if timed else ()), *shape))
        for image in pixels(shape):
            for module in net:
                if hasattr(module, "reset_states"):
                    module.reset_states()
            shown = image[None].repeat(STEPS, *([1] * len(shape)))
            out.append(net(shown[None] if timed else shown).detach().numpy().reshape(STEPS, -1))
        return graph, np.stack(out)

    def single(self) -> dict[str, Any]:
        from sinabs.activation import MembraneReset, SingleSpike

        return {"spike_fn": SingleSpike, "reset_fn": MembraneReset()}

    @pytest.mark.parametrize("single", [True, False])
    def test_iaf(self, single: bool) -> None:
        """Its default neuron fires several times a step and resets by subtraction: the file says neither."""

        def layers(sl: Any) -> list[nn.Module]:
            options = self.single() if single else {}
            first, second = (sl.IAFSqueeze(batch_size=1, **options) for _ in range(2))
            return [nn.Conv2d(1, 4, 3, padding=1), first, sl.SumPool2d(2), nn.Flatten(), nn.Linear(64, 5), second]

        graph, own = self.made(layers, IMAGE)
        assert "sinabs" in from_graph(graph, Foreign(timesteps=STEPS)).provenance["doubt"]
        with pytest.raises(InputError, match="files of sinabs say v_reset = 0 whatever"):
            from_graph(graph, Foreign(timesteps=STEPS, writer="sinabs"))
        compare(from_graph(graph, Foreign(timesteps=STEPS, writer="sinabs", reset="zero")), own, differ=not single)

    @pytest.mark.parametrize(("solve", "differ"), [("exact", False), ("euler", True)])
    def test_lif(self, solve: Any, differ: bool) -> None:
        def layers(sl: Any) -> list[nn.Module]:
            first, second = (sl.LIF(tau_mem=10.0, norm_input=True, **self.single()) for _ in range(2))
            return list(boosted(nn.Sequential(nn.Linear(64, 20), first, nn.Linear(20, 5), second), 30, 60))

        graph, own = self.made(layers, FLAT)
        network = from_graph(
            graph, Foreign(timesteps=STEPS, writer="sinabs", reset="zero", solve=solve, input_shape=FLAT)
        )
        compare(network, own, differ=differ)

    def test_a_readout_of_a_potential(self) -> None:
        """Its ExpLeak at the end: the float potentials are sinabs's, and real Lava reads the reference's."""

        def layers(sl: Any) -> list[nn.Module]:
            first, last = (
                sl.LIF(tau_mem=10.0, norm_input=True, **self.single()),
                sl.ExpLeak(tau_mem=8.0, norm_input=True),
            )
            return list(boosted(nn.Sequential(nn.Linear(64, 20), first, nn.Linear(20, 5), last), 30, 60))

        graph, own = self.made(layers, FLAT)
        network = from_graph(graph, Foreign(timesteps=STEPS, writer="sinabs", reset="zero", input_shape=FLAT))
        assert network.readout == "membrane"
        read = simulate_float(network, images(FLAT))[network.output.name]
        assert own.std() > 0.5
        np.testing.assert_allclose(read, own, rtol=1e-4, atol=1e-4)  # sinabs computes in float32
        integer, _ = quantize(network, calibration=images(FLAT))
        evaluate(integer, LavaTarget(), images(FLAT))  # raises at the first potential that differs
