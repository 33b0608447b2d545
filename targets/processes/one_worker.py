"""A run by one worker that is not asked for more than a job: its folder, from the first file to the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kdsnn.errors import TargetUnavailableError
from kdsnn.targets.base import Computed, Progress
from kdsnn.targets.processes.folders import job_folder
from kdsnn.targets.processes.supervisor import Kind, run_workers

__all__ = ["images_done", "run_one", "script_kind"]

RUN_JOB = Path(__file__).with_name("worker") / "run_job.py"


def script_kind(
    name: str, python: str | Path, script: Path, variables: Mapping[str, str], *, talks: bool = True
) -> Kind:
    """Workers that run a script's `run(folder, job)`, and leave the number of images done in `progress`.

    Args:
        name: of what they run.
        python: that runs them.
        script: which, in the folder of the other scripts that it imports.
        variables: of their environment.
        talks: whether what they print says anything.
    """
    command = [str(python), "-B", "-X", "faulthandler", str(RUN_JOB), str(script)]
    return Kind(name, command, variables, "image", images_done, talks)


def run_one(
    kind: Kind,
    target: str,
    write: Callable[[Path], object],
    read: Callable[[Path], Computed],
    *,
    time_limit_s: float | None,
    progress: Progress | None,
) -> Computed:
    """Has a worker run a job in a temporary folder, which goes afterwards.

    Args:
        kind: of the worker.
        target: name of it.
        write: writes the job into the folder.
        read: what the worker left there.
        time_limit_s: seconds; without a limit, 600 s without an image end it.
        progress: called with the number of images done.

    Raises:
        TargetUnavailableError: the job cannot be written, or the worker was lost.
        TimedOutError: it took too long.
    """
    with job_folder(f"kdsnn-{target}-") as folder:
        try:
            write(folder)
        except OSError as error:
            raise TargetUnavailableError(f"the job for {kind.name} cannot be written to {folder}: {error}") from error
        report = (lambda done: progress(done[0])) if progress else None
        run_workers(kind, [folder], time_limit_s=time_limit_s, progress=report)
        return read(folder)


def images_done(job: Path) -> int:
    """How many images the worker of a job is through."""
    return int((job / "progress").read_text())
