"""AEDAT files: each version by bytes that the test writes from its published description, and what is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

import aedat
import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.data.events.binning import Binning, to_frames
from kdsnn.data.events.recordings import read_recording
from kdsnn.data.sources.load import load_data
from kdsnn.data.sources.source import Reading
from kdsnn.errors import InputError, MissingExtraError
from tests.data.events.made import (
    PACKINGS,
    Events,
    by_hand,
    packet3,
    some_events,
    write_aedat2,
    write_aedat3,
    write_aedat4,
)

SIZE = (128, 128)
OBJECTS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
Writer = Callable[[Path, Events], None]
WRITERS: dict[str, Writer] = {"2.aedat": write_aedat2, "3.aedat": write_aedat3, "4.aedat4": write_aedat4}


def is_read_as(path: Path, events: Events) -> bool:
    return all(np.array_equal(read, events[k]) for k, read in zip("xytp", read_recording(path), strict=True))


def refusal(path: Path) -> tuple[InputError | None, tuple[np.ndarray, ...]]:
    """Why a file is refused, or its events."""
    try:
        return None, read_recording(path)
    except InputError as error:
        return error, ()


@pytest.mark.parametrize("name", WRITERS)
def test_every_version_has_the_same_events(name: str, tmp_path: Path) -> None:
    events = some_events(1, SIZE)
    WRITERS[name](tmp_path / name, events)
    assert is_read_as(tmp_path / name, events)
    assert np.array_equal(to_frames(*read_recording(tmp_path / name), SIZE, Binning(5)), by_hand(events, SIZE, 5))


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_fourth_version_packed_in_each_way(packing: str, tmp_path: Path) -> None:
    events = some_events(2, SIZE)
    write_aedat4(tmp_path / "one.aedat4", events, packing)
    assert is_read_as(tmp_path / "one.aedat4", events)


@pytest.mark.parametrize("packing", PACKINGS)
def test_another_decoder_reads_the_files_of_these_tests(packing: str, tmp_path: Path) -> None:
    """Otherwise our reader could be right about nothing but our writer."""
    events = some_events(2, SIZE)
    write_aedat4(tmp_path / "one.aedat4", events, packing)
    packets = [p["events"] for p in aedat.Decoder(tmp_path / "one.aedat4") if "events" in p]
    assert len(packets) == 2
    for name, values in events.items():
        assert np.array_equal(np.concatenate(packets)[name], values)


@pytest.mark.peers
@pytest.mark.parametrize("packing", PACKINGS)
def test_files_that_dv_writes(packing: str, tmp_path: Path) -> None:
    import dv_processing as dv

    events = some_events(3, SIZE, 30_000)
    events["t"] += 1_600_000_000_000_000  # microseconds since 1970: more than 32 bits
    config = dv.io.MonoCameraWriter.Config("made")
    config.compression = getattr(dv.CompressionType, packing)
    config.addEventStream(SIZE)
    writer, store = dv.io.MonoCameraWriter(str(tmp_path / "one.aedat4"), config), dv.EventStore()
    for row in zip(*(events[k].tolist() for k in "txyp"), strict=True):
        store.push_back(*row[:3], bool(row[3]))
    writer.writeEvents(store)
    del writer  # closes the file, with its table of packets
    assert is_read_as(tmp_path / "one.aedat4", events)


def test_the_version_decides_and_not_the_name(tmp_path: Path) -> None:
    events = some_events(4, SIZE)
    write_aedat4(tmp_path / "one.aedat", events)
    assert is_read_as(tmp_path / "one.aedat", events)


def test_times_go_on_beyond_31_bits(tmp_path: Path) -> None:
    path = tmp_path / "one.aedat"
    write_aedat3(path, some_events(5, SIZE))
    late = packet3(1, [(1 | 3 << 17).to_bytes(4, "little") + (9).to_bytes(4, "little")], overflows=2)
    path.write_bytes(path.read_bytes() + late)
    x, _, t, p = read_recording(path)
    assert (x[-1], t[-1], p[-1]) == (3, 2 * 2**31 + 9, 0)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_is_refused(name: str, tmp_path: Path) -> None:
    """At every byte; but where an event or a packet ends, files without a table do not tell."""
    path, events = tmp_path / name, some_events(6, SIZE, 12)
    WRITERS[name](path, events)
    whole, refused = path.read_bytes(), 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        error, read = refusal(path)
        if error is not None:
            assert name in str(error)
            assert error.hint
            refused += 1
        for key, values in zip("xytp", read, strict=False):
            assert np.array_equal(values, events[key][: len(values)])
    assert refused > 0.75 * len(whole)


def test_a_file_that_is_damaged_never_does_more_than_be_refused(tmp_path: Path) -> None:
    rng, refused = np.random.default_rng(7), 0
    for name, write in WRITERS.items():
        write(tmp_path / name, some_events(7, SIZE, 12))
        whole = (tmp_path / name).read_bytes()
        for _ in range(200):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 3):
                damaged[place] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
            refused += refusal(tmp_path / name)[0] is not None
    assert refused > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no AEDAT file"),
        (b"#!AER-DAT3.0\r\n", "is AEDAT 3.0; 2.0, 3.1 and 4.0 are read"),
        (b"#!AER-DAT3.1\r\n#Format: SerialTS\r\n", "is packed: Format: SerialTS"),
        (b"#!AER-DAT2.0\r\n" + bytes([0x10, 0, 0, 0, 0, 0, 0, 1]), "addresses of another camera than a DVS128"),
    ],
)
def test_what_is_not_known_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "one.aedat").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_recording(tmp_path / "one.aedat")
    assert "numpy.savez" in (caught.value.hint or "")


def test_another_camera_is_refused_by_name(tmp_path: Path) -> None:
    write_aedat2(tmp_path / "one.aedat", some_events(8, SIZE), camera="eu.seebetter.ini.chips.davis.Davis240C")
    with pytest.raises(InputError, match=r"of the camera eu\.seebetter\.ini\.chips\.davis\.Davis240C, not of a DVS128"):
        read_recording(tmp_path / "one.aedat")


def test_two_cameras_in_one_file_are_refused(tmp_path: Path) -> None:
    write_aedat4(tmp_path / "one.aedat4", some_events(9, SIZE), streams=(0, 1))
    with pytest.raises(InputError, match="holds 2 streams of events, not one"):
        read_recording(tmp_path / "one.aedat4")


@pytest.mark.parametrize(("packing", "package"), [("LZ4", "lz4"), ("ZSTD", "zstandard")])
def test_without_what_unpacks_it_says_what_to_install(
    packing: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_events(10, SIZE)
    write_aedat4(tmp_path / "one.aedat4", events, packing)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=package) as caught:
        read_recording(tmp_path / "one.aedat4")
    assert "kdsnn[events]" in (caught.value.hint or "")
    write_aedat4(tmp_path / "one.aedat4", events, "NONE")
    assert is_read_as(tmp_path / "one.aedat4", events)


def write_cifar(root: Path, suffix: str, *, of_each: int = 3) -> dict[str, Events]:
    """What lies in each file of a small CIFAR10-DVS."""
    made = {}
    for label, name in enumerate(OBJECTS):
        for i in range(of_each):
            path = root / "CIFAR10DVS" / name / f"cifar10_{name}_{i}{suffix}"
            made[str(path)] = some_events(100 * label + i, SIZE)
            (write_aedat4 if suffix == ".aedat4" else write_aedat2)(path, made[str(path)])
    return made


@pytest.mark.parametrize("suffix", [".aedat4", ".aedat"])
def test_cifar10_dvs(suffix: str, tmp_path: Path) -> None:
    made = write_cifar(tmp_path, suffix)
    read = load_dataset("cifar10-dvs", tmp_path, Binning(3))
    assert read.image_shape == (3, 2, *SIZE)
    assert (len(read.train.labels), len(read.test.labels)) == (27, 3)
    wanted = {by_hand(e, SIZE, 3).tobytes(): OBJECTS.index(Path(path).parent.name) for path, e in made.items()}
    found = {f.tobytes(): int(n) for s in (read.train, read.test) for f, n in zip(s.images, s.labels, strict=True)}
    assert found == wanted
    assert list(read.labels) == OBJECTS
    as_folder = load_data(tmp_path / "CIFAR10DVS", Reading(steps=3, sensor=SIZE))
    assert {f.tobytes() for s in (as_folder.train, as_folder.test) for f in s.images} == set(wanted)


def test_a_cifar10_dvs_that_is_broken_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path, ".aedat4", of_each=1)
    one = tmp_path / "CIFAR10DVS/frog/cifar10_frog_0.aedat4"
    whole = one.read_bytes()
    one.write_bytes(whole[:-9])
    with pytest.raises(InputError, match=r"cifar10_frog_0\.aedat4 is broken: it ends within a packet"):
        load_dataset("cifar10-dvs", tmp_path, Binning(2))
    one.write_bytes(whole)
    write_cifar(tmp_path, ".aedat", of_each=1)
    with pytest.raises(InputError, match="holds recordings in two formats"):
        load_dataset("cifar10-dvs", tmp_path, Binning(2))
    for file in (tmp_path / "CIFAR10DVS").glob("*/*.aedat"):
        file.unlink()
    one.rename(one.parent / "other.txt")
    with pytest.raises(InputError, match="has other folders than one for each class: frog"):
        load_dataset("cifar10-dvs", tmp_path, Binning(2))
