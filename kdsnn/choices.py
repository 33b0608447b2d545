"""Everything that is chosen by a name: the one list of each kind.

Recipes, the command line and the docs ask these lists; nothing else names what is in them. To add a thing: a file with
it, and a line here, or in a package of your own an entry point of the group (CONTRIBUTING.md shows each). What a name
stands for is imported once it is asked for.
"""

from __future__ import annotations

from typing import Any

from kdsnn.registry import Registry

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "ENCODERS",
    "FIGURES",
    "LOSSES",
    "METHODS",
    "NOISES",
    "OPTIMIZERS",
    "QUICK_TARGET",
    "SCHEDULES",
    "STUDENTS",
    "SURROGATES",
    "TARGETS",
    "TEACHERS",
    "VARIANTS",
    "VARIED",
    "WRITERS",
]

QUICK_TARGET = "gpu"  # of TARGETS: what computes where it does not matter which, for all find the same
VARIED = ("fashion-mnist", "mnist", "mnist5k")  # data sets that come with noise on their images too, as NAME-VARIANT
VARIANTS = {"rot": "rotate", "back-rand": "back-rand", "back-image": "back-image", "rot-back-image": "rot-back-image"}
DATASETS: Registry[Any] = Registry(
    "data set",
    "data sets",
    {
        "cifar10": "kdsnn.data.cifar10:load",
        "cifar10-dvs": "kdsnn.data.events.published:PUBLISHED",
        "digits": "kdsnn.data.digits:load",
        "dvs-gesture": "kdsnn.data.events.published:PUBLISHED",
        "fashion-mnist": "kdsnn.data.mnist:load",
        "mnist": "kdsnn.data.mnist:load",
        "mnist5k": "kdsnn.data.mnist5k:load",
        "n-mnist": "kdsnn.data.events.published:PUBLISHED",
        "saccade-fashion": "kdsnn.data.events.saccade:SACCADE",
        "saccade-mnist5k": "kdsnn.data.events.saccade:SACCADE",
        "shd": "kdsnn.data.events.published:PUBLISHED",
        **{f"{base}-{variant}": "kdsnn.data.variants:load" for base in VARIED for variant in VARIANTS},
    },
    group="kdsnn.datasets",
)
STUDENTS: Registry[Any] = Registry(
    "student",
    "students",
    {
        "2conv": "kdsnn.models.two_conv:STUDENT",
        "preresnet20": "kdsnn.models.wrn:PRERESNET20",
        "resnet14": "kdsnn.models.spiking_resnet:RESNET14",
        "resnet18": "kdsnn.models.spiking_resnet:RESNET18",
        "spiking-copy": "kdsnn.models.spiking_copy.copy:STUDENT",
        "vgg11": "kdsnn.models.vgg:VGG11",
        "vgg16": "kdsnn.models.vgg:VGG16",
        "wrn16-2": "kdsnn.models.wrn:WRN16_2",
    },
    group="kdsnn.students",
)
TEACHERS: Registry[Any] = Registry(
    "teacher",
    "teachers",
    {
        "cnn": "kdsnn.models.cnn:TEACHER",
        "preresnet20": "kdsnn.models.preact:PRERESNET20",
        "pyramidnet18": "kdsnn.models.pyramidnet:TEACHER",
        "resnet18": "kdsnn.models.resnet:TEACHER",
        "wrn28-4": "kdsnn.models.preact:WRN28_4",
    },
    group="kdsnn.teachers",
)
LOSSES: Registry[Any] = Registry(
    "loss",
    "losses",
    {
        "both": "kdsnn.distill.losses.both:LOSS",
        "drive": "kdsnn.distill.losses.drive:LOSS",
        "feature": "kdsnn.distill.losses.feature:LOSS",
        "laf": "kdsnn.distill.losses.laf:LOSS",
        "layer-rates": "kdsnn.distill.losses.layer_rates:LOSS",
        "noise-smoothed": "kdsnn.distill.losses.noise_smoothed:LOSS",
        "none": "kdsnn.distill.losses.alone:LOSS",
        "per-step": "kdsnn.distill.losses.per_step:LOSS",
        "response": "kdsnn.distill.losses.response:LOSS",
        "temporal": "kdsnn.distill.losses.temporal:LOSS",
    },
)
AUGMENTATIONS: Registry[Any] = Registry(
    "augmentation",
    "augmentations",
    {
        "affine": "kdsnn.distill.augment:affine",
        "crop": "kdsnn.distill.augment:crop",
        "crop-flip": "kdsnn.distill.augment:crop_flip",
        "flip": "kdsnn.distill.augment:flip",
        "none": "kdsnn.distill.augment:unchanged",
        "turn": "kdsnn.distill.augment:turn",
    },
)
ENCODERS: Registry[Any] = Registry(
    "encoder",
    "encoders",
    {
        "delta": "kdsnn.data.encoders:delta",
        "direct": "kdsnn.data.encoders:direct",
        "latency": "kdsnn.data.encoders:latency",
        "rate": "kdsnn.data.encoders:rate",
    },
)
SURROGATES: Registry[Any] = Registry(
    "surrogate gradient",
    "surrogate gradients",
    {
        "atan": "kdsnn.models.surrogates:ATAN",
        "fast_sigmoid": "kdsnn.models.surrogates:FAST_SIGMOID",
        "sigmoid": "kdsnn.models.surrogates:SIGMOID",
    },
)
OPTIMIZERS: Registry[Any] = Registry(
    "optimizer", "optimizers", {"adamw": "kdsnn.distill.optimizers:ADAMW", "sgd": "kdsnn.distill.optimizers:SGD"}
)
SCHEDULES: Registry[Any] = Registry(
    "schedule",
    "schedules",
    {
        "constant": "kdsnn.distill.schedules:constant",
        "cosine": "kdsnn.distill.schedules:cosine",
        "onecycle": "kdsnn.distill.schedules:onecycle",
    },
)
METHODS: Registry[Any] = Registry(
    "quantization method",
    "quantization methods",
    {
        "max": "kdsnn.export.quantization.methods.largest_weight:candidates",
        "mse": "kdsnn.export.quantization.methods.least_error:candidates",
        "percentile": "kdsnn.export.quantization.methods.percentile:candidates",
        "spikes": "kdsnn.export.quantization.methods.fewest_changes:SPIKES",
    },
)
FIGURES: Registry[Any] = Registry(
    "figure",
    "figures",
    {
        "accuracy": "kdsnn.report.drawings:accuracy",
        "energy": "kdsnn.report.drawings:energy",
        "layers": "kdsnn.report.drawings:layers",
        "noise-curves": "kdsnn.report.drawings:curves",
        "noisy-images": "kdsnn.report.paper_figures:noisy_images",
        "raster": "kdsnn.report.drawings:raster",
        "spike-sequence": "kdsnn.report.paper_figures:spike_sequence",
    },
)
NOISES: Registry[Any] = Registry(
    "kind of noise",
    "kinds of noise",
    {
        "gaussian": "kdsnn.data.image_noise:GAUSSIAN",
        "rotate": "kdsnn.data.image_noise:ROTATE",
        "back-rand": "kdsnn.data.image_noise:BACK_RAND",
        "back-image": "kdsnn.data.image_noise:BACK_IMAGE",
        "rot-back-image": "kdsnn.data.image_noise:ROT_BACK_IMAGE",
        "spike-drop": "kdsnn.noise.faults:SPIKE_DROP",
        "bit-flip": "kdsnn.noise.faults:BIT_FLIP",
    },
)
TARGETS: Registry[Any] = Registry(
    "target",
    "targets",
    {
        "gpu": "kdsnn.targets.gpu:GpuTarget",
        "lava": "kdsnn.targets.lava.adapter:LavaTarget",
        "nengo-loihi": "kdsnn.targets.nengo_loihi.adapter:NengoLoihiTarget",
        "onnx": "kdsnn.targets.onnx:OnnxTarget",
        "reference": "kdsnn.targets.reference:ReferenceTarget",
        "sanafe": "kdsnn.targets.sanafe.adapter:SanafeTarget",
    },
    group="kdsnn.targets",
)
WRITERS: Registry[Any] = Registry(
    "writer of NIR files",
    "writers of NIR files",
    {
        "by-hand": "kdsnn.export.foreign.writers:BY_HAND",
        "norse": "kdsnn.export.foreign.writers:NORSE",
        "sinabs": "kdsnn.export.foreign.writers:SINABS",
        "snntorch": "kdsnn.export.foreign.writers:SNNTORCH",
        "spikingjelly": "kdsnn.export.foreign.writers:SPIKINGJELLY",
    },
)
