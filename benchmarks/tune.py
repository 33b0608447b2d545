"""Trials of a recipe's settings, judged by training images that are held out. The test images choose nothing.

    uv run python benchmarks/tune.py RECIPE --both KEY=VALUE ... --try KEY=VALUE ... --try KEY=VALUE ... [--json FILE]

Each `--try` is a training with these changes of the recipe, one run folder each under KDSNN_RUNS; what is there is
taken as it is, and what was cut off goes on. `data.validation_samples` has to be set. The file gets a line a trial,
also of trials made before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from kdsnn.distill.pipeline import distill
from kdsnn.distill.trainer import METRICS
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import runs_root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--both", nargs="*", default=[], metavar="KEY=VALUE", help="changes in all trials")
    parser.add_argument("--try", nargs="*", action="append", required=True, metavar="KEY=VALUE", dest="tries")
    parser.add_argument("--json", type=Path, help="append to this file, a JSON object a line")
    arguments = parser.parse_args()
    for changes in arguments.tries:
        made = trial(load_recipe(arguments.recipe, [*arguments.both, *changes]))
        line = {"recipe": arguments.recipe, "both": arguments.both, "changes": changes, **made}
        print(f"{100 * made['validation']:6.2f} % in epoch {made['epoch'] + 1}: {' '.join(changes)}", flush=True)
        if arguments.json:
            with arguments.json.open("a") as file:
                file.write(json.dumps(line) + "\n")


def trial(recipe: Recipe) -> dict[str, Any]:
    """The best epoch on the images held out."""
    if recipe.data.validation_samples is None:
        raise SystemExit("set data.validation_samples")
    run = runs_root() / f"tune-{recipe.name}-{hashlib.sha256(recipe_toml(recipe).encode()).hexdigest()[:10]}"
    distill(recipe, run=run, resume=True)
    epochs = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    best = max(epochs, key=lambda epoch: epoch["validation"])
    return {"validation": best["validation"], "epoch": best["epoch"], "epochs": len(epochs)}


if __name__ == "__main__":
    main()
