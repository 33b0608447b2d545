"""`kdsnn export` of a float NIR file: the images it is calibrated on are those that its bundle is run on."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.cli.test_files_in_time import T, frames, recurrent

__all__ = ["recurrent"]

LOOSE = ("--max-disagreement", 1)


@pytest.mark.parametrize("labels", [False, True])
def test_a_bundle_is_run_on_what_it_was_calibrated_on(cli: Cli, recurrent: Path, tmp_path: Path, labels: bool) -> None:
    y = {"y": np.arange(40) % 10} if labels else {}
    np.savez(tmp_path / "mine.npz", x=frames(), steps=T, **y)
    ask = ("export", recurrent, "--target", "onnx", *LOOSE, "-o", tmp_path / "bundle", "--json")
    done = cli(*ask, "--calibrate", tmp_path / "mine.npz")
    assert done.code == 0, done.err
    assert done.json["verified"]["images"] == 4
    assert read_nir(tmp_path / "other-int8.nir").fingerprint() == done.json["fingerprint"]


def test_what_cannot_be_run_leaves_no_file(cli: Cli, recurrent: Path, tmp_path: Path) -> None:
    ask = ("export", recurrent, "--target", "onnx", *LOOSE, "-o", tmp_path / "bundle")
    assert_error(cli(*ask), 3, "no images for", "--calibrate or --images")
    assert_error(cli(*ask, "--calibrate", "digits", "--images", tmp_path / "none.npz"), 3, "none.npz")
    assert list(tmp_path.iterdir()) == [recurrent]
