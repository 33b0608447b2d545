"""The commands with real SANA-FE: the trained student, its counts, and energy by part beside our model."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdsnn.targets.sanafe import adapter

from .conftest import Cli


def test_evaluate_and_energy(cli: Cli, run: Path) -> None:
    done = cli("energy", run, "--target", "sanafe", "--model", "loihi1", "-n", 12, "--json")
    assert done.code == 0, done.err
    answer = done.json
    assert answer["matches_reference"]
    assert answer["accuracy"] > 0.8
    parts, notes = answer["energy"]["parts"], answer["notes"]
    somas = parts["active neuron updates"] + parts["inactive neuron updates"]
    assert notes["energy_synapse_j"] / 12 == pytest.approx(parts["synaptic operations"], rel=1e-6)  # sums of doubles
    assert notes["energy_soma_j"] / 12 == pytest.approx(somas, rel=1e-6)
    assert 0 < notes["energy_hops_j"] < notes["energy_messages_j"] < notes["energy_fill_j"]
    other = cli("evaluate", run, "--target", "gpu", "-n", 12, "--json").json
    assert other["counts"] == answer["counts"]
    assert other["predictions"] == answer["predictions"]
    assert [path.name.split("-")[0] for path in (run / "evaluations").iterdir()] == ["gpu"]  # energy keeps none


def test_energy_shows_what_was_simulated(cli: Cli, run: Path) -> None:
    shown = cli("energy", run, "--target", "sanafe", "-n", 2).out
    assert "simulated by sanafe" in shown
    assert all(part in shown for part in ("synapse", "soma", "messages", "hops", "fill", "latency of a sample"))
    assert "simulated by" not in cli("energy", run, "--target", "gpu", "-n", 2).out


def test_a_missing_extra_is_exit_code_6(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "find_spec", lambda _: None)
    done = cli("evaluate", run, "--target", "sanafe", "-n", 2)
    assert done.code == 6
    assert "kdsnn[sanafe]" in done.err
