"""The commands with nengo-loihi: a trained network on its emulator, and what to do where it is not set up."""

from pathlib import Path

import pytest

from .conftest import Cli


def test_set_up_once_it_computes_what_torch_does(cli: Cli, run: Path) -> None:
    made = cli("setup", "nengo-loihi")
    assert made.code == 0, made.err
    assert Path(made.out.strip()).is_file()
    emulated, torch = (cli("evaluate", run, "-t", target, "-n", 20, "--json") for target in ("nengo-loihi", "gpu"))
    assert emulated.code == 0, emulated.err
    assert emulated.json["matches_reference"]
    assert len(emulated.json["compared_populations"]) == 6
    assert emulated.json["predictions"] == torch.json["predictions"]
    assert emulated.json["layers"] == torch.json["layers"]
    assert emulated.json["counts"]["spikes"] > 1000
    assert emulated.json["notes"]["compartments"] == sum(layer["neurons"] for layer in torch.json["layers"])


def test_not_set_up_is_exit_code_6(cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDSNN_CACHE", str(tmp_path / "empty"))
    monkeypatch.delenv("KDSNN_NENGO_LOIHI_PYTHON", raising=False)
    done = cli("evaluate", run, "-t", "nengo-loihi", "-n", 2)
    assert done.code == 6
    assert "kdsnn setup nengo-loihi" in done.err
    assert "nengo-loihi" in cli("targets").out
    found = {f["what"]: f for f in cli("doctor", "--json").json["findings"]}
    assert found["target nengo-loihi"]["hint"] == "run: kdsnn setup nengo-loihi"
