"""README.md with absolute links, as a package index needs them, once pyproject.toml names where the repository is.

Until `[project.urls]` has a `Repository`, links are relative, and lead somewhere in a checkout alone.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def readme() -> str:
    """The text of README.md, with its links as they must be."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {})
    return absolute((ROOT / "README.md").read_text(), urls.get("Repository"))


def absolute(text: str, repository: str | None) -> str:
    """A text whose relative links lead to files of the repository; pictures to the files themselves.

    Args:
        text: Markdown.
        repository: address of the repository, as those of GitHub, GitLab or Codeberg; None leaves the links.
    """
    if repository is None:
        return text

    def link(found: re.Match[str]) -> str:
        picture, shown, path = found.groups()
        kind = "raw" if picture else "blob"
        return f"{picture}[{shown}]({repository.rstrip('/')}/{kind}/main/{path})"

    return RELATIVE.sub(link, text)
