"""What a file's writer leaves out is asked for where the file shows the writer, and known where the user names it."""

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest

from kdsnn.errors import InputError, LoweringError, UsageError
from tests.export.foreign.foreign_graphs import DT, HEAD, chain, conv, cuba, fire, lif, read, weights

STEP = 1e-4  # that snntorch writes for


def as_snntorch(shape: Any, beta: float = 0.9, alpha: float | None = None) -> nir.NIRNode:
    """A Leaky or a Synaptic by the lines of snntorch 1.0.0's exporter, in its float32."""
    with np.errstate(divide="ignore"):
        tau, tau_syn = (np.full(shape, STEP, np.float32) / (1 - np.float32(x)) for x in (beta, alpha or 0))
    ones, rest = np.ones(shape, np.float32), {"v_leak": np.zeros(shape, np.float32)}
    rest |= {"v_threshold": ones, "v_reset": 0 * ones, "r": tau / STEP}
    return nir.LIF(tau=tau, **rest) if alpha is None else nir.CubaLIF(tau_syn, tau, w_in=tau_syn / STEP, **rest)


def net(*neurons: nir.NIRNode) -> nir.NIRGraph:
    return chain(conv(3, 2, padding=1), neurons[0], *HEAD[:2], neurons[-1])


LOOKS = {
    "leaky": net(as_snntorch((3, 8, 6)), as_snntorch(5)),
    "of one number": net(as_snntorch(())),
    "synaptic": net(as_snntorch((3, 8, 6), 0.5, 0.8), as_snntorch(5)),
    "without a leak": net(as_snntorch((3, 8, 6), 1.0), as_snntorch(5, 1.0)),
}


@pytest.mark.parametrize("case", LOOKS)
def test_a_file_as_snntorch_writes_it_is_asked_for_its_reset(case: str) -> None:
    with pytest.raises(
        InputError, match=r"looks like a file of snntorch.*v_reset = 0 whatever(.|\n)*--reset zero"
    ) as no:
        read(LOOKS[case], dt=None)
    assert len(no.value.problems) == (1 if case == "without a leak" else 2), "the time step, where it matters"
    with pytest.raises(InputError, match="looks like a file of snntorch"):
        read(LOOKS[case], dt=STEP)
    network = read(LOOKS[case], dt=STEP, reset="zero")
    assert network.fingerprint() == read(LOOKS[case], dt=None, reset="zero", writer="snntorch").fingerprint()
    assert network.fingerprint() == read(LOOKS[case], dt=STEP, writer="by-hand").fingerprint()
    assert read(LOOKS[case], dt=None, writer="spikingjelly").provenance["fires_at"] == ">="
    assert ("reset_delay=False" in network.provenance.get("doubt", "")) == (case == "synaptic")


@pytest.mark.parametrize("case", LOOKS)
def test_a_reset_by_subtraction_is_as_the_writer_does_it(case: str) -> None:
    """snnTorch takes the threshold from the potential a step later, when a share of it is lost already."""
    for population in read(LOOKS[case], dt=STEP, reset="none").spiking:
        assert population.model.reset_by == (None if population.name.startswith("steady") else 0)
    late, at_once = (
        read(LOOKS[case], dt=STEP, reset="subtract", writer=writer).output.model for writer in ("snntorch", "by-hand")
    )
    assert at_once.reset_by == at_once.threshold
    assert late.reset_by == pytest.approx(late.threshold / (1 - late.decay_v), rel=1e-12)
    assert read(LOOKS[case], dt=STEP, reset="subtract").output.model.reset_by == late.reset_by
    ties = read(LOOKS[case], dt=STEP, reset="subtract", writer="by-hand", fires_at=">=").output.model
    assert (ties.reset_by, ties.threshold < at_once.threshold) == (at_once.reset_by, True)


def test_a_late_subtraction_from_a_potential_that_forgets_is_refused() -> None:
    with pytest.raises(LoweringError, match="forgets its potential in a step"):
        read(net(as_snntorch((3, 8, 6), 0.0), as_snntorch(5)), dt=STEP, reset="subtract")


def test_who_names_the_writer_is_asked_where_its_files_never_say() -> None:
    graph = chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD)
    for writer in ("snntorch", "sinabs"):
        with pytest.raises(InputError, match=f"files of {writer} say v_reset = 0 whatever"):
            read(graph, writer=writer)
        read(graph, writer=writer, reset="zero")
    for writer in ("norse", "spikingjelly", "by-hand"):
        read(graph, writer=writer)
    with pytest.raises(UsageError, match=r"no writer of NIR files 'spyking'(.|\n)*spikingjelly"):
        read(graph, writer="spyking")


def test_a_step_that_the_file_contradicts() -> None:
    for dt in (1e-3, 1e-5):
        with pytest.raises(InputError, match=f"written for steps of 1e-4 s .*--dt is {dt:g}"):
            read(LOOKS["leaky"], dt=dt, reset="zero")
    assert read(LOOKS["leaky"], dt=1e-5, writer="by-hand").output.model.decay_v == pytest.approx(0.01)
    read(LOOKS["without a leak"], dt=1e-3, reset="zero")


@pytest.mark.parametrize(
    "graph",
    [
        net(lif(3, 8, 6), lif(5)),
        net(cuba(3, 8, 6), cuba(5)),
        net(as_snntorch((3, 8, 6)), fire(5)),
        net(nir.LIF(np.full(1, 1e-2), np.full(1, 100.0), np.full(1, 0.1), np.ones(1))),
        chain(nir.Linear(weights(5, 96)), nir.LI(np.full(5, 1e-3), np.full(5, 10.0), np.zeros(5)), shape=(96,)),
    ],
)
def test_what_does_not_look_like_it_is_taken_at_its_word(graph: nir.NIRGraph) -> None:
    assert "doubt" not in read(graph, dt=DT).provenance


def named_by_place(*nodes: nir.NIRNode) -> nir.NIRGraph:
    named = {"input": nir.Input(np.array([2, 8, 6])), **{str(i): node for i, node in enumerate(nodes)}}
    named["output"] = nir.Output(np.array([5]))
    return nir.NIRGraph(named, list(pairwise(named)), type_check=False)


def test_what_may_be_of_sinabs_carries_a_doubt() -> None:
    graph = named_by_place(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD)
    assert "sinabs fires at v >= threshold" in read(graph).provenance["doubt"]
    assert "doubt" not in read(graph, reset="zero").provenance
    said = read(graph, writer="sinabs", reset="zero").provenance
    assert (said["fires_at"], said["solve"], said["writer"]) == (">=", "exact", "sinabs")
    assert "doubt" not in read(chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD)).provenance


def test_what_the_user_says_comes_before_what_the_writer_does() -> None:
    graph = chain(conv(3, 2, padding=1), lif(3, 8, 6), *HEAD)
    said = read(graph, writer="spikingjelly", fires_at=">", dt=1e-3).provenance
    assert (said["fires_at"], said["dt"]) == (">", "0.001")
    assert read(graph, writer="spikingjelly", dt=None).provenance["dt"] == "0.0001"
