"""The page of the architecture: the flow by hand, the folders from the import rules and their own docstrings."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOW = """
```
 recipe.toml ── distill ───────> student (snnTorch, float)            torch trains here
                                    │ export/lowering                 BatchNorm, pools and sums fold into projections
 NIR file ──── export/foreign ──> float Network
                                    │ export/quantization             scales, rounding, proof that nothing overflows
                                 integer Network  <═══════════════    kdsnn/network: the one vocabulary that all share
                                    │
       ┌────────────┬───────────────┼────────────────────────┐
  export/nir   export/onnx   target.compile ──> Program.run(images) ──> RunResult: spikes, counts, wall time
    files, read again                           │
    before they count                 evaluation: each spike and count beside the reference's
                                                │
                              energy, noise, report, paper ──> JSON is the truth; tables and pages are views of it
```

Everything left of the integer network makes it; everything right of it only reads it. The command line (`kdsnn/cli`)
parses, calls one function of `kdsnn/steps` or of the folder that the command is about, and prints.
"""
RULES = """
Imports run one way: what stands on a floor may import what stands on a lower one, and nothing above. import-linter
holds the rule (`uv run lint-imports`), and this table is made from it.
"""
LINKS = """
`export/` and `targets/` lie at the top of the repository, and `kdsnn/export` and `kdsnn/targets` are links to them:
import `kdsnn.export...` and `kdsnn.targets...`. Tests mirror the folders.
"""
NEXT = """
## Where to begin

- What a network is, and what it computes: `kdsnn/network/network.py`, then `targets/reference.py`, which is the
  specification and reads in two minutes.
- What a command does: its file in `kdsnn/cli/`, and the function that it calls.
- How a machine is added: [add a target](add-a-target.md). Everything else that can be added:
  [contributing](../CONTRIBUTING.md).
"""


def architecture_page() -> str:
    """The flow in one picture, and a line for each folder, the top layer first."""
    layers = list(_layers())
    rows = [
        f"| {floor} | `{_shown(name)}` | {_first_line(name)} |"
        for floor, layer in zip(range(len(layers), 0, -1), layers, strict=True)
        for name in layer
    ]
    table = "\n".join(("| floor | where | what |", "|---|---|---|", *rows))
    return f"# Architecture\n\n## The flow\n{FLOW}\n## The folders\n{RULES}\n{table}\n{LINKS}{NEXT}"


def _layers() -> Iterator[tuple[str, ...]]:
    """The packages and modules of each layer, as the contract has them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (c for c in config["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    for layer in contract["layers"]:
        yield tuple(name.strip().removeprefix("kdsnn.") for name in layer.replace(":", "|").split("|"))


def _first_line(name: str) -> str:
    docstring = ast.get_docstring(ast.parse(_file(name).read_text()))
    if not docstring:
        raise ValueError(f"kdsnn.{name} has no docstring, and docs/architecture.md says what it is for by it")
    return docstring.splitlines()[0]


def _file(name: str) -> Path:
    package = ROOT / "kdsnn" / name / "__init__.py"
    return package if package.is_file() else ROOT / "kdsnn" / f"{name}.py"


def _shown(name: str) -> str:
    if name in ("export", "targets"):
        return f"{name}/"
    return f"kdsnn/{name}/" if (ROOT / "kdsnn" / name).is_dir() else f"kdsnn/{name}.py"
