"""What a text refers to: the name of a data set, a file or a folder, or a function of one's own.

    digits                  a name in `kdsnn.choices.DATASETS`; a folder of the same name is ./digits
    mine.npz, mine.npy      arrays
    photos                  images, in a folder for each class
    my_data.py:load         a function without arguments, or my_package.data:load

What exists under a text is that file or folder, unless the text is the name of a data set.
"""

from __future__ import annotations

from pathlib import Path

from kdsnn.choices import DATASETS
from kdsnn.own_code.functions import anchored, is_reference
from kdsnn.registry import nearest

__all__ = ["ARRAYS", "absolute", "is_function", "is_path", "nearest_path", "problem_of", "title_of"]

ARRAYS = (".npz", ".npy")


def absolute(text: str, base: Path) -> str:
    """The same reference, wherever it is read: a path is made absolute, and names and modules are left as they are.

    Args:
        text: what was written.
        base: the folder that a relative path starts from.
    """
    if not text or text in DATASETS:
        return text
    if _exists(base, text) or is_path(text):
        return _placed(base, text)
    return anchored(text, base) if is_function(text) else text


def problem_of(text: str) -> str | None:
    """Why an absolute reference is wrong by its looks, with what to do; None where only reading it can tell."""
    if is_path(text) or is_function(text):
        return None
    if text in DATASETS:
        return None
    if text.endswith(".py:"):
        return f"{text!r} names no function: FILE.py:FUNCTION"
    near = nearest(text, [*DATASETS, *_data_in(Path())])
    what_to_do = DATASETS.suggestion(text) if near is None else f"did you mean {near!r}?"
    return f"there is no data set {text!r}; {what_to_do} (nor a file or folder of that name)"


def nearest_path(path: Path) -> str | None:
    """What lies in the folder of a path that does not exist, may be data, and has the name most like it, if any has."""
    near = nearest(path.name, _data_in(path.parent))
    return None if near is None else str(path.with_name(near))


def is_function(text: str) -> bool:
    """Whether an absolute reference is that of a function."""
    return is_reference(text) and not _exists(Path(), text)


def is_path(text: str) -> bool:
    """Whether an absolute reference is a path."""
    looks = text.startswith((".", "~")) or text.endswith(ARRAYS) or "/" in text or "\\" in text
    return looks and not is_function(text)


def title_of(text: str) -> str:
    """What to call the data in results: a name, or the last part of a path, which is nobody's name."""
    if text in DATASETS:
        return text
    name = Path(text).name
    return f"./{name}" if name in DATASETS else name


def _data_in(folder: Path) -> list[str]:
    """The names of the folders and the files of arrays in a folder; none where it cannot be looked into."""
    try:
        found = [p.name for p in folder.iterdir() if p.suffix in ARRAYS or p.is_dir()]
    except OSError:
        return []
    return sorted(name for name in found if not name.startswith("."))


def _exists(base: Path, text: str) -> bool:
    try:
        return (base / Path(text).expanduser()).exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such home, a null byte
        return False


def _placed(base: Path, text: str) -> str:
    """Absolute, without `..`; a link in the last place stays a link, whose name may say what kind of file it is."""
    try:
        path = base / Path(text).expanduser()
        return str(path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve())
    except (OSError, RuntimeError, ValueError):
        return text
