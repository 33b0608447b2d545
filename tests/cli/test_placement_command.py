"""`kdsnn export --hardware`: the table, the JSON, and exit code 5 where a network does not fit."""

from pathlib import Path

import pytest

from kdsnn.export.nir import read_nir
from kdsnn.hardware.limits import load_hardware
from kdsnn.targets.placement.place import place
from tests.cli.conftest import Cli


@pytest.fixture
def tight(tmp_path: Path) -> Path:
    """Loihi 2 with 7 neurons a core and 2 cores a chip."""
    shipped = Path(load_hardware.__code__.co_filename).parent / "loihi2.toml"
    text = shipped.read_text().replace("value = 8192", "value = 7").replace("value = 128\n", "value = 2\n")
    (tmp_path / "tight.toml").write_text(text)
    return tmp_path / "tight.toml"


def test_a_dry_run_places_the_network(cli: Cli, run: Path) -> None:
    done = cli("export", run, "--hardware", "loihi2", "--chips", 1, "--dry-run", "--json")
    assert done.code == 0, done.err
    placement = place(read_nir(run / "model.nir"), load_hardware("loihi2"))
    assert done.json["placement"] == placement.as_json()
    assert done.json["violations"] == []
    assert [layer["name"] for layer in done.json["placement"]["layers"]] == [r["name"] for r in done.json["layers"]]
    assert done.json["placement"]["synapses"] == sum(row["synapses"] for row in done.json["layers"])
    shown = cli("export", run, "--hardware", "loihi2", "--dry-run").out
    assert f"{placement.cores} cores, 0 of them for relays; 1 chip of 128" in shown
    assert "Loihi 2, Intel technology brief 2021" in shown
    assert "No limit of input axons" in shown


def test_without_hardware_there_is_no_placement(cli: Cli, run: Path) -> None:
    assert "placement" not in cli("export", run, "--dry-run", "--json").json


def test_graded_messages_do_not_fit_loihi1(cli: Cli, run: Path) -> None:
    done = cli("export", run, "--hardware", "loihi1", "--dry-run")
    assert done.code == 5
    assert "error: it does not fit loihi1" in done.err
    assert "input: messages of" in done.err
    assert "1 chip of 128" in done.out
    assert cli("quantize", run, "--input-bits", 1, "--max-disagreement", 1).code == 0
    assert cli("export", run, "--hardware", "loihi1", "--dry-run").code == 0


@pytest.mark.parametrize("more", [("--dry-run",), ("--dry-run", "--json"), (), ("--target", "gpu")])
def test_too_many_chips_exit_with_5_and_write_nothing(
    cli: Cli, run: Path, tight: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    done = cli("export", run, "--hardware", tight, "--chips", 3, "-o", tmp_path / "bundle", *more)
    assert done.code == 5
    assert "chips of 2, not 3" in done.err
    assert not (tmp_path / "bundle").exists()
    if "--json" in more:
        assert any("chips of 2, not 3" in violation for violation in done.json["violations"])


def test_what_fits_is_written(cli: Cli, run: Path, tmp_path: Path) -> None:
    done = cli("export", run, "--hardware", "loihi2", "-o", tmp_path / "bundle")
    assert done.code == 0, done.err
    assert (tmp_path / "bundle" / "manifest.json").is_file()


def test_wrong_options(cli: Cli, run: Path) -> None:
    assert cli("export", run, "--chips", 1, "--dry-run").code == 2
    assert cli("export", run, "--hardware", "loihi3", "--dry-run").code == 2
