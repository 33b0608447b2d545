"""Writes the pages of the docs that are made from the code: `python docs/generate.py [--check]`.

With --check nothing is written, and a page that is not fresh is an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from architecture import architecture_page
from drawings import PICTURES
from energy_validation import validation_page
from fresh import write_or_check
from measured import peers_page
from notebook import notebook
from readme import readme

DOCS = Path(__file__).parent
MADE = "<!-- Made by docs/generate.py: edit the code, not this page. -->\n\n"


def cli_page() -> str:
    """The help text of every command."""
    parts = [MADE, "# Command line\n"]
    for command in commands():
        text = _help(command.split())
        parts.append(f"\n## `{f'kdsnn {command}'.strip()}`\n\n```text\n{text}\n```\n")
    return "".join(parts)


def commands() -> list[str]:
    """All commands as they are typed, groups before what is in them."""
    from typer.main import get_command

    from kdsnn.cli.app import app

    def inside(group: Any, before: str) -> list[str]:
        names = [f"{before} {name}".strip() for name in getattr(group, "commands", {})]
        return [part for name in names for part in (name, *inside(group.commands[name.split()[-1]], name))]

    return ["", *inside(get_command(app), "")]


def _help(command: list[str]) -> str:
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    arguments = [sys.executable, "-c", "from kdsnn.cli.main import main; main()", *command, "--help"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    lines = (line.rstrip() for line in done.stdout.strip("\n").splitlines())
    return "\n".join(lines).replace("Usage: -c", "Usage: kdsnn")


def support_page() -> str:
    """What can be lowered, and what each target takes."""
    from kdsnn.export.lowering.lower import LAYERS
    from kdsnn.network.features import FEATURES
    from kdsnn.targets.fitting import violations
    from kdsnn.targets.registry import load_target, target_names
    from kdsnn.testing import example_networks

    layers = "\n".join(f"- `{kind.__module__.split('.')[0]}`: `{kind.__name__}`" for kind in sorted_kinds(LAYERS))
    targets = [load_target(name) for name in target_names()]
    header = "| feature | what it is | " + " | ".join(f"`{target.name}`" for target in targets) + " |"
    line = "|---" * (2 + len(targets)) + "|"
    taken = {name: ["yes" if name in target.features else "refused" for target in targets] for name in FEATURES}
    rows = [f"| {name} | {about} | {' | '.join(taken[name])} |" for name, about in FEATURES.items()]
    table = "\n".join((header, line, *rows))
    about = "\n".join(f"- `{target.name}`: {target.description}" for target in targets)
    networks = example_networks()
    fits = [
        f"| `{network.name}` | {' | '.join('no' if violations(target, network) else 'yes' for target in targets)} |"
        for network in networks
    ]
    header = "| network | " + " | ".join(f"`{target.name}`" for target in targets) + " |"
    examples = "\n".join((header, "|---" * (1 + len(targets)) + "|", *fits))
    hardware = hardware_tables()
    return (
        f"{MADE}# What is supported\n\n## Layers that can be lowered\n\n{layers}\n\nSums of any of these can be "
        "lowered too, and constants that are added or multiply; everything else is refused by name: see "
        f"[modules](modules.md).\n\n## Targets\n\n{about}\n\nWhat each takes beyond plain "
        f"integrate-and-fire neurons; a network that uses anything else is refused by name:\n\n{table}\n\nThe example "
        f"networks of the conformance suite (`kdsnn.testing`):\n\n{examples}\n\n{hardware}"
    )


def hardware_tables() -> str:
    """The limits of the chips that networks are placed on, with their sources."""
    from kdsnn.hardware.limits import hardware_names, load_hardware

    parts = ["## Hardware that networks are placed on\n\n`kdsnn export --hardware NAME`; [rules](placement.md).\n"]
    for hardware in map(load_hardware, hardware_names()):
        rows = [f"| `{n}` | {x.value:,} {x.unit} | {x.source} ({x.date}) |" for n, x in hardware.limits.items()]
        rows += [f"| `{name}` | not checked | {why} |" for name, why in hardware.missing.items()]
        rows += [f"| `{x.feature}` | refused | {x.why}: {x.source} ({x.date}) |" for x in hardware.lacks]
        synapses = f"Synapses are counted after {hardware.synapses.source} ({hardware.synapses.date})."
        lines = ("| limit | value | source |", "|---|---|---|", *rows)
        notes = "\n".join(f"- {note}" for note in (synapses, *hardware.notes))
        parts.append(f"\n### `{hardware.name}`: {hardware.title}\n\n{chr(10).join(lines)}\n\n{notes}\n")
    return "".join(parts)


def benchmarks_page() -> str:
    """What was measured beside other simulators."""
    return MADE.replace("the code", "benchmarks/peers.json by its command") + peers_page()


def sorted_kinds(kinds: Iterable[type]) -> list[type]:
    """Layer types by package and name."""
    return sorted(kinds, key=lambda kind: (kind.__module__.split(".")[0], kind.__name__))


PAGES: dict[str, Callable[[], str]] = {
    "architecture.md": lambda: MADE.replace("the code", "docs/architecture.py") + architecture_page(),
    "benchmarks.md": benchmarks_page,
    "cli.md": cli_page,
    "energy-validation.md": lambda: (
        MADE.replace("the code", "docs/measured_points.toml and the energy models") + validation_page().lstrip()
    ),
    "support.md": support_page,
    "your-network.ipynb": lambda: notebook(DOCS / "your-network.md"),
    "../README.md": readme,
    **{f"images/{name}": draw for name, draw in PICTURES.items()},
}


if __name__ == "__main__":
    write_or_check({DOCS / name: make() for name, make in PAGES.items()}, "uv run python docs/generate.py")
