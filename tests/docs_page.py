"""A page of docs/ as what it holds: files that it shows under their names, commands, Python, links."""

import re
from dataclasses import dataclass
from pathlib import Path

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
    text = (DOCS / name).read_text("utf-8")
    blocks = _BLOCK.findall(text)
    told = [line for file, kind, block in blocks if not kind and not file for line in block.splitlines()]
    python = [block for file, kind, block in blocks if kind == "python" and not file]
    return Page(text, {file: block for file, _, block in blocks if file}, told, python)
