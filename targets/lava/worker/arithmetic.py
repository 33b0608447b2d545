"""Exact integer arithmetic on Lava's layouts, as matrix products: `(X, Y, C)` messages, `(C_out, X, Y, C_in)` kernels.

The stock Conv model of Lava loops over channel pairs in Python. This one copies the input's windows into one matrix and
multiplies. Products and sums are integers; a float type is exact while every partial sum stays below its mantissa, so
float32 serves where the bound allows it and float64 everywhere else.
"""

import numpy as np

FLOAT32_EXACT = 2**24  # integers below are exact in float32


def exact_float(weight, largest_message):
    """The smallest float type in which `weight @ message` is exact, for a weight whose first axis is the output."""
    rows = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(axis=1)
    return np.float32 if rows.max(initial=0) * largest_message < FLOAT32_EXACT else np.float64


class Convolution:
    """A true convolution (the kernel is flipped) of one input at a time, and its count of synaptic events.

    Args:
        weight: `(C_out, X, Y, C_in / groups)` integers.
        input_shape: `(X, Y, C_in)`.
        stride, padding, dilation: pairs in (X, Y) order.
        groups: number of channel groups.
        largest_message: bound of an input value.
    """

    def __init__(self, weight, input_shape, stride, padding, dilation, groups, largest_message):
        c_out, kernel_x, kernel_y, c_group = weight.shape
        self.dtype = exact_float(weight, largest_message)
        self.out_per_group = c_out // groups
        size_x, size_y = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(input_shape[:2], padding, dilation, (kernel_x, kernel_y), stride, strict=True)
        )
        self.output_shape = (size_x, size_y, c_out)

        padded = np.zeros(
            (input_shape[0] + 2 * padding[0], input_shape[1] + 2 * padding[1], input_shape[2]), self.dtype
        )
        self._inside = padded[padding[0] : padding[0] + input_shape[0], padding[1] : padding[1] + input_shape[1]]
        step_x, step_y, step_c = padded.strides
        self._windows = np.lib.stride_tricks.as_strided(
            padded,
            (groups, size_x, size_y, kernel_x, kernel_y, c_group),
            (
                step_c * c_group,
                step_x * stride[0],
                step_y * stride[1],
                step_x * dilation[0],
                step_y * dilation[1],
                step_c,
            ),
            writeable=False,
        )
        self._columns = np.zeros(self._windows.shape, self.dtype)
        self._matrix = self._columns.reshape(groups, size_x * size_y, -1)
        taps = weight[:, ::-1, ::-1].reshape(groups, self.out_per_group, -1).transpose(0, 2, 1)
        self._taps = np.ascontiguousarray(taps, dtype=self.dtype)
        self._nonzero_taps = np.count_nonzero(taps, axis=2)  # (groups, taps): synapses with weight behind each tap
        self._ones = np.ones(size_x * size_y, self.dtype)

    def load(self, messages):
        """Copies the windows of `(X, Y, C_in)` messages into the matrix that `sums` and `events` work on."""
        self._inside[...] = messages
        np.copyto(self._columns, self._windows)

    def sums(self):
        """The synaptic input `(X, Y, C_out)` int32 of the loaded messages."""
        product = self._matrix @ self._taps  # (groups, positions, C_out / groups)
        return product.transpose(1, 0, 2).reshape(self.output_shape).astype(np.int32)

    def events(self, binary):
        """Arrivals of the loaded nonzero messages at synapses: all, and those of a weight that is not zero.

        Args:
            binary: whether all messages are zeros and ones, which saves a comparison.
        """
        arrived = self._matrix if binary else (self._matrix != 0).astype(self.dtype)
        per_tap = (self._ones @ arrived).astype(np.int64)  # each padded border is zero and never arrives
        return int(per_tap.sum()) * self.out_per_group, int((per_tap * self._nonzero_taps).sum())


class MatrixProduct:
    """A dense connection of one input at a time, and its count of synaptic events.

    Args:
        weight: `(out, in)` integers.
        largest_message: bound of an input value.
    """

    def __init__(self, weight, largest_message):
        self.outputs = len(weight)
        self._weight = np.ascontiguousarray(weight, dtype=exact_float(weight, largest_message))
        self._nonzero = np.count_nonzero(weight, axis=0)

    def sums(self, messages):
        """The accumulated input `(out,)` int32 of `(in,)` messages."""
        return (self._weight @ messages.astype(self._weight.dtype)).astype(np.int32)

    def events(self, messages):
        """Arrivals of nonzero messages at synapses: all, and those of a weight that is not zero."""
        arrived = messages != 0
        return int(np.count_nonzero(arrived)) * self.outputs, int(self._nonzero[arrived].sum())
