"""The temporary folder of a job: it goes whatever happens, an interruption in the middle of its removal included."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["job_folder"]


@contextmanager
def job_folder(prefix: str) -> Iterator[Path]:
    """A new folder in the place for temporary files, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:
            shutil.rmtree(folder, ignore_errors=True)
            raise
