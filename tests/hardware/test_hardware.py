"""Hardware files: each figure with its source, synapse lists by hand, and wrong files."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import InputError, UsageError
from kdsnn.hardware.limits import CORE_LIMITS, hardware_names, load_hardware

ONE_LIMIT = "[[limits]]\nname='{}'\nvalue={}\nunit='u'\nsource='s'\ndate='d'\n"
NAMES = (*CORE_LIMITS, "cores", "weight_bits", "threshold_bits", "message_bits")
SYNAPSES = (
    "[synapses]\nweight_bits=8\nindex_bits=0\nheader_bits=0\nblock=64\nword_bits=8\nshared=true\n"
    "shared_axon_slots=1\nsource='s'\ndate='d'\n"
)


def text(**changed: str) -> str:
    limits = "".join(ONE_LIMIT.format(name, changed.get(name, "5")) for name in NAMES)
    return f"title='x'\n{limits}{SYNAPSES}"


def test_what_ships_says_where_every_figure_comes_from() -> None:
    assert hardware_names() == ["loihi1", "loihi2"]
    for name in hardware_names():
        hardware = load_hardware(name)
        assert {*hardware.limits, *hardware.missing} == {*NAMES}
        assert all(limit.source and limit.unit and limit.date for limit in hardware.limits.values())
        assert all(hardware.missing.values())
        assert hardware.synapses.source


def test_loihi1_as_published() -> None:
    hardware = load_hardware("loihi1")
    assert [hardware.most(name) for name in CORE_LIMITS] == [1024, 128 * 1024 * 8, 4096, 4096]
    assert hardware.cores == 128
    assert hardware.missing == {}


def test_loihi2_leaves_out_what_is_not_public() -> None:
    hardware = load_hardware("loihi2")
    assert [hardware.most(name) for name in CORE_LIMITS] == [8192, 128 * 1024 * 8, None, None]
    assert set(hardware.missing) == {"input_axons", "output_axons"}


@pytest.mark.parametrize(
    ("synapses", "dense", "indexed"),
    [
        (0, 0, 0),
        (1, 64, 64),  # 10 + 8, 10 + 18
        (3, 64, 64),  # 10 + 24, 10 + 54: one word full
        (4, 64, 128),  # 10 + 32, 10 + 72
        (64, 576, 1216),  # 10 + 512 = 522 -> 9 words, 10 + 1152 = 1162 -> 19 words
        (65, 640, 1280),  # and a block of one
    ],
)
def test_lists_of_loihi1_by_hand(synapses: int, dense: int, indexed: int) -> None:
    format_ = load_hardware("loihi1").synapses
    assert format_.list_bits(np.array([synapses]), indexed=False).tolist() == [dense]
    assert format_.list_bits(np.array([synapses]), indexed=True).tolist() == [indexed]


def test_ones_own_file_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text(cores="7"))
    hardware = load_hardware(str(tmp_path / "mine.toml"))
    assert (hardware.name, hardware.cores, hardware.most("neurons")) == ("mine", 7, 5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("title=", "is not TOML"),
        ("title='x'\n", "limits: this key is needed"),
        (text(neurons="0"), "value: Input should be greater than or equal to 1, not 0"),
        (text(neurons="true"), "value: Input should be a valid integer, not True"),
        (text(neurons="1.5"), "value: Input should be a valid integer, not 1.5"),
        (text().replace("source='s'", "source=''", 1), "source: String should have at least 1 character"),
        (text().replace("'weight_bits'", "'wait_bits'"), "name: Input should be 'neurons'"),
        (text().replace(ONE_LIMIT.format("weight_bits", 5), ""), "'weight_bits' is neither given nor named as missing"),
        (text() + "[[missing]]\nname='neurons'\nwhy='w'\n", "limit 'neurons' stands 2 times"),
        (text().replace(ONE_LIMIT.format("cores", 5), "[[missing]]\nname='cores'\nwhy='w'\n"), "must be given"),
        (text().replace("block=64", "block=0"), "synapses.block: Input should be greater than or equal to 1"),
        (text().replace("shared=true", "shared='yes'"), "synapses.shared: Input should be a valid boolean"),
        (text().replace("header_bits=0", "head=0"), "synapses.head: there is no such key"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "wrong.toml").write_text(content)
    with pytest.raises(InputError) as caught:
        load_hardware(str(tmp_path / "wrong.toml"))
    assert says in str(caught.value)


def test_an_unknown_name_suggests_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'loihi2'"):
        load_hardware("lohi2")
    with pytest.raises(UsageError, match="no hardware file"):
        load_hardware(str(tmp_path / "none.toml"))
