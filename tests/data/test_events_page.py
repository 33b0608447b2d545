"""The page about events and images in time: its files, commands and lines of Python are executed in their order."""

from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.data.sources.load import load_data
from kdsnn.files.reading import read_json
from tests.data.events.made import write_shd
from tests.data.test_data_page import run
from tests.pages import blocks

PAGE = "docs/events.md"


def write_recordings(folder: Path) -> None:
    """A bar that goes down on the left, and one on the right, 40 of each: what the sum of the frames tells, too."""
    for number in range(80):
        rng, label = np.random.default_rng(number), number % 2
        t = np.sort(rng.integers(0, 50_000, 400))
        rows = t * 16 // 50_000
        place = folder / ("left", "right")[label]
        place.mkdir(parents=True, exist_ok=True)
        x = rng.integers(0, 9, 400) + 7 * label
        np.savez(place / f"{number}.npz", x=x, y=rows, t=t, p=rng.integers(0, 2, 400))


def write_network(path: Path) -> None:
    """A float NIR file of one layer, as anybody's."""
    weight = np.random.default_rng(0).normal(0, 0.2, (10, 64)).astype(np.float32)
    one = np.ones(10, np.float32)
    nodes = {
        "input": nir.Input(input_type=np.array([64])),
        "fc": nir.Linear(weight),
        "if": nir.IF(r=one, v_threshold=one),
        "output": nir.Output(output_type=np.array([10])),
    }
    nir.write(str(path), nir.NIRGraph(nodes, [("input", "fc"), ("fc", "if"), ("if", "output")]))


def write_spoken(path: Path) -> None:
    """Recordings of 20 words in SHD's format, each word in channels of its own."""
    rng = np.random.default_rng(0)
    times = [np.sort(rng.random(60)) for _ in range(60)]
    write_shd(path, times, [35 * (i % 20) + rng.integers(0, 35, 60) for i in range(60)])


@pytest.mark.filterwarnings("ignore:Creating legend with loc")  # of a report, on a machine that others use
def test_the_page_about_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))
    rate, gestures, shd = blocks(PAGE, "toml")
    (tmp_path / "rate.toml").write_text(rate)
    (tmp_path / "gestures.toml").write_text(gestures)
    write_recordings(tmp_path / "recordings")
    write_network(tmp_path / "other.nir")
    encoded, foreign, recorded, converted, spoken = blocks(PAGE, "sh")
    arrays, moving, dense, saccades = blocks(PAGE, "python")
    assert "1-bit input" in run(encoded, monkeypatch, capfd)
    told = run(foreign, monkeypatch, capfd)
    assert told.count("T = 8") == 2
    run(recorded, monkeypatch, capfd)
    assert read_json(tmp_path / "runs" / "gestures" / "student.json")["accuracy"] > 0.9
    assert (tmp_path / "runs" / "gestures" / "report.html").is_file()
    (tmp_path / "moving.py").write_text(moving)
    assert "lead of 1" in run(converted, monkeypatch, capfd)
    monkeypatch.setenv("KDSNN_DATA", str(tmp_path))
    (tmp_path / "shd.toml").write_text(shd)
    (tmp_path / "dense.py").write_text(dense)
    for part in ("train", "test"):
        write_spoken(tmp_path / f"SHD/shd_{part}.h5")
    assert "T = 20" in run(spoken, monkeypatch, capfd)
    rng = np.random.default_rng(0)
    scope = {"frames": rng.integers(0, 256, (20, 4, 2, 8, 8), dtype=np.uint8), "y": np.arange(20) % 2}
    scope["series"] = rng.integers(0, 256, (20, 4, 9), dtype=np.uint8)
    exec(compile(arrays, "arrays", "exec"), scope)  # noqa: S102  our own page
    assert load_data("frames.npz").image_shape == (4, 2, 8, 8)
    assert load_data("series.npz").image_shape == (4, 9)
    exec(compile(saccades, "saccades", "exec"), scope)  # noqa: S102
    assert "(4000, 10, 2, 34, 34)" in capfd.readouterr().out
