"""Quantization-aware training: its forward pass is the integer network, to the bit, before and after it learns."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from kdsnn.data.datasets import Split
from kdsnn.distill.qat.bounds import keep_in_bounds
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.distill.qat.sensitivity import layer_sensitivity
from kdsnn.distill.qat.training import QatSettings, finetune, qat
from kdsnn.distill.trainer import CHECKPOINT, Epoch
from kdsnn.errors import InputError, KdsnnError, UsageError
from kdsnn.export.quantization.quantize import quantize, requantize
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.overflow import overflows
from kdsnn.recipes.schema import DistillSection, QatSection, QuantizeSection
from kdsnn.targets.reference import simulate
from tests.oracles import simulate_float

ALONE = DistillSection(kind="none")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these lose time to more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(seed: int = 0, *, decay_u: float = 1.0, decay_v: float = 0.0, steps: int = 4) -> Network:
    """conv -> OR pool -> two dense paths, one through a relay, with biases of both kinds."""
    rng = np.random.default_rng(seed)

    def cell(theta: float, bias: np.ndarray) -> Neuron:
        return Neuron(theta, bias, decay_u=decay_u, decay_v=decay_v)

    populations = (
        Population("input", (1, 8, 8), Input()),
        Population("if1", (6, 8, 8), cell(1.0, np.repeat(rng.normal(0, 0.1, 6), 64))),
        Population("pool.1", (6, 4, 4), Neuron(0.5, np.zeros(96), decay_u=1.0)),
        Population("hidden", (12,), cell(0.8, rng.normal(0, 0.1, 12))),
        Population("relay", (6, 4, 4), Neuron(0.5, np.zeros(96), decay_u=1.0)),
        Population("out", (4,), cell(1.0, np.zeros(4))),
    )
    projections = (
        Projection("input", "if1", Conv2d(rng.normal(0, 0.3, (6, 1, 3, 3)) / 255, padding=(1, 1))),
        Projection("if1", "pool.1", Conv2d(np.ones((6, 1, 2, 2)), (2, 2), groups=6)),
        Projection("pool.1", "hidden", Dense(rng.normal(0, 0.2, (12, 96)))),
        Projection("pool.1", "relay", Conv2d(np.ones((6, 1, 1, 1)), groups=6)),
        Projection("hidden", "out", Dense(rng.normal(0, 0.5, (4, 12)))),
        Projection("relay", "out", Dense(rng.normal(0, 0.1, (4, 96)))),
    )
    return Network("two-paths", populations, projections, steps, tuple("abcd"), integer=False)


def task(n: int = 256, seed: int = 1) -> Split:
    """Which quarter of the image is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    images = rng.integers(0, 90, (n, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 110
    return Split(images.astype(np.uint8), labels)


def asked(*, epochs: int = 3, lr: float = 3e-2, batch_size: int = 64, **others: object) -> QatSettings:
    """Settings; those of the section of quantization by name."""
    names = ("weight_bits", "input_bits", "calibration_samples", "method")
    quantize_section = {name: others.pop(name) for name in names if name in others}
    section = QuantizeSection.model_validate(
        {"method": "mse", "qat": QatSection(epochs=epochs, lr=lr, batch_size=batch_size), **quantize_section}
    )
    return QatSettings(section, **others)  # type: ignore[arg-type]


def random_images(n: int = 12, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)


def same_spikes(net: FoldedNet, integer: Network, images: np.ndarray) -> None:
    """Tolerance 0, and no population silent or saturated in all it does."""
    with torch.no_grad():
        spikes = net(torch.from_numpy(images))
    for name, train in simulate(integer, images)[0].items():
        assert 0 < train.mean() < 1, name
        np.testing.assert_array_equal(spikes[name].transpose(0, 1).numpy(), train, err_msg=name)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("decays", [(1.0, 0.0), (0.7, 0.1)], ids=["if", "leaky"])
def test_the_forward_pass_is_the_integer_network_before_and_after_training(
    bits: int, decays: tuple[float, float], tmp_path: Path
) -> None:
    exact = network(decay_u=decays[0], decay_v=decays[1])
    like, report = quantize(exact, weight_bits=bits, input_bits=6, method="mse")
    net = FoldedNet(exact, like, report)
    same_spikes(net, like, random_images())
    assert net.to_integer()[0].fingerprint() == like.fingerprint()

    finetune(net, asked(epochs=1, distill=ALONE), task(96), tmp_path, device="cpu")
    trained, _ = net.to_integer()
    assert trained.fingerprint() != like.fingerprint()
    assert overflows(trained) == {}
    same_spikes(net, trained, random_images())


def test_it_learns_and_the_float_network_rounds_to_what_was_trained(tmp_path: Path) -> None:
    exact, train, test = network(), task(), task(200, seed=2)
    before, report = quantize(exact, weight_bits=3, input_bits=8, method="mse")
    net = FoldedNet(exact, before, report)
    epochs: list[Epoch] = []
    settings = asked(epochs=6, batch_size=32, lr=0.05, distill=ALONE)
    finetune(net, settings, train, tmp_path, device="cpu", on_epoch=epochs.append)
    after, new = net.to_integer()

    def right(integer: Network) -> float:
        return float((simulate(integer, test.images)[0]["out"].sum(axis=1).argmax(axis=1) == test.labels).mean())

    assert [e.epoch for e in epochs] == [0, 1, 2, 3, 4, 5]
    assert epochs[-1].loss < epochs[0].loss
    assert right(after) > right(before) + 0.2
    assert right(after) > 0.8
    again, _ = requantize(net.to_float(), before, report)
    assert again.fingerprint() == after.fingerprint()
    assert after.provenance["quantization"] == "qat, int3 weights, 8-bit input"
    for old, layer in zip(report.layers, new.layers, strict=True):
        assert (layer.scale, layer.threshold, layer.bias_exponent) == (old.scale, old.threshold, old.bias_exponent)
        assert layer.clipped == 0  # what is learnt is kept in range


def test_what_holds_integers_stays_as_it_is(tmp_path: Path) -> None:
    exact = network()
    like, report = quantize(exact, weight_bits=4, input_bits=8)
    net = FoldedNet(exact, like, report)
    finetune(net, asked(epochs=1, lr=0.1, distill=ALONE), task(64), tmp_path, device="cpu")
    trained = net.to_float()
    for name in ("pool.1", "relay"):
        assert (trained.incoming(name)[0].op.weight == 1).all()
        assert not trained.population(name).model.bias.any()
    assert not trained.output.model.bias.any()  # it had none
    bias = trained.population("if1").model.bias.reshape(6, 64)
    assert (bias == bias[:, :1]).all()  # one a channel
    assert (bias != exact.population("if1").model.bias.reshape(6, 64)).any()
    assert (trained.incoming("hidden")[0].op.weight != exact.incoming("hidden")[0].op.weight).any()


def test_two_trainings_of_one_seed_are_the_same(tmp_path: Path) -> None:
    settings = asked(epochs=1, augment="affine", weight_bits=4, input_bits=8, distill=ALONE)
    every = (settings, settings, replace(settings, seed=1))
    made = [qat(network(), one, task(96), tmp_path / str(i), device="cpu")[0] for i, one in enumerate(every)]
    first, second, other = made
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()


def test_the_teacher_is_listened_to(tmp_path: Path) -> None:
    """With alpha one the labels do not count: what is learnt is what the teacher says."""

    class Teacher(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert float(x.max()) <= 1
            dark = -x.reshape(-1, 2, 4, 2, 4).mean(dim=(2, 4)).flatten(1)
            return 40 * (dark - dark.mean(dim=1, keepdim=True))

    split = task()
    wrong = Split(split.images, np.zeros_like(split.labels))
    distill = DistillSection(alpha=1.0, temperature=1.0)
    settings = asked(epochs=6, batch_size=32, lr=0.05, weight_bits=4, input_bits=8, distill=distill)
    integer, _ = qat(network(), settings, wrong, tmp_path, teacher=Teacher(), device="cpu")
    test = task(100, seed=2)
    counts = simulate(integer, test.images)[0]["out"].sum(axis=1)
    assert (counts[np.arange(100), test.labels] == counts.min(axis=1)).mean() > 0.8


def test_a_network_that_leaves_its_bounds_is_brought_back() -> None:
    exact = network()
    like, report = quantize(exact, weight_bits=8, input_bits=8)
    assert report.layers[0].limited_by in ("overflow", "weight bits")
    net = FoldedNet(exact, like, report)
    inner = net.weights["input->if1:"]
    with torch.no_grad():
        inner.parameter[2] = inner.limit  # a channel of largest weights: 9 * 127 * 255 passes 2**17
        inner.parameter[4] *= 0.5
    quiet = net.to_integer()[0].incoming("if1")[0].op.weight[4]
    assert list(overflows(net.to_integer()[0])) == ["if1"]
    assert keep_in_bounds(net) == ("if1",)
    integer, _ = net.to_integer()
    assert overflows(integer) == {}
    weight, threshold = integer.incoming("if1")[0].op.weight, integer.population("if1").model.threshold
    assert 2**17 > 255 * weight[2].sum() + threshold > 0.95 * 2**17  # no further than need be
    np.testing.assert_array_equal(weight[4], quiet)  # the others are left alone
    assert keep_in_bounds(net) == ()


def test_the_float_mode_is_the_float_network() -> None:
    exact = network(decay_u=0.5, decay_v=0.25)
    like, report = quantize(exact, input_bits=8)
    net, images = FoldedNet(exact, like, report), random_images()
    with torch.no_grad():
        spikes = net(torch.from_numpy(images), rounded=())
    for name, train in simulate_float(exact, images).items():
        different = (spikes[name].transpose(0, 1).numpy() != train).mean()
        assert different < 1e-3, name  # float32 against float64: a potential may fall on the other side


def test_gradients_pass_an_or_pool_as_they_pass_max_pooling() -> None:
    exact = network()
    like, report = quantize(exact, input_bits=8)
    net = FoldedNet(exact, like, report)
    net.rates(torch.from_numpy(random_images())).square().sum().backward()
    for name, module in net.weights.items():
        gradient = module.parameter.grad
        assert (gradient is None) == ("->pool" in name or "->relay" in name), name
        assert gradient is None or float(gradient.abs().sum()) > 0, name


def test_the_sensitivity_of_each_layer() -> None:
    exact, split = network(), task(300)
    integer, report = quantize(exact, weight_bits=2, input_bits=8, method="mse")
    rows = layer_sensitivity(exact, integer, report, split.images, split.labels)
    assert [r.name for r in rows] == ["if1", "hidden", "out"]
    float_spikes = simulate_float(exact, split.images)
    for row in rows:
        assert row.float_rate == pytest.approx(float_spikes[row.name].mean(), rel=1e-3)  # float32 sums
    whole, _ = simulate(integer, split.images)
    assert rows[0].rate == pytest.approx(whole["if1"].mean(), rel=1e-6)  # the image feeds it, so alone is the same
    best, fine = quantize(exact, input_bits=8)
    close = layer_sensitivity(exact, best, fine, split.images, split.labels)
    drift = [sum(abs(r.rate - r.float_rate) for r in some) for some in (close, rows)]
    assert drift[0] < drift[1]


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a teacher"):
        qat(network(), asked(), task(16), tmp_path)
    with pytest.raises(UsageError, match="no augmentation 'nonsense'"):
        qat(network(), asked(augment="nonsense", distill=ALONE), task(16), tmp_path)
    for wrong in ({"lr": 0.0}, {"precision": "bf16"}, {"optimizer": "nonsense"}):
        with pytest.raises(ValidationError):
            QatSection.model_validate(wrong)


def test_a_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 4), float("nan"))

    with pytest.raises(KdsnnError, match="loss is not finite in epoch 0"):
        qat(network(), asked(input_bits=8), task(16), tmp_path, teacher=Broken())


def test_a_network_of_integers_has_nothing_to_learn(tmp_path: Path) -> None:
    base = network()
    ones = Projection("pool.1", "out", Dense(np.ones((4, 96))))
    cut = replace(
        base,
        populations=(*base.populations[:3], base.output),
        projections=(
            replace(base.projections[0], op=Conv2d(np.ones((6, 1, 3, 3)), padding=(1, 1))),
            *base.projections[1:2],
            ones,
        ),
    )
    silent = replace(cut.population("if1"), model=Neuron(1.0, np.zeros(384), decay_u=1.0))
    cut = replace(cut, populations=(cut.populations[0], silent, *cut.populations[2:]))
    with pytest.raises(InputError, match="no weight that could be learnt"):
        qat(cut, asked(input_bits=8, distill=ALONE), task(16), tmp_path)


def test_a_relay_of_a_dense_population_passes_spikes_and_gradients() -> None:
    base = network()
    relay = Population("relay", (12,), Neuron(0.5, np.zeros(12), decay_u=1.0))
    chain = replace(
        base,
        populations=(*base.populations[:4], relay, base.output),
        projections=(
            *base.projections[:3],
            Projection("hidden", "relay", Dense(np.eye(12))),
            replace(base.projections[4], source="relay"),
        ),
    )
    like, report = quantize(chain, weight_bits=4, input_bits=8, method="mse")
    net = FoldedNet(chain, like, report)
    same_spikes(net, like, random_images())
    net.rates(torch.from_numpy(random_images())).square().sum().backward()
    assert float(net.weights["pool/1->hidden:"].parameter.grad.abs().sum()) > 0


def test_stopped_and_gone_on_with_it_ends_with_the_same_network(tmp_path: Path) -> None:
    settings = asked(epochs=3, batch_size=32, input_bits=8, weight_bits=4, augment="affine", distill=ALONE)

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qat(network(), settings, task(96), tmp_path / "stopped", device="cpu", on_epoch=stop)
    assert (tmp_path / "stopped" / CHECKPOINT).is_file()
    seen: list[Epoch] = []
    again, _ = qat(network(), settings, task(96), tmp_path / "stopped", device="cpu", on_epoch=seen.append)
    assert [epoch.epoch for epoch in seen] == [1, 2]
    whole, _ = qat(network(), settings, task(96), tmp_path / "whole", device="cpu")
    assert again.fingerprint() == whole.fingerprint()
    assert len((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()) == 3


def test_the_weights_that_are_best_on_the_images_held_out_are_kept(tmp_path: Path) -> None:
    settings = asked(epochs=5, batch_size=32, lr=0.3, input_bits=8, weight_bits=4, distill=ALONE)
    held_out, epochs = task(80, seed=5), list[Epoch]()
    integer, _ = qat(network(), settings, task(96), tmp_path, held_out=held_out, device="cpu", on_epoch=epochs.append)
    counts = simulate(integer, held_out.images)[0]["out"].sum(axis=1)
    right = float((counts.argmax(axis=1) == held_out.labels).mean())
    assert right == max(epoch.validation or 0.0 for epoch in epochs)
    assert overflows(integer) == {}


def test_an_average_of_weights_cannot_overflow_either(tmp_path: Path) -> None:
    settings = asked(epochs=2, batch_size=32, lr=0.3, input_bits=8, distill=ALONE)
    section = settings.quantize.model_copy(
        update={"qat": settings.quantize.qat.model_copy(update={"ema_decay": 0.5, "clip_norm": 1.0})}
    )
    integer, _ = qat(network(), replace(settings, quantize=section), task(96), tmp_path, device="cpu")
    assert overflows(integer) == {}


def test_the_teacher_sees_the_images_that_the_network_sees(tmp_path: Path) -> None:
    """Bright where the images are bright, in [0, 1], and rounded to pixels: not black, and not others."""
    seen: list[torch.Tensor] = []

    class Teacher(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.clone())
            return torch.zeros(len(x), 4)

    split = task(64)
    settings = asked(epochs=1, input_bits=8, distill=DistillSection(alpha=0.5))
    qat(network(), settings, split, tmp_path, teacher=Teacher(), device="cpu")
    shown = {image.tobytes() for image in (torch.cat(seen) * 255).round().to(torch.uint8).numpy()}
    assert shown == {image.tobytes() for image in split.images}


def test_sensitivity_rounds_the_layer_that_it_is_of_and_no_other() -> None:
    """By hand: the layer in integers, all others as the float network has them, in plain float64 steps."""
    exact, split = network(), task(60)
    integer, report = quantize(exact, weight_bits=2, input_bits=8, method="mse")
    rows = {row.name: row for row in layer_sensitivity(exact, integer, report, split.images, split.labels)}
    float_rates = {name: train.mean() for name, train in simulate_float(exact, split.images).items()}
    scale = {layer.name: layer.scale for layer in report.layers}
    for name, row in rows.items():
        population = integer.population(name)
        bias = np.ldexp(population.model.bias.astype(float), population.model.bias_exponent - 6) * scale[name]
        neuron = replace(exact.population(name).model, bias=bias, threshold=population.model.threshold * scale[name])
        mixed = replace(
            exact,
            populations=tuple(replace(p, model=neuron) if p.name == name else p for p in exact.populations),
            projections=tuple(
                replace(p, op=replace(p.op, weight=q.op.weight * (scale[name] * 2.0**q.exponent)))
                if p.target == name
                else p
                for p, q in zip(exact.projections, integer.projections, strict=True)
            ),
        )
        trains = simulate_float(mixed, split.images)
        assert row.rate == pytest.approx(trains[name].mean(), abs=2e-3)  # float32 against float64, near thresholds
        right = (trains["out"].sum(axis=1).argmax(axis=1) == split.labels).mean()
        assert row.accuracy == pytest.approx(right, abs=0.02)
        assert row.float_rate == pytest.approx(float_rates[name], abs=2e-3)
