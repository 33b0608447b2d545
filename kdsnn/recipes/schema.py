"""Recipes: everything that decides what a run trains, in one TOML file, checked before anything is computed."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kdsnn.errors import RecipeError
from kdsnn.recipes.paper_rows import DERIVED

__all__ = [
    "DataSection",
    "DistillSection",
    "QatSection",
    "QuantizeSection",
    "Recipe",
    "StudentSection",
    "TeacherSection",
    "TrainSection",
    "load_recipe",
    "recipe_names",
    "recipe_toml",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$")]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Width = Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataSection(_Section):
    """What is learnt.

    Attributes:
        dataset: name of a data set.
        augment: what happens to a training image: `none`, `affine` (small shifts, turns and scalings), `flip`
            (mirrored or not), `crop-flip` (shifted, too) or `turn` (by any number of quarters, and a little).
        train_samples: take so many training images, stratified, other ones with each seed; None takes all.
        validation_samples: hold so many out before, stratified, the same ones with each seed; the weights that are best
            on them are kept.
    """

    dataset: Name = "mnist5k"
    augment: Literal["none", "affine", "flip", "crop-flip", "turn"] = "none"
    train_samples: Count | None = None
    validation_samples: Count | None = None


class TrainSection(_Section):
    """How a network is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        lr: highest learning rate.
        weight_decay: of the optimizer.
        optimizer: `adamw` or `sgd` (momentum 0.9).
        schedule: of the learning rate: `onecycle`, `cosine` or `constant`.
        clip_norm: largest norm of the gradient; None does not clip.
        precision: of convolutions and linear layers: `fp32`, or `bf16` where autocast allows it.
        ema_decay: of a moving average of the weights, which is the result then; None takes the last weights.
        patience: stop after so many epochs without a better accuracy on the validation images; None goes on.
    """

    epochs: Count = 10
    batch_size: Count = 64
    lr: Positive = 3e-3
    weight_decay: NotNegative = 1e-4
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    clip_norm: Positive | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_decay: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    patience: Count | None = None


class TeacherSection(TrainSection):
    """The teacher and its training.

    Attributes:
        model: name of a teacher.
        width: multiplies its channels.
        label_smoothing: of the targets of its cross-entropy.
        seed: of its weights and training, so that students of several seeds share one; None takes the recipe's.
        train_samples: it learns from so many training images; `all`, or None for those that the student learns from.
    """

    model: Name = "cnn"
    width: Width = 1.0
    label_smoothing: Share = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    train_samples: Literal["all"] | Count | None = None


class StudentSection(_Section):
    """The student.

    Attributes:
        model: name of a student.
        width: multiplies its channels and hidden neurons.
        timesteps: T.
        surrogate: name of the gradient in place of the step's.
        slope: of the surrogate.
        channels: of its convolutions, instead of the model's own.
        hidden: neurons of its hidden layer, instead of the model's own.
        readout: `rate` (the paper's: spikes of the output neurons over T) or `membrane` (they never fire, and the
            score is what they have summed up after T steps).
    """

    model: Name = "2conv"
    width: Width = 1.0
    timesteps: Annotated[int, Field(ge=1, le=1024)] = 4
    surrogate: Literal["atan", "fast_sigmoid", "sigmoid"] = "atan"
    slope: Positive = 2.0
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    hidden: Count | None = None
    readout: Literal["rate", "membrane"] = "rate"


class DistillSection(_Section):
    """The loss of the student; `docs/distillation.md` has the formulas.

    Attributes:
        kind: `none` (the student alone), `response` or `feature` (the paper's), `both`, or beyond the paper `per-step`
            (the response at each step) or `layer-rates` (normalised rates of layers).
        temperature: tau.
        alpha: weight of the teacher's part.
        alpha_end: to which alpha goes, linearly, over the training; None keeps it.
        logit_scale: logits are so many times the firing rates.
        task: loss of the labels: `ce` (cross-entropy of the logits) or `mse` (squared error of the rates).
        label_smoothing: of the targets of `task`.
        soft: loss of the teacher's softened answer: `ce` or `mse`, likewise.
        feature_scale: the part of the features is so many times its mean.
        pairs: names of a student's and a teacher's module, whose features are compared; None takes the ends of their
            stages.
    """

    kind: Literal["response", "none", "feature", "both", "per-step", "layer-rates"] = "response"
    temperature: Positive = 2.0
    alpha: Share = 0.5
    alpha_end: Share | None = None
    logit_scale: Positive = 5.0
    task: Literal["ce", "mse"] = "ce"
    label_smoothing: Share = 0.0
    soft: Literal["ce", "mse"] = "ce"
    feature_scale: Positive = 1.0
    pairs: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)] | None = None


class QatSection(_Section):
    """Fine-tuning through the rounding (QAT), with the recipe's distillation loss.

    Attributes:
        epochs: passes over the training images; 0 leaves it out.
        batch_size: images a step.
        lr: highest learning rate, as a share of a projection's typical weight.
    """

    epochs: Annotated[int, Field(ge=0)] = 0
    batch_size: Count = 64
    lr: Positive = 1e-2


class QuantizeSection(_Section):
    """The integer network.

    Attributes:
        weight_bits: signed.
        input_bits: of an input message; `auto` chooses by the error on the calibration images.
        calibration_samples: training images to calibrate on.
        method: how scales are chosen: `max` (no weight is clipped), `percentile`, or `mse` (least squared error).
        qat: fine-tuning, if any.
    """

    weight_bits: Annotated[int, Field(ge=2, le=8)] = 8
    input_bits: Literal["auto"] | Annotated[int, Field(ge=1, le=8)] = "auto"
    calibration_samples: Count = 128
    method: Literal["max", "percentile", "mse"] = "max"
    qat: QatSection = QatSection()


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
        for name, section in (("teacher", self.teacher), ("train", self.train)):
            if section.patience is not None and self.data.validation_samples is None:
                raise ValueError(f"{name}.patience needs data.validation_samples")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package: its TOML files, and what is made from them for the paper."""
    folder = files("kdsnn.recipes")
    return sorted([*DERIVED, *(i.name.removesuffix(".toml") for i in folder.iterdir() if i.name.endswith(".toml"))])


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe, checked.

    Args:
        recipe: name of one that ships with the package, or path of a TOML file.
        overrides: changes, such as `distill.alpha=0.5`; values are TOML, or else text.

    Raises:
        RecipeError: with all problems at once.
    """
    data = _read(str(recipe))
    for override in overrides:
        _override(data, override)
    try:
        return Recipe.model_validate(_as_python(data))
    except ValidationError as error:
        raise RecipeError(f"recipe {str(recipe)!r} is not valid", problems=list(_problems(error))) from error
    except RecursionError as error:
        raise RecipeError(f"recipe {str(recipe)!r} is nested too deeply") from error


def recipe_toml(recipe: Recipe) -> str:
    """The recipe as TOML, defaults written out."""
    return tomlkit.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _read(recipe: str) -> dict[str, Any]:
    if recipe.endswith(".toml"):
        path = Path(recipe)
        try:
            if not path.is_file():
                raise RecipeError(f"there is no recipe file {recipe}")
            data = path.read_bytes()
        except OSError as error:
            raise RecipeError(f"recipe file {recipe} cannot be read: {error.strerror or error}") from error
    elif recipe in DERIVED:
        base, changes = DERIVED[recipe]
        made = _read(base)
        for change in changes:
            _override(made, change)
        return made
    elif recipe in recipe_names():
        data = (files("kdsnn.recipes") / f"{recipe}.toml").read_bytes()
    else:
        close = difflib.get_close_matches(recipe, recipe_names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"recipes are: {', '.join(recipe_names())}"
        raise RecipeError(f"there is no recipe {recipe!r}", hint=hint)
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {recipe!r} is not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:  # tomllib lets an integer of 5,000 digits be a plain ValueError
        raise RecipeError(f"recipe {recipe!r} is not TOML: {error}") from error


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"change {override!r} is not KEY=VALUE", hint="for example: --set distill.alpha=0.5")
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        parsed = {}
    value = parsed["value"] if len(parsed) == 1 else text  # a line break could begin another key
    section = data
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise RecipeError(f"change {override!r}: {part!r} is not a section")
    section[parts[-1]] = value


def _as_python(value: Any) -> Any:
    """TOML's lists as tuples, as a strict model wants them."""
    if isinstance(value, dict):
        return {key: _as_python(item) for key, item in value.items()}
    return tuple(_as_python(item) for item in value) if isinstance(value, list) else value


def _problems(error: ValidationError) -> Iterator[str]:
    found = error.errors()
    wrong_items = {problem["loc"][:-1] for problem in found}
    for problem in found:
        if problem["type"] == "too_short" and problem["loc"] in wrong_items:
            continue  # pydantic counts the right items only
        where = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(("literal", "constrained")))
        where = repr(where)[1:-1][:200]  # a key may hold anything, terminal codes too
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(problem["loc"][-1]), _keys(problem["loc"][:-1]), n=1)
            yield f"{where}: there is no such key" + (f"; did you mean {close[0]!r}?" if close else "")
        elif problem["type"] == "missing":
            yield f"{where}: this key is needed"
        else:
            yield f"{where}: {problem['msg']}, not {problem['input']!r}"[:300]


def _keys(section: tuple[int | str, ...]) -> list[str]:
    model: Any = Recipe
    for part in section:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
