"""-T beside data in time, and --in-time beside still data: what does not fit is said, in the options of the command."""

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.cli.test_files_in_time import NET, T, frames, recurrent

__all__ = ["recurrent"]

LOOSE = ("--max-disagreement", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Vectors in time that say of how many steps they are."""
    np.savez(tmp_path / "mine.npz", x=frames(), steps=T)
    return tmp_path / "mine.npz"


@pytest.mark.parametrize("command", [("quantize",), ("export", "--target", "nir"), ("export", "--dry-run")])
def test_steps_that_the_data_do_not_have_are_refused(
    cli: Cli, recurrent: Path, data: Path, command: tuple[str, ...]
) -> None:
    ask = (command[0], recurrent, *command[1:], "--calibrate", data, *LOOSE)
    assert_error(cli(*ask, "-T", T - 1), 3, f"mine.npz has {T} time steps, and -T says {T - 1}", "leave out -T")
    assert not recurrent.with_name("other-int8.nir").exists()
    for said in ((), ("-T", T)):
        assert cli(*ask, *said).code == 0


def test_still_images_are_shown_for_four_steps_where_nobody_says(cli: Cli, recurrent: Path) -> None:
    assert cli("quantize", recurrent, "--calibrate", "digits", *LOOSE).code == 0
    assert read_nir(recurrent.with_name("other-int8.nir")).timesteps == 4


@pytest.mark.parametrize("option", ["--images", "--dataset"])
def test_data_in_time_are_not_encoded_and_it_is_said(cli: Cli, recurrent: Path, tmp_path: Path, option: str) -> None:
    labelled = tmp_path / "labelled.npz"
    np.savez(labelled, x=frames(), y=np.arange(40) % 10, steps=T)
    assert cli("quantize", recurrent, "--calibrate", labelled, *LOOSE).code == 0
    ask = ("evaluate", recurrent.with_name("other-int8.nir"), "-t", "reference", option, labelled)
    assert_error(cli(*ask, "--encode", "rate"), 3, "labelled.npz is in time already", "leave out --encode")
    assert cli(*ask, "--encode", "direct").code == 0
    np.save(tmp_path / "bare.npy", frames())  # nobody says that they are in time, so they are still, and do not fit
    bare = (*ask[:4], "--images", tmp_path / "bare.npy")
    assert cli(*bare, "--encode", "rate").code == 3
    assert cli(*bare).code == 0


@pytest.fixture
def of_images(tmp_path: Path) -> Path:
    """A float graph of frames `(2, 4, 5)`."""
    rng = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(np.array([2, 4, 5])),
        "flat": nir.Flatten({"input": np.array([2, 4, 5])}, 0, -1),
        "dense": nir.Affine(rng.normal(0, 0.5, (3, 40)), rng.normal(0, 0.1, 3)),
        "last": nir.IF(r=np.ones(3), v_threshold=np.ones(3), v_reset=np.zeros(3)),
        "out": nir.Output(np.array([3])),
    }
    nir.write(tmp_path / "frames.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    return tmp_path / "frames.nir"


def pixels(*shape: int) -> np.ndarray:
    return ((np.random.default_rng(3).random(shape) < 0.3) * 255).astype(np.uint8)


def test_frames_in_time_have_their_steps_themselves(cli: Cli, of_images: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=pixels(30, 7, 2, 4, 5))
    ask = ("quantize", of_images, "--calibrate", tmp_path / "x.npz", "--in-time", *LOOSE)
    assert cli(*ask).code == 0
    assert read_nir(tmp_path / "frames-int8.nir").image_shape == (7, 2, 4, 5)
    assert_error(cli(*ask, "-T", 8), 3, "has 7 time steps, not 8", "leave out -T")


@pytest.mark.parametrize("said", [(), ("-T", 7)])
def test_still_images_are_not_in_time(cli: Cli, of_images: Path, tmp_path: Path, said: tuple[object, ...]) -> None:
    np.savez(tmp_path / "x.npz", x=pixels(30, 2, 4, 5))
    ask = ("quantize", of_images, "--calibrate", tmp_path / "x.npz", "--in-time", *LOOSE, *said)
    assert_error(cli(*ask), 3, "x.npz", "still images: leave out --in-time, or encode them: --encode", "-T")
    assert_error(
        cli("quantize", of_images, "--calibrate", "digits", "--in-time", *said), 3, "leave out --in-time, or encode"
    )
    assert cli(*ask, "--encode", "rate").code == 0, "which puts them in time"
    assert read_nir(tmp_path / "frames-int8.nir").image_shape == (said[-1] if said else 4, 2, 4, 5)


def test_a_module_on_data_in_time_needs_their_steps_said_once(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    ask = ("convert", f"{tmp_path}/net.py:Net", *LOOSE, "-o", tmp_path / "m.nir", "--images")
    np.save(tmp_path / "bare.npy", frames())
    for data, said in ((tmp_path / "bare.npy", ("--in-time",)), ("digits", ("--encode", "rate"))):
        assert_error(cli(*ask, data, *said), 2, "say it: -T")
    assert_error(cli(*ask, "digits", "--in-time", "-T", 3), 3, "leave out --in-time, or encode them: --encode")
    assert not (tmp_path / "m.nir").exists()
    np.savez(tmp_path / "mine.npz", x=frames(), steps=T)
    assert cli(*ask, tmp_path / "mine.npz", "--in-time").code == 0, "the data say it"
    assert_error(cli(*ask, tmp_path / "mine.npz", "-T", T + 1), 3, f"has {T} time steps, not {T + 1}", "leave out -T")
