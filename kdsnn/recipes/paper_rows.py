"""The rows of the paper's tables 1, 2 and 4, and a recipe for each, made from one TOML file of the data set.

Figures of Xu et al., "Constructing Deep Spiking Neural Networks from Artificial Neural Networks with Knowledge
Distillation", CVPR 2023, in percent; T = 4. The same rows without figures stand for data that the paper does not use.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DERIVED", "OTHERS", "PUBLISHED", "SETTINGS", "TABLES", "Figures", "Row"]

CIFAR10 = "cifar10-vgg11-from-resnet18"  # the TOML file that the recipes for CIFAR-10 are made from
BASES = {"mnist": "mnist-2conv", "fashion-mnist": "fashion-2conv", "mnist5k": "mnist5k-2conv"}


@dataclass(frozen=True)
class Figures:
    """Accuracies in percent: of the teacher, of the student alone, and of the distilled student."""

    teacher: float | None
    alone: float | None
    distilled: float | None

    @property
    def gain(self) -> float | None:
        """Points that distillation adds."""
        if self.alone is None or self.distilled is None:
            return None
        return round(self.distilled - self.alone, 2)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        recipe: name of the recipe that distils its student.
        alone: name of the recipe of the same student without a teacher.
        dataset: name of the data set.
        kind: of the loss.
        student: name of the model.
        teacher: name of the model.
        paper: the paper's figures; None where it has no such row.
        sigma: of the Gaussian noise on the test images, for pixels from 0 to 1.
    """

    recipe: str
    alone: str
    dataset: str
    kind: str
    student: str
    teacher: str
    paper: Figures | None
    sigma: float | None = None

    @property
    def name(self) -> str:
        """Of the row, in its table: that of its recipe, and the noise."""
        return self.recipe if self.sigma is None else f"{self.recipe}-gaussian-{self.sigma}"


SETTINGS = {  # changes of a row's recipe, by the kind of its loss: those by which rates of T = 4 gained (docs/gain.md)
    "none": ("distill.task=mse",),
    "response": ("distill.task=mse", "distill.kind=drive", "distill.temperature=2.0", "distill.alpha=0.3"),
    "feature": ("distill.task=mse", "distill.pairs=classifier", "distill.alpha=0.3"),
}
PUBLISHED = {"none": (), "response": (), "feature": ("distill.feature_reduction=sum",)}  # as the paper says, likewise
TABLE1 = (  # kind, student, teacher; accuracies of the teacher, of the student alone and distilled
    ("response", "vgg11", "resnet18", 93.20, 88.44, 89.12),
    ("response", "vgg11", "wrn28-4", 93.10, 88.44, 89.43),
    ("response", "vgg11", "pyramidnet18", 95.10, 88.44, 89.51),
    ("response", "wrn16-2", "resnet18", 93.20, 90.34, 90.98),
    ("response", "wrn16-2", "wrn28-4", 93.10, 90.34, 91.14),
    ("response", "wrn16-2", "pyramidnet18", 95.10, 90.34, 91.11),
    ("response", "resnet18", "pyramidnet18", 95.10, 92.68, 93.41),
    ("feature", "wrn16-2", "wrn28-4", 93.10, 90.34, 91.03),
    ("feature", "wrn16-2", "pyramidnet18", 95.10, 90.34, 92.10),
    ("feature", "wrn16-2", "preresnet20", 92.36, 90.34, 91.57),
    ("feature", "resnet14", "wrn28-4", 93.10, 87.46, 87.84),
    ("feature", "resnet14", "pyramidnet18", 95.10, 87.46, 88.20),
    ("feature", "resnet14", "preresnet20", 92.36, 87.46, 87.90),
)
GAUSSIAN = ((0.01, 83.00, 81.63, 82.90), (0.03, 80.40, 76.42, 77.96), (0.05, 77.00, 73.40, 74.23))
NOISY_MNIST = {  # teacher, alone, distilled
    "back-image": (97.72, 95.04, 96.35),
    "back-rand": (96.95, 95.31, 95.79),
    "rot": (96.01, 94.43, 95.34),
    "rot-back-image": (86.59, 80.96, 81.82),
}
OTHERS = (  # table 4: data set, method, ANN, SNN, accuracy of the ANN, of the SNN, time steps
    ("mnist", "SDNN", "-", "2conv-2pool", None, 98.40, 30),
    ("mnist", "STBP", "-", "784-800-10", None, 98.89, 30),
    ("mnist", "ANTLR", "-", "784-800-10", None, 97.60, 100),
    ("mnist", "ASF-BP", "-", "LeNet5", None, 99.65, 400),
    ("cifar10", "SPIKE-NORM", "VGG16", "VGG16", 91.70, 91.55, 2500),
    ("cifar10", "Hybrid Train", "VGG16", "VGG16", 92.81, 91.13, 100),
    ("cifar10", "RMP", "VGG16", "VGG16", 93.63, 93.63, 2048),
    ("cifar10", "Opt.", "VGG16", "VGG16", 92.34, 92.29, 16),
    ("cifar10", "SPIKE-NORM", "ResNet20", "ResNet20", 89.10, 87.46, 2500),
    ("cifar10", "Hybrid Train", "ResNet20", "ResNet20", 93.15, 92.22, 250),
    ("cifar10", "RMP", "ResNet20", "ResNet20", 91.47, 91.36, 2048),
    ("cifar10", "Opt.", "ResNet20", "ResNet20", 92.46, 92.41, 16),
)


def _cifar10(kind: str, student: str, teacher: str, *figures: float | None, sigma: float | None = None) -> Row:
    recipe = f"cifar10-{student}-from-{teacher}" + ("-feature" if kind == "feature" else "")
    return Row(recipe, f"cifar10-{student}-alone", "cifar10", kind, student, teacher, Figures(*figures), sigma)


def _two_conv(base: str, variant: str = "", figures: Figures | None = None, kind: str = "response") -> Row:
    """A row of 2conv on MNIST or what stands for it, or on a noisy variant of that."""
    name = BASES[base].removesuffix("-2conv") + (f"-{variant}" if variant else "") + "-2conv"
    dataset = f"{base}-{variant}" if variant else base
    teacher = "resnet18" if base == "mnist" else "cnn"
    recipe = name if kind == "response" else f"{name}-{kind}"
    return Row(recipe, f"{name}-alone", dataset, kind, "2conv", teacher, figures)


TABLES: dict[str, tuple[Row, ...]] = {
    "table1": (
        *(_cifar10(*row) for row in TABLE1),
        *(_two_conv(base, kind=kind) for base in BASES for kind in ("response", "feature")),
    ),
    "table2": (
        *(_cifar10("response", "vgg11", "resnet18", *figures, sigma=sigma) for sigma, *figures in GAUSSIAN),
        *(_two_conv("mnist", variant, Figures(*figures)) for variant, figures in NOISY_MNIST.items()),
        *(_two_conv(base, variant) for base in ("fashion-mnist", "mnist5k") for variant in NOISY_MNIST),
    ),
    "table4": (
        _two_conv("mnist", figures=Figures(99.59, None, 99.37)),
        _cifar10("response", "vgg16", "pyramidnet18", 95.17, None, 91.05),
        _cifar10("response", "resnet18", "pyramidnet18", 95.17, None, 93.41),
    ),
}


def _derived() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Recipes by name: the TOML file that each is made from, and what is changed in it."""
    made: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in (row for rows in TABLES.values() for row in rows):
        base = CIFAR10 if row.dataset == "cifar10" else BASES[_base(row.dataset)]
        models = (f"data.dataset={row.dataset}", f"student.model={row.student}", f"teacher.model={row.teacher}")
        about = f"{row.student} on {row.dataset}"
        taught = f"description={about}, distilled from {row.teacher}: the paper's {row.kind}-based loss."
        made[row.recipe] = (base, (f"name={row.recipe}", taught, *models, f"distill.kind={row.kind}"))
        alone = f"description={about} without a teacher, for comparison."
        made.setdefault(row.alone, (base, (f"name={row.alone}", alone, *models, "distill.kind=none")))
    for file in (CIFAR10, *BASES.values()):
        made.pop(file)
    return made


def _base(dataset: str) -> str:
    return next(base for base in sorted(BASES, key=len, reverse=True) if dataset.startswith(base))


DERIVED = _derived()
