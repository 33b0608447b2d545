"""`kdsnn demo`: the whole road, from real images to real Lava, in one command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from kdsnn.cli.common import errors, make_target, output, percent, progress_bar, show

__all__ = ["demo", "register"]

RECIPE = "mnist5k-2conv"
BUNDLED = 4  # images in the Lava bundle


def demo(
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; a new one under runs/.")] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", min=1, help="Test images through real Lava.")] = 100,
) -> None:
    """Real MNIST images, a teacher, a distilled student, an int8 network, a NIR file, real Lava, energy, a report.

    Takes a few minutes on two cores. A teacher that was trained before is reused.

    Example: kdsnn demo --out runs/demo
    """
    from kdsnn.extras import need

    need("jinja2", "matplotlib", "mlxtend")  # said before minutes of training
    from kdsnn.distill.student import distill
    from kdsnn.files.records import Measured, read_record
    from kdsnn.recipes.load import load_recipe
    from kdsnn.report.page import write_report
    from kdsnn.run_folders import new_run
    from kdsnn.steps.energy import energy_of
    from kdsnn.steps.evaluate import evaluate_model
    from kdsnn.steps.export import export_bundle
    from kdsnn.steps.images import select_images
    from kdsnn.steps.quantize_run import quantize_run
    from kdsnn.targets.lava.environment import setup_environment

    began = time.perf_counter()
    messages, data = errors(), output()

    messages.rule("1. Real Lava, in a Python 3.10 of its own")
    setup_environment(progress=messages.print)

    messages.rule("2. A teacher, and a spiking student distilled from it")
    recipe = load_recipe(RECIPE)
    run = distill(recipe, run=out or new_run("demo"))
    teacher, student = (read_record(run / f"{who}.json", Measured) for who in ("teacher", "student"))
    data.print(f"teacher {percent(teacher['accuracy'])}, student {percent(student['accuracy'])}", markup=False)

    messages.rule("3. An integer network that no image can overflow")
    done = quantize_run(str(run))
    show(done)

    messages.rule("4. The same spikes on torch and on real Lava as on the reference")
    for name, count in (("gpu", None), ("lava", samples)):
        shown = select_images(done.model, samples=count)
        target = make_target(name, None)
        with progress_bar(name, len(shown.images)) as progress:
            result = evaluate_model(done.model, target, shown, progress=progress)
        show(result)

    messages.rule("5. Files, energy and a report")
    few = select_images(done.model, samples=BUNDLED)
    export_bundle(done.model, make_target("lava", None), run / "export" / "lava", few.images)
    show(energy_of(done.model, result, "loihi1", shown.images))
    page = write_report(done.model)
    data.print(f"\nrun     {run}\nreport  {page}\n{time.perf_counter() - began:.0f} s", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(demo)
