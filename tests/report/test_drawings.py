"""`kdsnn figure`: every figure, in every format, as a file that opens and shows what the run knows."""

import io
import re
import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest

from kdsnn.choices import FIGURES
from kdsnn.data.datasets import load_dataset
from kdsnn.errors import InputError, UsageError
from kdsnn.export.nir import write_nir
from kdsnn.files.writing import write_json
from kdsnn.report.drawings import Asked, draw_figure
from kdsnn.report.paper_figures import noisy_images, spike_sequence
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.targets.reference import ReferenceTarget, simulate
from tests.cli.conftest import Cli, cli
from tests.small_run import one_layer, small_run

__all__ = ["cli"]

WIDTH = 3.25


@pytest.fixture
def evaluated() -> Model:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=20))
    return model


def noise(model: Model) -> None:
    """A measurement of the run under two kinds of noise."""
    assert model.run is not None
    points = [{"level": x, "mean": 1 - x, "spread": 0.1, "refused": []} for x in (0.0, 0.1, 0.3)]
    curves = [{"network": "x, integer", "points": points}]
    known = {
        "data": select_images(model, samples=10).identity.as_json(),
        "dataset": "digits",
        "networks": [{"name": "x, integer", "run": "small", "fingerprint": model.network.fingerprint()}],
        "noise": [{"kind": kind, "level": "sigma", "curves": curves} for kind in ("gaussian", "bit-flip")],
        "samples": 10,
        "seeds": 1,
        "target": "gpu",
    }
    write_json(model.run / "noise" / "both.json", known)


def opened(path: Path) -> float:
    """The width in inches of a figure that opens."""
    data = path.read_bytes()
    if path.suffix == ".png":
        pixels = matplotlib.image.imread(io.BytesIO(data))
        assert pixels[..., :3].min() < 1  # something is drawn
        return pixels.shape[1] / 300
    if path.suffix == ".svg":
        return float(ElementTree.fromstring(data).attrib["width"].removesuffix("pt")) / 72  # noqa: S314  ours
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", data, re.S)
    assert streams
    assert all(zlib.decompressobj().decompress(stream) for stream in streams)
    (box,) = re.findall(rb"/MediaBox \[ *0 0 ([\d.]+)", data)
    return float(box) / 72


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
@pytest.mark.parametrize("name", FIGURES.names())
def test_each_figure_is_a_file_that_opens_and_as_wide_as_a_column(
    evaluated: Model, tmp_path: Path, name: str, suffix: str
) -> None:
    if name == "noise-curves":
        noise(evaluated)
    out = draw_figure(name, evaluated, tmp_path / f"figure{suffix}")
    assert opened(out) == pytest.approx(WIDTH, abs=0.01)  # pixels are whole
    again = draw_figure(name, evaluated, tmp_path / f"again{suffix}")
    assert out.read_bytes() == again.read_bytes()
    assert opened(draw_figure(name, evaluated, tmp_path / f"wide{suffix}", width=6.875)) == pytest.approx(
        6.875, abs=0.01
    )


def test_a_spike_sequence_shows_every_spike_of_the_output_and_who_fired_most(evaluated: Model) -> None:
    figure = spike_sequence(Asked(evaluated, image=3))
    shown = select_images(evaluated)
    spikes, _ = simulate(evaluated.network, shown.images[3:4])
    train = spikes["out"][0]  # (T, 10)
    assert train.any()
    picture, sequence, totals = figure.axes
    assert picture.get_title() == f"image ({shown.labels[3]})"  # type: ignore[index]
    (marks,) = sequence.lines
    found = {(int(x) - 1, int(y)) for x, y in marks.get_xydata()}
    assert found == {(int(t), int(n)) for t, n in zip(*np.nonzero(train), strict=True)}
    assert [bar.get_width() for bar in totals.patches] == train.sum(axis=0).tolist()
    colours = {bar.get_facecolor() for bar in totals.patches}
    assert len(colours) == 1 + (train.sum(axis=0) < train.sum(axis=0).max()).any()


def test_noisy_images_are_those_of_the_noise_that_was_measured(evaluated: Model) -> None:
    noise(evaluated)
    figure = noisy_images(Asked(evaluated, image=0))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["clean", "0.1", "0.3"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["gaussian"]  # flipped bits change no image
    clean, weak, strong = (np.asarray(axes.images[0].get_array(), dtype=float) for axes in figure.axes)
    np.testing.assert_array_equal(clean, select_images(evaluated).images[0].mean(axis=0))
    assert 0 < np.abs(weak - clean).mean() < np.abs(strong - clean).mean()


def test_what_is_not_there_is_said(evaluated: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no measurement under noise"):
        draw_figure("noise-curves", evaluated, tmp_path / "x.pdf")
    with pytest.raises(UsageError, match="did you mean 'energy'"):
        draw_figure("energi", evaluated, tmp_path / "x.pdf")
    with pytest.raises(UsageError, match="is no figure"):
        draw_figure("energy", evaluated, tmp_path / "x.docx")
    with pytest.raises(InputError, match="there is no image 9999"):
        draw_figure("raster", evaluated, tmp_path / "x.pdf", image=9999)
    assert list(tmp_path.glob("x.*")) == []


def test_a_figure_that_would_be_cut_is_refused(cli: Cli, tmp_path: Path) -> None:
    model = small_run()
    network = model.network
    long = "a-layer-with-a-name-that-is-as-long-as-a-column-of-a-paper-is-wide-and-longer"
    last = replace(network.output, name=long)
    projections = tuple(replace(p, target=long) for p in network.projections)
    write_nir(replace(network, populations=(network.input, last), projections=projections), model.path)
    out = tmp_path / "cut.png"
    refused = cli("figure", "raster", model.run, "-o", out)
    assert refused.code == 2
    assert "3.25 inches are too narrow for the figure 'raster' of this network: it would be cut" in refused.err
    assert "--width" in refused.err
    assert not out.exists()
    assert cli("figure", "raster", model.run, "-o", out, "--width", 10).code == 0
    edges = matplotlib.image.imread(out)[:, [0, -1], :3]
    assert (edges == 1).all()  # nothing runs over the edge
    for width in (1, 2.9, 51):
        done = cli("figure", "raster", model.run, "-o", tmp_path / "x.png", "--width", width)
        assert done.code == 2
        assert "--width" in done.err
        with pytest.raises(UsageError, match="3 to 50 inches wide"):
            draw_figure("raster", model, tmp_path / "x.png", width=width)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("named", ["dataset", "images"])
def test_a_file_is_drawn_with_the_images_that_are_named(cli: Cli, tmp_path: Path, named: str) -> None:
    network = replace(one_layer(), provenance={})
    write_nir(network, tmp_path / "mine.nir")
    out = tmp_path / "made.svg"
    bare = cli("figure", "spike-sequence", tmp_path / "mine.nir", "-o", out)
    assert bare.code == 3
    assert "name data: --dataset or --images" in bare.err
    np.save(tmp_path / "mine.npy", load_dataset("digits").test.images[:3])
    data = {"dataset": "digits", "images": tmp_path / "mine.npy"}[named]
    done = cli("figure", "spike-sequence", tmp_path / "mine.nir", f"--{named}", data, "--image", 2, "-o", out)
    assert done.code == 0, done.err
    assert "image" in out.read_text()
    refused = cli("figure", "noise-curves", tmp_path / "mine.nir", f"--{named}", data, "-o", out)
    assert refused.code == 2


def test_noise_curves_send_nobody_to_a_command_that_cannot(cli: Cli, evaluated: Model) -> None:
    out = evaluated.path.parent / "x.svg"
    assert "run: kdsnn noise" in cli("figure", "noise-curves", evaluated.run, "-o", out).err
    (evaluated.path.parent / "recipe.toml").rename(evaluated.path.parent / "module.json")  # as of a converted module
    for model in (evaluated.run, evaluated.path):
        done = cli("figure", "noise-curves", model, "-o", out)
        assert done.code == 3
        assert "run: kdsnn noise" not in done.err
        assert "draw this figure of a run that kdsnn distill made" in done.err
        assert cli("noise", evaluated.run, "-n", 1).code == 3
