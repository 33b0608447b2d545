"""From a module of anybody's to the integer network that every target runs, with both edges before it checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from kdsnn.choices import ENCODERS
from kdsnn.data.datasets import Dataset
from kdsnn.data.encoders import DIRECT
from kdsnn.data.sources.load import ImageSet, is_events, load_calibration
from kdsnn.data.sources.source import Reading
from kdsnn.display import Block, Displayed
from kdsnn.distill.checkpoint import load_given
from kdsnn.errors import InputError, UsageError
from kdsnn.evaluation.agreement import MAX_DISAGREEMENT
from kdsnn.evaluation.edges import MODULE_TO_FLOAT
from kdsnn.export.lowering.lower import Lowered, lower_module
from kdsnn.export.lowering.module_agreement import ModuleAgreement, check_module, run_module
from kdsnn.export.lowering.relays import balance
from kdsnn.export.nir import write_nir
from kdsnn.files.writing import write_json
from kdsnn.network import Network
from kdsnn.own_code.functions import load_own
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.run_folders import lock
from kdsnn.steps.calibration import images_to_check
from kdsnn.steps.figures import write_quantized
from kdsnn.steps.images import said_of
from kdsnn.steps.models import MODEL_FILE, Model
from kdsnn.steps.module_runs import claim_for_module, data_of_run, write_module
from kdsnn.steps.post_training import Quantized, quantize_network

__all__ = ["Converted", "convert", "load_module"]

AT_ONCE = 64  # images in a batch of the module


@dataclass(frozen=True)
class Converted(Displayed):
    """The result of converting a module.

    Attributes:
        float_network: the float network, which fires as the module does, spike for spike.
        module_agreement: how many spikes of module and float network were compared, and were equal: edge (1).
        quantized: the integer network, how it was made, and how far it agrees with the float network: edge (2).
    """

    float_network: Network
    module_agreement: ModuleAgreement
    quantized: Quantized

    @property
    def network(self) -> Network:
        """The integer network, which every target runs."""
        return self.quantized.model.network

    def as_json(self) -> dict[str, Any]:
        """What stands in the file beside the network."""
        return self.quantized.as_json() | {"module_agreement": asdict(self.module_agreement)}

    def write(self, path: str | Path) -> Path:
        """Writes the integer network, `.nir`, and beside it how it was made, `.json`.

        Raises:
            UsageError: the path is no `.nir` file.
        """
        path = _nir_path(path)
        write_nir(self.network, path)
        write_json(path.with_suffix(".json"), self.as_json())
        return path

    @property
    def model(self) -> Model:
        """The integer network and its file, for the steps that follow."""
        return self.quantized.model

    def blocks(self) -> tuple[Block, ...]:
        """How the network was quantized, and that the float network fires as the module does."""
        return self.quantized.blocks()


def convert(
    module: nn.Module | str,
    data: object,
    *,
    timesteps: int | None = None,
    out: str | Path | None = None,
    run: str | Path | None = None,
    name: str | None = None,
    section: QuantizeSection | None = None,
    max_disagreement: float = MAX_DISAGREEMENT,
    encode: str | None = None,
    in_time: bool = False,
    data_range: tuple[float, float] | None = None,
    sensor: tuple[int, int] | None = None,
) -> Converted:
    """Converts a torch module with snnTorch neurons to an integer network, and checks both edges on the way.

    The module is traced to a float network, which must fire as the module does, spike for spike, on images of the data
    and on random ones. Then it is quantized, and the integer network must agree with the float network.

    Args:
        module: the module, in eval mode and on the CPU, or where to find it, such as `my_net.py:make`. docs/modules.md
            says how it may be written, and what it must return.
        data: images to calibrate on and, where they have labels, to test on: the name of a data set, a path, arrays
            `(N, C, H, W)` or `(N, F)`, a torch `Dataset`; docs/data.md lists all. The module is given pixels from 0 to
            1, or the original numbers where the data were floats.
        timesteps: number of time steps T. None takes as many as the module makes by itself, or as data in time have.
        out: path of the `.nir` file to write; None writes no file.
        run: path of a run folder to make, which keeps evaluations and can be reported; the data need labels. A network
            that was converted into this folder before is replaced.
        name: name of the network; None takes the class of the module.
        section: settings of the quantization; None takes the defaults.
        max_disagreement: share of the predictions, 0 to 1, in which the integer network may differ from the float one.
        encode: the encoder that turns still images into spikes in time, one of `kdsnn list encoders`; None is `direct`.
            The module is given encoded images, and data in time, a frame at each call, or as `(T, B, ...)`.
        in_time: whether the data are frames in time, `(N, T, ...)`, where they do not say it themselves.
        data_range: the values in the data that become pixels of 0 and 255, where the data do not say it.
        sensor: height and width in pixels, of recordings of events in a folder.

    Raises:
        LoweringError: the module holds something that cannot be carried exactly; with all that was found.
        VerificationError: module and float network fire differently, or the integer network differs in too much.
        UsageError: `module` is no module, or `out` no `.nir` file.
        InputError: the data or the module are broken, or do not fit each other.
    """
    if isinstance(module, str):
        name = name or module.rpartition(":")[2]
        module = load_module(module)
    if not isinstance(module, nn.Module):
        raise UsageError(f"convert takes a torch module, not a {type(module).__name__}", hint="convert(module, data)")
    name, folder = name or type(module).__name__, None if run is None else Path(run)
    if folder is not None and out is not None:
        raise UsageError("a run has its network in it: either a file to write, or a run")
    path = _nir_path(out if out is not None else f"{name}.nir") if folder is None else folder / MODEL_FILE
    ENCODERS.get(encode or DIRECT)
    as_frames = in_time and encode in (None, DIRECT)
    steps = timesteps if as_frames or is_events(data) else None
    shown = load_calibration(data, Reading(data_range, encode=encode or DIRECT, steps=steps, sensor=sensor))
    _check_in_time(shown, timesteps, in_time=in_time)
    dataset = shown if isinstance(shown, Dataset) else None
    if folder is not None:
        shown = dataset = data_of_run(folder, data, dataset)
    lowered = _lowered(module, shown, timesteps, name, data_range)
    network = balance(lowered.network)
    agreement = check_module(module, lowered, network, images_to_check(network, shown))
    if dataset is not None and len(dataset.labels) == len(network.labels):
        network = replace(network, labels=dataset.labels)
    network = replace(network, provenance={**network.provenance, MODULE_TO_FLOAT: str(agreement)})
    quantized = quantize_network(
        network,
        path,
        shown,
        section or QuantizeSection(),
        float_accuracy=None if dataset is None else _accuracy(module, lowered, dataset),
        max_disagreement=max_disagreement,
    )
    made = Converted(network, agreement, replace(quantized, model=replace(quantized.model, run=folder)))
    if out is not None:
        made.write(path)
    if folder is not None and dataset is not None:
        with lock(folder):
            claim_for_module(folder)
            write_quantized(made.network, made.as_json(), folder)
            write_module(folder, name, data, dataset, data_range, sensor)
    return made


def _check_in_time(shown: Dataset | ImageSet, timesteps: int | None, *, in_time: bool) -> None:
    """Checks that images in time have a number of steps.

    Raises:
        UsageError: neither the data nor the user say it.
    """
    if shown.steps is not None or timesteps is not None:
        return
    if shown.encode != DIRECT:
        raise UsageError(
            f"{shown.name} holds still images, and --encode {shown.encode} makes frames of them: how many?",
            hint="say it: -T (in Python: timesteps)",
        )
    if in_time:
        raise UsageError(
            f"{shown.name} does not say how many time steps it has",
            hint="say it: -T (in Python: timesteps); or leave out --in-time, if the images are still",
        )


def _lowered(
    module: nn.Module,
    shown: Dataset | ImageSet,
    timesteps: int | None,
    name: str,
    data_range: tuple[float, float] | None,
) -> Lowered:
    """The float network of a module, by how it takes the images."""
    if shown.steps is not None and timesteps not in (None, shown.steps):
        raise InputError(
            f"{shown.name} has {shown.steps} time steps, not {timesteps}", hint="leave out -T (in Python: timesteps)"
        )
    return lower_module(
        module,
        input_shape=shown.frame_shape,
        timesteps=shown.steps or timesteps,
        labels=None,
        name=name,
        provenance={"source": "module", "module": name, "dataset": shown.name, **said_of(shown, data_range)},
        value_range=shown.value_range or (0.0, 1.0),
        in_time=shown.steps is not None or shown.encode != DIRECT,
    )


def load_module(reference: str, weights: Path | None = None, **offered: Any) -> nn.Module:
    """The module that a user's own function returns, in eval mode.

    Args:
        reference: `FILE.py:FUNCTION` or `MODULE:FUNCTION`. Its code is executed.
        weights: a safetensors file to load into it, or a `.pt` that holds a state dict and nothing else.
        offered: arguments for the function; it is given those that it names.

    Raises:
        InputError: there is none, it fails, or it returns something else; or the weights are another module's.
    """
    own = load_own(reference)
    made = own.value if isinstance(own.value, nn.Module) else own.call(**offered)
    if not isinstance(made, nn.Module):
        raise InputError(f"{own.title} returns a {type(made).__name__}", hint="let it return the torch module")
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"there is no file {weights}")
        load_given(made, weights)
    return made.eval()


def _accuracy(module: nn.Module, lowered: Lowered, dataset: Dataset) -> float | None:
    """Of the module itself on the test split, by the spikes of its output; None where its classes are others."""
    output = lowered.network.output.name
    if len(dataset.labels) != len(lowered.network.labels) or lowered.network.readout != "rate":
        return None
    hits, images, labels = 0, dataset.test.images, dataset.test.labels
    for begin in range(0, len(images), AT_ONCE):
        shown = dataset.shown(images[begin : begin + AT_ONCE], lowered.network.timesteps)
        spikes, _ = run_module(module, lowered, shown)
        if output not in spikes:
            return None  # a pool's, which is no layer of neurons
        counts = spikes[output].sum(axis=1).reshape(-1, len(dataset.labels))
        hits += int((counts.argmax(axis=1) == labels[begin : begin + AT_ONCE]).sum())
    return hits / len(images)


def _nir_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".nir":
        raise UsageError(f"{path} is no .nir file", hint="name the integer network NAME.nir")
    return path
