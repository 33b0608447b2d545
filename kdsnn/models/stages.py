"""Where each model's stages end: the feature maps that a student and its teacher are compared at.

Names are those of `named_modules()`. A student's are populations, so their features are spikes. A teacher's are taken
before a ReLU: what goes into a ReLU, or what a BatchNorm puts out in front of one. Of a pre-activation net that is the
first BatchNorm of the next stage, and so a student's is the first population of the next stage.
"""

from __future__ import annotations

__all__ = ["STUDENT_STAGES", "TEACHER_STAGES"]

STUDENT_STAGES: dict[str, tuple[str, ...]] = {
    "2conv": ("if1", "if2"),
    "preresnet20": ("blocks.3.if1", "blocks.6.if1", "last"),
    "resnet14": ("blocks.0.if2", "blocks.2.if2", "blocks.4.if2", "blocks.5.if2"),
    "resnet18": ("blocks.1.if2", "blocks.3.if2", "blocks.5.if2", "blocks.7.if2"),
    "vgg11": ("if1", "if2", "if4", "if6", "if8"),
    "vgg16": ("if2", "if4", "if7", "if10", "if13"),
    "wrn16-2": ("blocks.2.if1", "blocks.4.if1", "last"),
}
TEACHER_STAGES: dict[str, tuple[str, ...]] = {
    "cnn": ("5", "12", "16"),
    "preresnet20": ("blocks.3.norm1", "blocks.6.norm1", "norm"),
    "pyramidnet18": ("blocks.4.norm1", "blocks.8.norm1", "norm"),
    "resnet18": ("blocks.1.relu", "blocks.3.relu", "blocks.5.relu", "blocks.7.relu"),
    "wrn28-4": ("blocks.4.norm1", "blocks.8.norm1", "norm"),
}
