"""What a module returned, looked at: the spikes of its last neurons, at each time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from kdsnn.export.lowering.linear_stream import Stream
from kdsnn.export.lowering.traced import Drive, Part, Total, Traced
from kdsnn.export.lowering.tracing import Stopped, Tracing

__all__ = ["chosen", "over_time"]


def chosen(tracing: Tracing, returned: Any) -> Traced:
    """Of what a module returns, the spikes of its last neurons; where it returns none, the one drive."""
    if tracing.problems:
        raise Stopped
    found = [one for one in _results(tracing, returned) if isinstance(one.parts[0], Drive | Total)]
    order = [population.name for population in tracing.builder.populations]
    spikes = [one for one in found if _stream_of(one).is_spikes and _stream_of(one).terms[0].source != order[0]]
    if spikes:
        return max(spikes, key=lambda one: order.index(_stream_of(one).terms[0].source))
    if len({id(_stream_of(one)) for one in found}) != 1:
        what = "nothing that spikes make" if not found else f"{len(found)} results, and none is spikes"
        tracing.stop(f"it returns {what}", "return the spikes of the last neurons, at all steps: torch.stack(spikes)")
    return found[0]


def _results(tracing: Tracing, returned: Any) -> list[Traced]:
    """The tensors that a module returns; a list with one for each time step is put together."""
    if isinstance(returned, Traced):
        return [returned]
    if isinstance(returned, list) and returned and all(isinstance(one, Traced) for one in returned):
        made = torch.stack(returned)
        return [made] if isinstance(made, Traced) else []
    values = list(returned.values()) if isinstance(returned, dict) else returned
    if isinstance(values, list | tuple):
        return [one for value in values for one in _results(tracing, value)]
    return []


def _stream_of(output: Traced) -> Stream:
    part = output.parts[0]
    assert isinstance(part, Drive | Total)  # noqa: S101  chosen so
    return part.stream


def over_time(tracing: Tracing, parts: Sequence[Part], timesteps: int | None) -> tuple[Stream, int]:
    """The stream that a module puts out at each time step, and the number of steps."""
    first = parts[0]
    if isinstance(first, Total):
        stream, steps = first.stream, list(first.steps)
    else:
        drives = [part for part in parts if isinstance(part, Drive)]
        stream, steps = drives[0].stream, [part.step for part in drives]
        if any(part.stream is not stream for part in drives):
            tracing.stop("what it returns is not the output of the same neurons at each time step")
        if len(steps) == 1 and steps[0] is None and timesteps is not None:
            steps *= timesteps  # the same at every step
    if set(steps) != {None} and steps != list(range(len(steps))):
        shown = ", ".join(str(1 + step) for step in steps[:5] if step is not None)
        tracing.stop(
            f"it returns the spikes of time steps {shown}{', ...' if steps[5:] else ''}, not of all in their order",
            "return those of all: torch.stack(spikes)",
        )
    if timesteps is not None and len(steps) != timesteps:
        tracing.stop(f"it makes {len(steps)} time steps, and {timesteps} are asked for")
    return stream, len(steps)
