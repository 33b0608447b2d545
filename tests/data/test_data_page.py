"""The page about data: its files, commands and lines of Python are executed one after the other."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kdsnn.cli.main import main
from kdsnn.data.sources.load import load_data
from tests.pages import blocks

PAGE = "docs/data.md"


def test_the_page_about_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = rng.integers(0, 100, (160, 12, 12), dtype=np.uint8)
    for number, label in enumerate(y):  # bright above, or bright below
        x[number, 6 * label : 6 * label + 6] += 120
        place = tmp_path / "photos" / ("cat", "dog")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[number]).save(place / f"{number:03}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))
    (recipe,) = blocks(PAGE, "toml")
    (tmp_path / "my.toml").write_text(recipe)
    first, second = blocks(PAGE, "sh")
    arrays, function, from_memory = blocks(PAGE, "python")
    (tmp_path / "my_data.py").write_text(function)
    said = run(first, monkeypatch, capfd)
    assert "float → integer" in said
    scope = {"x": x, "y": y, "torch": torch}
    exec(compile(arrays, "arrays", "exec"), scope)  # noqa: S102  our own page
    made = [load_data(name) for name in ("mine.npz", "mine.npy", "my_data.py:load")]
    assert len({dataset.sha256 for dataset in made}) == 1
    floats = load_data("floats.npz")
    assert np.array_equal(floats.train.images, made[0].train.images)
    assert floats.labels == ("cat", "dog")
    run(second, monkeypatch, capfd)
    exec(compile(from_memory, "from_memory", "exec"), scope)  # noqa: S102
    assert "(128, 1, 12, 12) (32, 1, 12, 12) ('0', '1')" in capfd.readouterr().out
    assert (tmp_path / "runs" / "from_memory" / "data.npz").is_file()


def run(block: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """Runs the commands of a block, and returns what they printed."""
    said = ""
    for line in block.splitlines():
        monkeypatch.setattr("sys.argv", shlex.split(line))
        try:
            main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert not code, (line, err)
        said += out
    return said
