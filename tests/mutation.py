"""Mutation testing: `uv run --group mutation python tests/mutation.py network`, or another of `SUITES`; or all of them.

mutmut changes a line at a time and runs the tests that reach it: a change that no test notices survives, and is listed
with its difference. It works on a copy under `build/mutation/`, in which the links to `export/` and `targets/` are
folders. Texts of messages are left alone: what an error says is no arithmetic.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutation"
SUITES = {  # files that are changed, and the tests that shall notice
    "network": (
        [
            f"kdsnn/network/{n}.py"
            for n in ("network", "operators", "populations", "validation", "linear_maps", "or_pool")
        ],
        ["tests/network", "tests/targets/test_reference.py"],
    ),
    "bounds": (["kdsnn/network/overflow.py"], ["tests/network/test_overflow.py"]),
    "counters": (
        ["kdsnn/network/counters.py", "kdsnn/network/features.py"],
        ["tests/network", "tests/targets/test_base.py"],
    ),
    "quantize": (["kdsnn/export/quantization/*.py"], ["tests/export/quantization"]),
    "lower": (["kdsnn/export/lowering/*.py"], ["tests/export/lowering"]),
    "reference": (
        ["kdsnn/targets/reference.py", "kdsnn/targets/batches.py"],
        ["tests/targets/test_reference.py", "tests/network"],
    ),
    "gpu": (["kdsnn/targets/gpu/*.py"], ["tests/targets/gpu", "tests/network/test_or_pool.py"]),
}
NOT_FOR_MUTANTS = {
    "lower": [
        # 500 modules take minutes; 60 of them are a test of their own
        "tests/export/lowering/test_random_modules.py::test_random_modules_fire_as_torch_says_or_are_refused",
        # they ask for the line of a user's code, and find that of mutmut, which wraps every function
        "tests/export/lowering/test_lower.py::test_the_papers_chain",
        "tests/export/lowering/test_lower.py::test_what_cannot_be_carried_is_refused_by_name",
        "tests/export/lowering/test_lower.py::test_leaky_and_current_based_neurons",
        "tests/export/lowering/test_module_traps.py::test_operations_that_cannot_be_carried_are_refused_by_name",
        "tests/export/lowering/test_module_traps.py::test_neurons_after_the_end_are_named_too",
    ]
}
SURVIVED = (0, 5, 33)  # exit codes of pytest for a mutant: all passed, or no test reached it
NOT_RUN = (None, 34, 37)  # skipped, or caught by types
CONFIG = """
[tool.mutmut]
source_paths = ["kdsnn"]
also_copy = ["docs"]
only_mutate = {files}
pytest_add_cli_args = {arguments}
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = ["raise ", "problems", "hint=", "Violation", "return f", "yield f"]
mutate_only_covered_lines = true
use_git_change_detection = false
timeout_constant = 20.0
"""


def main() -> None:
    """Runs the suites that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="left out: all")
    parser.add_argument("--children", type=int, default=2, help="processes at once")
    parser.add_argument("--sample", type=int, help="judge so many mutants, drawn with a fixed seed, instead of all")
    arguments = parser.parse_args()
    for name in arguments.suites or SUITES:
        run(name, arguments.children, arguments.sample)


def run(name: str, children: int, sample: int | None) -> None:
    """Runs one suite, and prints its score and what survived."""
    folder = copied(name)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": "."}
    mutmut = [sys.executable, "-m", "mutmut"]
    command = [*mutmut, "run", "--max-children", str(children)]
    chosen: list[str] = []
    if sample is not None:
        _silent([*command, "none"], folder, environment)  # makes the mutants, and finds none of that name
        made = sorted(verdicts_in(folder))
        chosen = random.Random(0).sample(made, min(sample, len(made)))  # noqa: S311  no secret
        config = folder / "pyproject.toml"  # the mutants are made: their lines need not be looked for again
        config.write_text(config.read_text().replace("covered_lines = true", "covered_lines = false"))
    _silent([*command, *chosen], folder, environment)
    verdicts = verdicts_in(folder)
    if not any(code is not None for code in verdicts.values()):
        sys.exit(f"{name}: mutmut judged nothing; see what it says: cd {folder} && python -m mutmut run")
    survived = sorted(mutant for mutant, code in verdicts.items() if code in SURVIVED)
    caught = sum(code not in (*SURVIVED, *NOT_RUN) for code in verdicts.values())
    judged = caught + len(survived)
    print(f"{name}: {caught} of {judged} caught, {caught / max(1, judged):.1%}", flush=True)
    for mutant in survived:
        shown = subprocess.run(
            [*mutmut, "show", mutant], cwd=folder, env=environment, check=False, capture_output=True, text=True
        )
        lines = [line for line in shown.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        print(f"  {mutant}\n    " + "\n    ".join(lines), flush=True)


def _silent(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)


def verdicts_in(folder: Path) -> dict[str, int | None]:
    """Every mutant that there is, with the exit code of pytest where it was judged."""
    verdicts: dict[str, int | None] = {}
    for meta in (folder / "mutants").rglob("*.meta"):
        verdicts |= json.loads(meta.read_text())["exit_code_by_key"]
    return verdicts


def copied(name: str) -> Path:
    """A copy of what git knows, with folders where links are, set up for one suite."""
    folder, (files, tests) = WORK / name, SUITES[name]
    shutil.rmtree(folder, ignore_errors=True)
    known = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for path in known:
        if path.startswith(("kdsnn/", "export/", "targets/", "tests/", "docs/", "pyproject.toml", "README.md")):
            inside = f"kdsnn/{path}" if path.startswith(("export/", "targets/")) else path
            if not (ROOT / path).is_symlink() and (ROOT / path).is_file():
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, folder / inside)
    with (folder / "pyproject.toml").open("a") as config:
        deselected = [f"--deselect={test}" for test in NOT_FOR_MUTANTS.get(name, ())]
        arguments = ["-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "-x", *deselected]
        config.write(CONFIG.format(files=files, tests=tests, arguments=arguments))
    return folder


if __name__ == "__main__":
    main()
