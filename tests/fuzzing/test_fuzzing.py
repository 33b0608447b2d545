"""Mutated files of every kind that is read from anybody: what reads them returns, or says what is wrong with the file.

CI reads 300 of them; the long suite 10,000 (`uv run pytest -m long tests/fuzzing -s` shows their count and seed).
"""

import resource
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kdsnn.errors import InputError
from tests.fuzzing.kinds import KINDS

SEED = 2026
IN_CI, IN_ALL = 300, 10_000
MOST_S, MOST_KIB = 10, 2 * 2**20  # of one file; seconds of this process, whatever else the machine does


def read_many(kind: str, count: int, folder: Path) -> int:
    """Reads so many mutated files of a kind; the number of those that were refused."""
    refused = 0

    @seed(SEED)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def read(data: st.DataObject) -> None:
        nonlocal refused
        name, content = data.draw(KINDS[kind].case)
        shutil.rmtree(folder / "one", ignore_errors=True)
        (folder / "one").mkdir()
        (folder / "one" / name).write_bytes(content)
        began = time.process_time()
        try:
            KINDS[kind].read(folder / "one" / name)
        except InputError:  # anything else fails the test
            refused += 1
        assert time.process_time() - began < MOST_S

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB
    return refused


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    assert read_many(kind, IN_CI // len(KINDS), tmp_path) > 0


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_mutated_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    count, began = -(-IN_ALL // len(KINDS)), time.monotonic()
    refused = read_many(kind, count, tmp_path)
    print(f"{kind}: {count} files, {refused} refused, seed {SEED}, {time.monotonic() - began:.0f} s")  # noqa: T201  the count belongs in the log
    assert refused > 0
