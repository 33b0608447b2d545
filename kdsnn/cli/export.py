"""`kdsnn export`: writes a bundle for a target, and proves that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdsnn.cli.common import (
    DataRangeOption,
    DeviceOption,
    DisagreementOption,
    EncodeOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
    OptionOption,
    SensorOption,
    emit_json,
    errors,
    make_target,
    output,
    range_of,
    sensor_of,
    show,
    table,
)
from kdsnn.cli.nir_options import (
    CalibrateOption,
    ExpectOption,
    InTimeOption,
    ResetOption,
    ScaleOption,
    StepOption,
    StepsOption,
    TieOption,
    WriterOption,
)

if TYPE_CHECKING:
    from kdsnn.steps.models import Model
    from kdsnn.targets.base import Target
    from kdsnn.targets.placement.place import Placement

__all__ = ["export", "register"]


def export(
    model: ModelArgument = None,
    target: Annotated[str, typer.Option("--target", "-t", help="lava, gpu, any other target, or nir.")] = "nir",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder. Left out: export/TARGET in the run.")] = None,
    images: ImagesOption = None,
    encode: EncodeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it needs, and whether it fits.")] = False,
    hardware: Annotated[
        str | None,
        typer.Option("--hardware", help="Place it on loihi1, loihi2 or a TOML file's; exit 5 if it cannot be."),
    ] = None,
    chips: Annotated[int | None, typer.Option("--chips", min=1, help="On at most so many chips of it.")] = None,
    calibrate: CalibrateOption = None,
    data_range: DataRangeOption = None,
    sensor: SensorOption = None,
    timesteps: StepsOption = None,
    in_time: InTimeOption = False,
    dt: StepOption = None,
    input_scale: ScaleOption = 1 / 255,
    fires_at_threshold: TieOption = None,
    reset: ResetOption = None,
    writer: WriterOption = None,
    expect: ExpectOption = None,
    max_disagreement: DisagreementOption = 0.05,
    device: DeviceOption = None,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Write a bundle for a target; it is read again, run there and compared with the reference before it counts.

    Examples:
      kdsnn export --target lava

      kdsnn export runs/mine/model.nir --target gpu --device cpu -o bundle

      kdsnn export --target lava --dry-run

      kdsnn export --hardware loihi2 --chips 1 --dry-run

      kdsnn export other.nir --target lava --calibrate mnist5k

    A float NIR graph of anybody's is quantized first, to other-int8.nir; kdsnn quantize has more options for that.
    """
    from kdsnn.errors import InputError, UsageError
    from kdsnn.export.nir import write_nir
    from kdsnn.hardware.limits import load_hardware
    from kdsnn.steps.export import export as write
    from kdsnn.steps.quantize_file import foreign_of, is_foreign, open_or_quantize
    from kdsnn.targets.placement.place import ensure_placeable, place

    if chips is not None and hardware is None:
        raise UsageError("--chips needs --hardware", hint="kdsnn list hardware")
    limits = None if hardware is None else load_hardware(hardware)
    chosen = None if target == "nir" else make_target(target, option, device)
    limit = 1.0 if dry_run else max_disagreement  # what is only shown is not refused
    foreign = foreign_of(
        timesteps,
        dt,
        input_scale,
        fires_at_threshold,
        None if reset is None else reset.value,
        writer,
        in_time=in_time,
    )
    ends, quantized = range_of(data_range), is_foreign(model)
    shown: object = images or ((calibrate or expect) if quantized else None)
    if quantized and chosen is not None and not dry_run and shown is None:
        raise InputError(
            f"a bundle is run before it counts, and no images for {model} are named",
            hint="name them: --calibrate or --images",
        )
    opened, notes = open_or_quantize(
        model,
        foreign,
        dataset=calibrate,
        expect=expect,
        keep=False,
        max_disagreement=limit,
        encode=encode,
        data_range=None if calibrate is None else ends,
        sensor=sensor_of(sensor),
    )
    for note in notes:
        errors().print(f"note: {note}", markup=False, soft_wrap=True)
    if dry_run:
        placement = None if limits is None else place(opened.network, limits, chips=chips)
        _dry_run(opened, chosen, placement, json)
        return
    if limits is not None:
        ensure_placeable(opened.network, limits, chips=chips)
    of_images = None if images is None and calibrate is not None else ends
    bundle = write(opened, "nir" if chosen is None else chosen, out, data=shown, encode=encode, data_range=of_images)
    if quantized:
        write_nir(opened.network, opened.path)
    if json:
        emit_json(bundle.as_json())
    else:
        show(bundle)


def _dry_run(model: Model, target: Target | None, placement: Placement | None, json: bool) -> None:
    from kdsnn.cli.placement import show as show_placement
    from kdsnn.errors import DoesNotFitError
    from kdsnn.steps.layer_needs import layer_needs
    from kdsnn.targets.fitting import violations

    rows = layer_needs(model.network)
    found = [] if target is None else violations(target, model.network)
    exceeded = found if placement is None else [*found, *placement.violations]
    if json:
        placed = {} if placement is None else {"placement": placement.as_json()}
        emit_json({**_as_json(model, target, rows, exceeded), **placed})
    else:
        columns = ["name", "kind", "shape", "neurons", "synapses", "threshold", "largest_weight", "depth"]
        cells = [[_cell(row[c]) for c in columns] for row in rows]
        for row, line in zip(rows, cells, strict=True):
            line[1] = "relay" if row["relay"] else line[1]
        headings = [c.replace("_", "\n") for c in columns]
        table(f"{model.network.name}, T = {model.network.timesteps}", headings, cells)
        relays = sum(row["neurons"] for row in rows if row["relay"])
        neurons, synapses = (sum(row[c] for row in rows) for c in ("neurons", "synapses"))
        output().print(f"{neurons:,} neurons, {relays:,} of them relays; {synapses:,} synapses", markup=False)
        if placement is not None:
            show_placement(placement)
    if exceeded:
        where = [f"target {(target.name if target else 'nir')!r}"] if found else []
        where += [placement.hardware.name] if placement is not None and placement.violations else []
        raise DoesNotFitError(f"it does not fit {' and '.join(where)}", problems=[str(v) for v in exceeded])


def _cell(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, list) else value


def _as_json(model: Model, target: Target | None, rows: list[dict[str, Any]], violations: list[Any]) -> dict[str, Any]:
    return {
        "schema": "kdsnn.plan/1",
        "target": target.name if target else "nir",
        "fingerprint": model.network.fingerprint(),
        "timesteps": model.network.timesteps,
        "layers": rows,
        "violations": [str(v) for v in violations],
    }


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(export)
