"""benchmarks/on_gpu.py: what it writes, what it survives, and its cheapest steps rehearsed on the CPU."""

import importlib
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "on_gpu.py"


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("on_gpu")


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_rehearsal_writes_a_line_for_each_result(tmp_path: Path) -> None:
    out = tmp_path / "rehearsal.jsonl"
    command = [sys.executable, str(SCRIPT), str(out), "--device", "cpu", "--tiny", "--steps", "conformance", "teacher"]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    found = rows(out)
    assert [row.get("status") for row in found] == [None, "done", None, "done"], first.stdout
    assert found[0]["passed"] == 2
    assert found[2]["teacher"] == "resnet18"
    assert all(row["device"] == "cpu" and row["tiny"] is True for row in found)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "conformance: done before" in again.stdout
    assert rows(out) == found


def test_what_was_said_before_the_end_of_its_time_stays(on_gpu: ModuleType, tmp_path: Path) -> None:
    results = on_gpu.Results(tmp_path / "out.jsonl", {"device": "cpu"})
    code = "import time; print('{\"a\": 1}', flush=True); print('noise', flush=True); time.sleep(60)"
    begun = time.monotonic()
    on_gpu.run("slow", child(code), results, dict(os.environ), 2.0)
    assert time.monotonic() - begun < 30
    first, last = rows(results.path)
    assert first == {"step": "slow", "a": 1, "device": "cpu"}
    assert (last["status"], last["why"]) == ("cut off", "its limit was 2 s")
    assert on_gpu.Results(results.path, {"device": "cpu"}).done == set()


def test_a_step_that_fails_says_why_and_is_tried_again(on_gpu: ModuleType, tmp_path: Path) -> None:
    results = on_gpu.Results(tmp_path / "out.jsonl", {"device": "cpu"})
    on_gpu.run("broken", child("raise SystemExit('no card')"), results, dict(os.environ), 60.0)
    (row,) = rows(results.path)
    assert (row["status"], row["exit"], row["last lines"]) == ("failed", 1, ["no card"])
    assert on_gpu.Results(results.path, {"device": "cpu"}).done == set()


def test_a_file_that_was_cut_off_goes_on_after_its_whole_lines(on_gpu: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    done = {"step": "conformance", "status": "done", "device": "cuda"}
    path.write_text(json.dumps(done) + '\n{"step": "thr')
    assert on_gpu.Results(path, {"device": "cuda"}).done == {"conformance"}
    assert rows(path) == [done]
    assert on_gpu.Results(path, {"device": "cpu"}).done == set()  # of another device


def test_steps_that_do_not_fit_are_named(tmp_path: Path) -> None:
    out = tmp_path / "none.jsonl"
    subprocess.run([sys.executable, str(SCRIPT), str(out), "--budget", "1"], capture_output=True, check=True)
    assert {row["status"] for row in rows(out)} == {"skipped"}
    assert [row["step"] for row in rows(out)][:2] == ["conformance", "throughput"]


def test_packages_are_brought_along_without_a_registry(on_gpu: ModuleType, tmp_path: Path) -> None:
    on_gpu.gather(tmp_path, ["tomlkit"])
    code = "import tomlkit, importlib.metadata as m; print(tomlkit.__file__, m.version('tomlkit'))"
    path = {"PYTHONPATH": on_gpu._python_path(tmp_path)}
    out = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(tmp_path / "tomlkit" / "__init__.py"), version("tomlkit")]
