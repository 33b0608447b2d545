"""The paper's tables: every parameter and operation count that can be met is met, and what was run is shown."""

from pathlib import Path
from typing import Any

import pytest

from kdsnn.export.nir import write_nir
from kdsnn.files.writing import write_json
from kdsnn.network.counters import FIELDS
from kdsnn.paper.table3 import table3
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from tests.cli.conftest import Cli
from tests.data.test_files import write_cifar_binary
from tests.small_run import one_layer


def test_table_3() -> None:
    rows = {(row.dataset, row.teacher): row for row in table3()}
    assert [row.agrees for row in rows.values()] == [True, True, True, False]
    pyramid = rows["CIFAR-10", "pyramidnet18"]
    assert (pyramid.parameters, pyramid.student_parameters) == (1.56, 11.17)
    assert pyramid.flops == 369.08  # the paper's 368.74 belongs to no variant that was found
    assert [row.macs for row in rows.values()][:3] == [455.8, 555.42, 845.6]


def test_the_command(cli: Cli) -> None:
    shown = cli("paper", "table3")
    assert shown.code == 0, shown.err
    assert "849.33" in shown.out
    assert "PyramidNet18 is not identified" in shown.out
    rows = cli("paper", "table3", "--json").json["rows"]
    assert [row["student"] for row in rows] == ["2conv", "vgg11", "wrn16-2", "resnet18"]
    assert [row["synops"] for row in rows] == [None] * 4
    assert "not run" in shown.out


def test_our_synops_are_those_of_an_evaluated_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar_binary(tmp_path / "data")  # of three test images
    monkeypatch.setenv("KDSNN_DATA", str(tmp_path / "data"))

    def evaluation(samples: int, synops: float, **data: str | None) -> dict[str, Any]:
        shown = {**select_images(model, samples=samples).identity.as_json(), "samples": samples, **data}
        known = {"target": "gpu", "accuracy": 0.5, "matches_reference": True, "samples_per_s": 1.0, "versions": {}}
        identity = {"target": {"name": "gpu", "settings": {}}, "data": shown}
        counts = {**dict.fromkeys(FIELDS, 0), "synops_dense": round(samples * synops)}
        made = {"samples": samples, "predictions": [0] * samples, "layers": [], "counts": counts, "identity": identity}
        return {**known, **made}

    network = one_layer(dataset="cifar10")
    for name, width in (("wide", 1.0), ("narrow", 0.5)):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        recipe = load_recipe("cifar10-vgg11-alone", [f"student.width={width}"])
        (run / "recipe.toml").write_text(recipe_toml(recipe))
        write_json(run / "student.json", {"accuracy": 0.5})
        write_nir(network, run / "model.nir")
        model = load(str(run))
        own = {"fingerprint": network.fingerprint()}
        write_json(run / "evaluations" / "own.json", {**evaluation(2, 120e6 * width), **own})
        write_json(run / "evaluations" / "changed.json", {**evaluation(3, 4e6, sha256="0" * 64), **own})
        write_json(run / "evaluations" / "earlier.json", {**evaluation(40, 1e6), "fingerprint": "of another network"})
        write_json(run / "evaluations" / "noise.json", {**evaluation(30, 2e6, name="noise.npz", split=None), **own})
        write_json(run / "evaluations" / "file.json", {**evaluation(20, 3e6, split=None), **own})  # called cifar10
    assert [row.synops for row in table3()] == [None, 120.0, None, None]
    (tmp_path / "runs" / "wide" / "model.nir").unlink()
    assert [row.synops for row in table3()] == [None, None, None, None]


@pytest.mark.parametrize("table", ["table1", "table2", "table4"])
def test_tables_without_a_run(cli: Cli, table: str) -> None:
    shown = cli("paper", table)
    assert shown.code == 0, shown.err
    assert "not run" in shown.out
    rows = cli("paper", table, "--json").json["rows"]
    assert {row["seeds"] for row in rows} == {0}
    assert {row["ours"]["gain"] for row in rows} == {None}
    assert f"0 of {len(rows)} rows run, with our settings." in shown.out
    published = cli("paper", table, "--as-published")
    assert f"0 of {len(rows)} rows run, as published." in published.out
    for row in rows:  # a name is never cut, in however narrow a window
        assert row["row"] in shown.out
    wrong = cli("paper", table, "--rows", "nothing")
    assert (wrong.code, wrong.out) == (2, "")


def test_a_smoke_test_really_trains_in_processes_of_its_own(cli: Cli, tmp_path: Path) -> None:
    done = cli("paper", "table4", "--smoke", "--workers", "2", "--rows", "mnist-2conv", "--json")
    assert done.code == 0, done.err
    (row,) = done.json["rows"]
    assert done.json["smoke"] is True
    assert row["seeds"] == 1
    assert None not in row["ours"].values()
    assert sorted(line.split(":")[0] for line in done.err.splitlines())[:2] == [
        "student mnist-2conv",
        "student mnist-2conv-alone",
    ]
    assert not (tmp_path / "runs").exists()  # it had a folder of its own
