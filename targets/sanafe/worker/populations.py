"""Populations on the chip: what the worker sets before a step, since SANA-FE's neurons have no such thing of their own.

SANA-FE's neuron keeps `v * (4096 - decay_v) / 4096`, cut to 1/64 towards zero, adds the bias and what arrived, and
fires above its threshold: in weight units the very equation of `kdsnn.network`, without the current u. What is missing
is set from outside: at the first step of an image, `v = 0` and the image's bias; and where a current keeps something,
at every step, what it kept, computed from the charge that SANA-FE says has arrived.
"""

import numpy as np

__all__ = ["ImagePort", "Spiking", "decay"]

UNIT = 64.0  # to a weight unit


def decay(x, keep):
    """`x` times `keep` 4096ths, rounded towards zero."""
    return np.sign(x) * (np.abs(x) * keep >> 12)


class ImagePort:
    """Neurons that fire at every step of an image where its pixel sends a message."""

    def __init__(self, neurons, messages, timesteps):
        self.neurons, self.messages, self.timesteps = list(neurons), messages, timesteps
        self.depth = 0
        self.on = np.zeros(len(self.neurons), dtype=bool)

    def prepare(self, step):
        """Shows the next image where one begins, and none after the last."""
        image, phase = divmod(step, self.timesteps)
        if phase or image > len(self.messages):
            return
        wanted = self.messages[image] if image < len(self.messages) else np.zeros_like(self.on)
        for index in np.flatnonzero(wanted != self.on):
            self.neurons[index].set_attributes(model_attributes={"bias": float(wanted[index])})
        self.on = wanted

    def after(self, step, charge):
        """Nothing arrives here."""


class Spiking:
    """Neurons that work on an image `depth` steps after it is first shown.

    Args:
        neurons: SANA-FE's, in order.
        depth: steps after the image.
        keep: 4096ths of the current that a step keeps.
        drive: `(2, samples or 1, neurons)`: synaptic drive and bias of each image, 64 to a weight unit.
        timesteps: of an image.
        samples: images.
    """

    def __init__(self, neurons, depth, keep, drive, timesteps, samples):
        self.neurons, self.depth, self.keep = list(neurons), depth, keep
        self.synaptic, self.bias = drive
        self.timesteps, self.samples = timesteps, samples
        self.current = np.zeros(len(self.neurons), dtype=np.int64)  # u after the last step

    def window(self, step):
        """Image and its time step that the population works on, or None before the first and after the last."""
        image, phase = divmod(step - self.depth, self.timesteps)
        return (image, phase) if 0 <= image < self.samples else None

    def prepare(self, step):
        """Sets what the neurons need before a step."""
        at = self.window(step)
        if at is None:
            if step == self.depth + self.samples * self.timesteps:
                self._set(np.zeros_like(self.current), fresh=True)
            return
        image, phase = at
        if phase == 0:
            self.current[:] = 0
        if phase == 0 or self.keep:
            row = image if len(self.bias) > 1 else 0
            self._set(self.synaptic[row] + self.bias[row] + decay(self.current, self.keep), fresh=phase == 0)

    def after(self, step, charge):
        """Follows the current; `charge` is what arrived for each neuron, in weight units."""
        at = self.window(step)
        if at is None or not self.keep:
            return
        row = at[0] if len(self.bias) > 1 else 0
        arrived = (np.asarray(charge) * UNIT).astype(np.int64)
        self.current = decay(self.current, self.keep) + arrived + self.synaptic[row]

    def _set(self, bias, *, fresh):
        """The bias of each neuron, 64 to a weight unit, and its potential to zero where an image begins."""
        more = {"potential": 0.0} if fresh else {}
        for neuron, value in zip(self.neurons, (bias / UNIT).tolist(), strict=True):
            neuron.set_attributes(model_attributes={"bias": value, **more})
