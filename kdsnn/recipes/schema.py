"""What a recipe holds, section by section, checked by pydantic; names are those in the lists of `kdsnn.choices`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from kdsnn import choices
from kdsnn.data.sources.reference import absolute, problem_of
from kdsnn.own_code.functions import is_reference
from kdsnn.registry import Registry

__all__ = [
    "DataSection",
    "DistillSection",
    "QatSection",
    "QuantizeSection",
    "Recipe",
    "StudentSection",
    "TeacherSection",
    "TrainSection",
]


def _one_of(registry: Registry[Any], *, own: bool = False) -> AfterValidator:
    """Checks that a name is in a list, or the reference of a user's own."""

    def check(name: str) -> str:
        if own and is_reference(name):
            return name
        if problem := registry.problem(name):
            raise ValueError(problem + ("; your own is named as my_net.py:make" if own else ""))
        return name

    return AfterValidator(check)


def _width(bits: int) -> int:
    """Checks that an integer network can have weights of so many bits. numpy is loaded where a recipe says them."""
    from kdsnn.network.widths import problem_of_width

    if problem := problem_of_width(bits):
        raise ValueError(problem)
    return bits


def _placed(text: str, info: ValidationInfo) -> str:
    """Checks where data are, and makes a path absolute, unless that was done by whoever knows from where it starts."""
    where = text if (info.context or {}).get("placed") else absolute(text, Path.cwd())
    if problem := problem_of(where):
        raise ValueError(problem)
    return where


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$")]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Steps = Annotated[int, Field(ge=1, le=1024)]
Width = Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataSection(_Section):
    """What is learnt. `docs/data.md` shows each kind of data.

    Attributes:
        dataset: name of a data set, path of an `.npz`, an `.npy` or a folder of images, or `my_data.py:load`. A path
            in a recipe starts from its folder, one given on the command line or in Python from the working
            directory; a run keeps it absolute.
        range: what becomes 0 and what becomes 255, of data that are no pixels; None takes floats to be from 0 to 1.
        test_share: of data without a test split, for the test split, stratified; None is 0.2.
        steps: T of data in time that do not say it themselves, and the number of frames that events are put together
            to; None takes `student.timesteps` for these.
        encode: name of how still images are shown to the student, in `kdsnn.choices.ENCODERS`. The teacher sees them as
            they are.
        bin_by: of events: whether the steps are equally long (`time`), or have equally many events (`events`); None is
            `time`.
        event_bits: of events: 1 is whether there was any (a spike), 8 how many there were; None is 1.
        sensor: height and width in pixels, of recordings of events in files of one's own.
        sha256: of the data; others are refused. A run keeps it of data of one's own.
        augment: name of what happens to a training image, in `kdsnn.choices.AUGMENTATIONS`.
        train_samples: take so many training images, stratified, other ones with each seed; None takes all.
        unlabelled_samples: of the training images that `train_samples` leaves, so many are shown to the student without
            their labels, for the teacher's answers alone; `all` takes the rest.
        validation_samples: hold so many out before, stratified, the same ones with each seed; the weights that are best
            on them are kept.
    """

    dataset: Annotated[str, AfterValidator(_placed)] = "mnist5k"
    range: tuple[Finite, Finite] | None = None
    test_share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    steps: Steps | None = None
    encode: Annotated[str, _one_of(choices.ENCODERS)] = "direct"
    bin_by: Literal["time", "events"] | None = None
    event_bits: Literal[1, 8] | None = None
    sensor: tuple[Count, Count] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    augment: Annotated[str, _one_of(choices.AUGMENTATIONS)] = "none"
    train_samples: Count | None = None
    unlabelled_samples: Literal["all"] | Count | None = None
    validation_samples: Count | None = None

    @model_validator(mode="after")
    def _others_say_it_themselves(self) -> DataSection:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range: the smaller number comes first, not {list(self.range)}")
        if self.unlabelled_samples is not None and self.train_samples is None:
            raise ValueError("unlabelled_samples: these are images that train_samples leaves, so say that, too")
        said = [name for name in ("range", "test_share") if getattr(self, name) is not None]
        if said and self.dataset in choices.DATASETS:
            raise ValueError(f"{said[0]}: data set {self.dataset!r} has its own; leave it out")
        return self


class TrainSection(_Section):
    """How a network is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        lr: highest learning rate.
        weight_decay: of the optimizer.
        optimizer: name of it.
        schedule: name of that of the learning rate.
        clip_norm: largest norm of the gradient; None does not clip.
        precision: of convolutions and linear layers: `fp32`, or `bf16` where autocast allows it.
        ema_decay: of a moving average of the weights, which is the result then; None takes the last weights.
        patience: stop after so many epochs without a better accuracy on the validation images; None goes on.
    """

    epochs: Count = 10
    batch_size: Count = 64
    lr: Positive = 3e-3
    weight_decay: NotNegative = 1e-4
    optimizer: Annotated[str, _one_of(choices.OPTIMIZERS)] = "adamw"
    schedule: Annotated[str, _one_of(choices.SCHEDULES)] = "onecycle"
    clip_norm: Positive | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_decay: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    patience: Count | None = None


class TeacherSection(TrainSection):
    """The teacher and its training.

    Attributes:
        model: name of a teacher, `FILE.py:FUNCTION` or `MODULE:FUNCTION` that returns one, or `torchvision:NAME`.
        weights: file of its weights, `.safetensors`, or `.pt` that holds a state dict: then it is not trained.
        mean: of each channel, which is subtracted from images in [0, 1] before it sees them; None leaves them so.
        std: of each channel, by which they are divided then.
        width: multiplies its channels.
        label_smoothing: of the targets of its cross-entropy.
        seed: of its weights and training, so that students of several seeds share one; None takes the recipe's.
        train_samples: it learns from so many training images; `all`, or None for those that the student learns from.
    """

    model: Annotated[str, _one_of(choices.TEACHERS, own=True)] = "cnn"
    weights: str | None = None
    mean: Annotated[tuple[Finite, ...], Field(min_length=1)] | None = None
    std: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    width: Width = 1.0
    label_smoothing: Share = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    train_samples: Literal["all"] | Count | None = None


class StudentSection(_Section):
    """The student.

    Attributes:
        model: name of a student, or `FILE.py:FUNCTION` or `MODULE:FUNCTION` that returns one.
        weights: file of the weights that a student of one's own starts from.
        width: multiplies its channels and hidden neurons.
        timesteps: T.
        surrogate: name of the gradient in place of the step's.
        slope: of the surrogate.
        channels: of its convolutions, instead of the model's own.
        hidden: neurons of its hidden layer, instead of the model's own.
        readout: `rate` (the paper's: spikes of the output neurons over T) or `membrane` (they never fire, and the
            score is what they have summed up after T steps).
        reset: what a spike does to its neuron: `zero`, or `subtract` takes the threshold from the potential, which
            trains more slowly.
        percentile: of the activations of the ANN, which becomes one spike a step in `spiking-copy`; 0 leaves its
            weights as they are, None is 99.
    """

    model: Annotated[str, _one_of(choices.STUDENTS, own=True)] = "2conv"
    weights: str | None = None
    width: Width = 1.0
    timesteps: Steps = 4
    surrogate: Annotated[str, _one_of(choices.SURROGATES)] = "atan"
    slope: Positive = 2.0
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    hidden: Count | None = None
    readout: Literal["rate", "membrane"] = "rate"
    reset: Literal["zero", "subtract"] = "zero"
    percentile: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None


class DistillSection(_Section):
    """The loss of the student; `docs/distillation.md` has the formulas.

    Attributes:
        kind: name of a loss, in `kdsnn.choices.LOSSES`: `none` is the student alone, `response` and `feature` are the
            paper's.
        temperature: tau.
        alpha: weight of the teacher's part; where the loss mixes it with that of the labels, 1 at most.
        alpha_end: to which alpha goes, linearly, over the training; None keeps it.
        logit_scale: logits are so many times the firing rates; a scale that is learnt starts from it.
        task: loss of the labels: `ce` (cross-entropy of the logits) or `mse` (squared error of the rates).
        label_smoothing: of the targets of `task`.
        soft: loss of the teacher's softened answer: `ce` or `mse`, likewise.
        feature_scale: the part of the features is so many times what is measured.
        feature_reduction: of the squared distances in a feature map: the `sum` over its elements (the paper's), or
            their `mean`; None takes the sum of what classifiers read, and the mean of maps: their sum drowns labels.
        ensemble: of `temporal`, the weight of the part where each step learns from their mean.
        rate_noise: of `noise-smoothed`, the standard deviation of the noise on the rates.
        pairs: names of a student's and a teacher's module, whose features are compared; `classifier` compares what
            comes into the last linear layer of both, and None the ends of their stages.
    """

    kind: Annotated[str, _one_of(choices.LOSSES)] = "response"
    temperature: Positive = 2.0
    alpha: NotNegative = 0.5
    alpha_end: NotNegative | None = None
    logit_scale: Positive = 5.0
    task: Literal["ce", "mse"] = "ce"
    label_smoothing: Share = 0.0
    soft: Literal["ce", "mse"] = "ce"
    feature_scale: Positive = 1.0
    feature_reduction: Literal["sum", "mean"] | None = None
    ensemble: NotNegative = 0.1
    rate_noise: NotNegative = 0.1
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)] | Literal["classifier"] | None = None


class QatSection(TrainSection):
    """Fine-tuning through the rounding (QAT), with the recipe's distillation loss. See `TrainSection`.

    Attributes:
        epochs: passes over the training images; 0 leaves it out.
        lr: highest learning rate, as a share of a projection's typical weight.
        precision: `fp32` alone: bfloat16 has not the bits for the integers.
        taught_by: the `teacher`, the float `student` that is rounded, or `both`: the first in the first half, then the
            second.
    """

    epochs: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    lr: Positive = 1e-2
    weight_decay: NotNegative = 0.0
    schedule: Annotated[str, _one_of(choices.SCHEDULES)] = "cosine"
    precision: Literal["fp32"] = "fp32"
    taught_by: Literal["teacher", "student", "both"] = "teacher"


class QuantizeSection(_Section):
    """The integer network.

    Attributes:
        weight_bits: signed; more than 8 lie in two synapses.
        input_bits: of an input message; `auto` chooses by the error on the calibration images.
        calibration_samples: training images to calibrate on.
        method: name of how scales are chosen, in `kdsnn.choices.METHODS`.
        qat: fine-tuning, if any.
    """

    weight_bits: Annotated[int, AfterValidator(_width)] = 8
    input_bits: Literal["auto"] | Annotated[int, Field(ge=1, le=8)] = "auto"
    calibration_samples: Count = 128
    method: Annotated[str, _one_of(choices.METHODS)] = "spikes"
    qat: QatSection = QatSection()

    @model_validator(mode="after")
    def _training_is_for_one_synapse(self) -> QuantizeSection:
        if self.qat.epochs:
            from kdsnn.network import WEIGHT_BITS

            if self.weight_bits > WEIGHT_BITS:
                raise ValueError(f"qat.epochs is for weights of at most {WEIGHT_BITS} bits, not {self.weight_bits}")
        return self


class Recipe(_Section):
    """A whole recipe."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: DataSection = DataSection()
    teacher: TeacherSection = TeacherSection()
    student: StudentSection = StudentSection()
    distill: DistillSection = DistillSection()
    train: TrainSection = TrainSection()
    quantize: QuantizeSection = QuantizeSection()

    @model_validator(mode="after")
    def _patience_needs_validation(self) -> Recipe:
        sections = (("teacher", self.teacher), ("train", self.train), ("quantize.qat", self.quantize.qat))
        for name, section in sections:
            if section.patience is not None and self.data.validation_samples is None:
                raise ValueError(f"{name}.patience needs data.validation_samples")
        return self
