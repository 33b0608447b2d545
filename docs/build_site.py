"""Builds the site in build/site/html: `uv run --group site python docs/build_site.py`.

The pages are those of docs/ as they are, and those of the rest of the repository that a reader needs. They are gathered
in one flat folder, their links to each other are made to fit it, and Zensical makes HTML of them. Whatever it warns of
is an error, and so is a page that the navigation leaves out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "zensical.toml"
ELSEWHERE = {  # pages that do not lie in docs/, by the name that each has on the site
    "benchmarks/README.md": "measurements.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
SHOWN = ("*.md", "*.ipynb", "*.css", "images/*.svg")  # of docs/; all else there makes pages, and is none
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")


class SiteError(Exception):
    """The site cannot be built; the text says why."""


def site_names() -> dict[Path, str]:
    """The files that the site is made of, each with its place in the flat folder."""
    docs = {path: path.relative_to(ROOT / "docs").as_posix() for glob in SHOWN for path in (ROOT / "docs").glob(glob)}
    return docs | {ROOT / path: name for path, name in ELSEWHERE.items()}


def gather(folder: Path) -> None:
    """Copies the pages, with links that fit.

    Raises:
        SiteError: a link leads to what is not on the site.
    """
    shutil.rmtree(folder, ignore_errors=True)
    names = site_names()
    for path, name in names.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            copy.write_text(_relinked(path, names))
        else:
            shutil.copyfile(path, copy)


def left_out() -> list[str]:
    """Pages that the navigation does not lead to, and those that it names and are not there."""
    pages = {name for name in site_names().values() if name.endswith(".md")}
    return sorted(pages ^ set(navigation()))


def navigation() -> list[str]:
    """The pages that the navigation leads to, in its order."""
    return list(_pages(tomllib.loads(CONFIG.read_text())["project"]["nav"]))


def build() -> Path:
    """Builds the site, and returns the folder of its HTML.

    Raises:
        SiteError: Zensical, or what reads the docstrings, has said anything but that it is at work.
    """
    if lost := left_out():
        raise SiteError(f"zensical.toml and the pages differ: {', '.join(lost)}")
    gather(ROOT / "build" / "site" / "pages")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    quiet = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)  # noqa: S603
    if wrong := complaints(done.returncode, done.stdout + done.stderr):
        raise SiteError(wrong)
    return ROOT / "build" / "site" / "html"


def complaints(code: int, said: str) -> str:
    """What was wrong with a build, from its exit code and what it printed: `--strict` looks at no docstring."""
    if code:
        return said.strip() or f"zensical ended with {code}"
    return "\n".join(re.findall(r"^(?:griffe|mkdocstrings|autorefs)\b.*|^.*\b[Ww]arning\b.*", said, re.MULTILINE))


def _relinked(page: Path, names: dict[Path, str]) -> str:
    """The text of a page, whose links lead to the places that the files have on the site; blocks of code stay."""

    def place(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(page.parent / link[2]))
        if path not in names:
            raise SiteError(f"{page.relative_to(ROOT)} leads to {link[2]}, which is not on the site")
        return link[1] + names[path]

    text, parts, begin = page.read_text(), [], 0
    for block in FENCED.finditer(text):
        parts += [LINK.sub(place, text[begin : block.start()]), block[0]]
        begin = block.end()
    return "".join([*parts, LINK.sub(place, text[begin:])])


def _pages(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from _pages(value)


if __name__ == "__main__":
    try:
        print(build())  # noqa: T201
    except SiteError as error:
        sys.exit(str(error))
