"""A page of docs/ as what it holds: files that it shows under their names, commands, Python, links."""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from robnas import plugins

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"(?:^[^\n]*`([\w./-]+\.\w+)`:\n\n)?^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """files: by name, a block whose line above ends with "`name`:". commands: of blocks without a language. python: without a name."""

    text: str
    files: dict[str, str]
    commands: list[str]
    python: list[str]

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def links(self) -> list[str]:
        return re.findall(r"\]\((?!https?:)([^)#]+)", self.text)


def page(name: str) -> Page:
    """name: path from docs/."""
    text = (DOCS / name).read_text("utf-8")
    blocks = _BLOCK.findall(text)
    told = [line for file, kind, block in blocks if not kind and not file for line in block.splitlines()]
    python = [block for file, kind, block in blocks if kind == "python" and not file]
    return Page(text, {file: block for file, _, block in blocks if file}, told, python)


def installed(folder: Path, site: Path) -> None:
    """What `pip install -e FOLDER` does: the folder on the path, the entry points in a dist-info below `site`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()) for group, points in project["entry-points"].items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path[:0] = [str(site), str(folder)]
    plugins.refresh()


def forgotten(folder: Path, path: list[str], modules: set[str]) -> None:
    """Takes back what a page has brought in: `sys.path` and `sys.modules` as they were, but for what is no page's. For fixtures."""
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(folder) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]
    plugins.refresh()
