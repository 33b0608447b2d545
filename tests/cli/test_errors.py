"""Every wrong call gets one clear line and the right exit code; no traceback without --debug."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdsnn.export.nir import read_nir, write_nir
from kdsnn.network import Network
from kdsnn.targets.reference import ReferenceProgram
from tests.cli.conftest import Cli, Done


def assert_error(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err.replace("\n", " ")


def test_usage(cli: Cli) -> None:
    assert_error(cli("evaluate", "--target", "larva"), 2, "there is no target 'larva'", "did you mean 'lava'?")
    assert_error(cli("energy", "--model", "loihi7"), 2, "there is no energy model", "did you mean 'loihi2'?")
    assert_error(cli("evaluate", "-t", "gpu", "-O", "speed"), 2, "'speed' is not KEY=VALUE")
    assert_error(cli("evaluate", "-t", "reference", "--device", "cpu"), 2, "no option 'device'")
    assert_error(cli("distill", "digits-2conv", "--resume"), 2, "--resume needs --run")
    assert cli("evaluate", "--samples", "0").code == 2
    assert cli("evaluat").code == 2
    assert cli("evaluate", "--no-such-option").code == 2


def test_no_run(cli: Cli, tmp_path: Path) -> None:
    assert_error(cli("evaluate", "-t", "gpu"), 3, "kdsnn distill")
    assert_error(cli("quantize", "nowhere"), 3, "nowhere")
    assert_error(cli("evaluate", tmp_path / "none.nir", "-t", "gpu"), 3, "there is no file")


def test_a_run_that_is_not_quantized_or_not_evaluated(cli: Cli, run: Path) -> None:
    assert_error(cli("report", run), 3, "was not evaluated", "kdsnn evaluate")
    (run / "model.nir").unlink()
    assert_error(cli("evaluate", run, "-t", "gpu"), 3, "has no integer network yet", "kdsnn quantize")


def test_a_corrupted_nir_file(cli: Cli, run: Path) -> None:
    path = run / "model.nir"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert_error(cli("evaluate", run, "-t", "gpu"), 3, "not a readable HDF5 file", "truncated")
    path.write_bytes(b"nothing of the kind")
    assert_error(cli("export", run), 3, "not a readable HDF5 file")


def test_a_truncated_checkpoint(cli: Cli, run: Path) -> None:
    path = run / "student.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert_error(cli("quantize", run), 3, "student.safetensors")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.full((2, 1, 8, 8), -0.5)}, ["image 0 holds -0.5", "outside 0 to 1", "data.range"]),
        ({"x": np.zeros((2, 1, 9, 8), np.uint8)}, ["takes (N, 1, 8, 8)"]),
        ({"x": np.zeros((2, 8, 8, 1), np.uint8)}, ["looks like (N, H, W, C)"]),
        ({"x": np.zeros((2, 64), np.uint8)}, ["takes (N, 1, 8, 8)"]),
        ({"x": np.zeros((0, 1, 8, 8), np.uint8)}, ["holds no images"]),
        ({"x": np.zeros((2, 1, 8, 8), np.uint8), "y": np.array([0, 10])}, ["there are 10 classes"]),
        ({"pictures": np.zeros((2, 1, 8, 8), np.uint8)}, ["holds the arrays 'pictures'", "images x"]),
        ({"x": np.array([None, None])}, ["pickle"]),
    ],
)
def test_wrong_images(cli: Cli, run: Path, tmp_path: Path, arrays: dict[str, np.ndarray], words: list[str]) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    assert_error(cli("evaluate", run, "-t", "gpu", "--images", tmp_path / "wrong.npz"), 3, *words)


def test_images_that_are_no_npz(cli: Cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.npz").write_text("hello")
    assert_error(cli("evaluate", run, "-t", "gpu", "--images", tmp_path / "wrong.npz"), 3, "not an .npz file")


def test_a_recipe_with_several_problems(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[data]\ndataset = "digits"\n[distill]\nalpa = 0.5\ntemperature = -1\n')
    assert_error(cli("recipe", "validate", path), 3, "alpa", "alpha", "temperature")
    assert_error(cli("distill", "digits-2con"), 2, "digits-2conv")


def test_a_difference_fails_with_code_4(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference that evaluate compares with is given other weights than the target."""
    from kdsnn.evaluation import on_targets

    def other(network: Network) -> ReferenceProgram:
        first = network.projections[0]
        changed = replace(first, op=replace(first.op, weight=first.op.weight[::-1].copy()))
        program = ReferenceProgram(replace(network, projections=(changed, *network.projections[1:])))
        object.__setattr__(program.network, "_fingerprint", network.fingerprint())
        return program

    monkeypatch.setattr(on_targets, "ReferenceProgram", other)
    assert_error(cli("evaluate", run, "-t", "gpu", "-n", 4), 4, "differs from the reference", "first in image")
    done = cli("evaluate", run, "-t", "all", "-n", 4)
    assert (done.code, "DIFFERS" in done.out) == (4, True)  # all are run, and shown, before it fails
    assert "targets differ from the reference" in done.err
    assert "first in image" in done.err


def test_what_does_not_fit_fails_with_code_5(cli: Cli, run: Path) -> None:
    network = read_nir(run / "model.nir")
    first = network.projections[0]
    loud = replace(first, exponent=7)
    write_nir(replace(network, projections=(loud, *network.projections[1:])), run / "model.nir")
    done = cli("export", run, "--target", "lava", "--dry-run", "--json")
    assert done.code == 5
    assert done.json["violations"]
    assert_error(cli("evaluate", run, "-t", "gpu", "-n", 4), 5, "does not fit target 'gpu'", "wraps at")
    assert_error(cli("export", run, "-t", "gpu", "-o", run / "b"), 5, "wraps at")


def test_a_missing_device_fails_with_code_6(cli: Cli, run: Path) -> None:
    assert_error(cli("evaluate", run, "-t", "gpu", "--device", "cuda:63", "-n", 4), 6, "--device cpu")


def test_a_time_limit_fails_with_code_7(cli: Cli, run: Path) -> None:
    assert_error(cli("evaluate", run, "-t", "gpu", "-n", 4, "--time-limit", 0.000001), 7, "limit")


def test_a_bug_of_ours_is_code_1_and_says_so(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kdsnn.steps.evaluate

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(kdsnn.steps.evaluate, "evaluate_each", broken)
    assert_error(cli("evaluate", run, "-t", "gpu", "-n", 4), 1, "ZeroDivisionError: oh", "bug in kdsnn", "--debug")


def test_interrupt_is_code_130(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kdsnn.steps.evaluate

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kdsnn.steps.evaluate, "evaluate_each", interrupted)
    assert cli("evaluate", run, "-t", "gpu", "-n", 4).code == 130


def test_the_output_is_a_file(cli: Cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    assert_error(cli("export", run, "-o", tmp_path / "taken"), 3, "is not a folder")


def test_control_characters_in_data_do_not_reach_the_terminal(cli: Cli) -> None:
    done = cli("evaluate", "-t", "gpu\x1b[31m")
    assert "\x1b[31m" not in done.err
    assert done.code == 2


def test_help_is_quick_and_without_torch() -> None:
    """Under 0.5 s is measured in benchmarks/; here, that nothing heavy is imported."""
    code = (
        "import sys\nfrom kdsnn.cli.app import app\n"
        "heavy = {'torch', 'snntorch', 'numpy', 'matplotlib', 'nir', 'h5py', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_command_has_help_with_an_example() -> None:
    from kdsnn.cli.app import app

    for command in app.registered_commands:
        text = command.callback.__doc__
        assert text
        if command.callback.__name__ not in ("targets", "doctor"):
            assert "Example" in text, command.callback.__name__
