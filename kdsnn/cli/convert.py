"""`kdsnn convert`: makes the integer network of a torch module of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdsnn.cli.common import (
    DataRangeOption,
    DisagreementOption,
    EncodeOption,
    JsonOption,
    SensorOption,
    emit_json,
    range_of,
    sensor_of,
    show,
)
from kdsnn.cli.integer_options import InputBitsOption, MethodOption, WeightBitsOption

__all__ = ["convert", "register"]


def convert(
    module: Annotated[
        str, typer.Argument(metavar="FILE.py:FUNCTION", help="Returns the module. Its code is executed.")
    ],
    images: Annotated[str, typer.Option("--images", metavar="DATA", help="To calibrate on and to be tested on.")],
    timesteps: Annotated[
        int | None, typer.Option("-T", "--timesteps", min=1, help="Left out: as many as the module makes by itself.")
    ] = None,
    encode: EncodeOption = None,
    in_time: Annotated[
        bool, typer.Option("--in-time", help="The data are frames in time, (N, T, ...), and do not say it.")
    ] = False,
    data_range: DataRangeOption = None,
    sensor: SensorOption = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE.safetensors", help="To load into the module; or a .pt of a state dict.")
    ] = None,
    weight_bits: WeightBitsOption = None,
    input_bits: InputBitsOption = None,
    method: MethodOption = None,
    max_disagreement: DisagreementOption = 0.05,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write; FUNCTION.nir.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="Make a run instead, which can be reported.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the integer network of a torch module with snnTorch's neurons, proven on the way.

    FUNCTION returns the module; its file is Python, and is executed: name your own, or that of someone you trust. The
    module is put into eval mode, traced to a float network, and both are run: where one spike differs, nothing is
    written (exit 4). What cannot be carried is refused by name, all of it at once (exit 3). Float and integer network
    are compared as in kdsnn quantize.

    DATA is the name of a data set, an .npz file with x and y, a folder of images or of recordings of events by class,
    or a function.

    With --run, the network and its figures go into a run, which keeps evaluations and can be reported.

    Examples:
      kdsnn convert my_net.py:make --images mnist5k -T 8

      kdsnn convert my_net.py:make --weights my_net.safetensors --images photos/ -T 8 -o my_net.nir

      kdsnn convert my_net.py:make --weights my_net.safetensors --images photos/ -T 8 --run runs/mine

      kdsnn convert my_net.py:make --images recordings/ --sensor 128x128 -T 20
    """
    from kdsnn.recipes.schema import QuantizeSection
    from kdsnn.steps.convert import convert as make
    from kdsnn.steps.convert import load_module
    from kdsnn.steps.post_training import section_with

    section = section_with(
        QuantizeSection(), weight_bits=weight_bits, input_bits=input_bits, method=method, qat_epochs=None
    )
    name = module.rpartition(":")[2]
    done = make(
        load_module(module, weights),
        images,
        timesteps=timesteps,
        out=out or (f"{name}.nir" if run is None else None),
        run=run,
        name=name,
        section=section,
        max_disagreement=max_disagreement,
        encode=encode,
        in_time=in_time,
        data_range=range_of(data_range),
        sensor=sensor_of(sensor),
    )
    if json:
        emit_json(done.as_json())
        return
    show(done)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(convert)
