"""The numpy linear maps equal torch's, whose meaning of a convolution is ours."""

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.network import Conv2d
from kdsnn.network.linear_maps import apply
from kdsnn.testing import random_network


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_apply_equals_torch(seed: int) -> None:
    network = random_network(seed)
    rng = np.random.default_rng(seed)
    for projection in network.projections:
        op = projection.op
        x = rng.integers(-50, 50, (2, *network.population(projection.source).shape))
        weight, messages = torch.tensor(op.weight).double(), torch.from_numpy(x).double()
        if isinstance(op, Conv2d):
            expected = F.conv2d(messages, weight, None, op.stride, op.padding, op.dilation, op.groups)
        else:
            expected = messages.flatten(1) @ weight.T
        result = apply(op, x)
        assert result.dtype == np.int64
        assert np.array_equal(result, expected.numpy())
