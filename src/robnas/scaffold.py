"""`robnas new attack|probe NAME`: an installable plug-in package to start from."""

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from robnas import plugins
from robnas.errors import UserError, require, unknown
from robnas.words import Parser

KINDS = ("attack", "probe")
SHAPES = {
    "evasion": "an image is moved",
    "membership": "a score per input",
    "poisoning": "another training set",
    "backdoor": "a trigger",
    "stealing": "which inputs to ask about next",
}
"""Shape of an attack → what its author writes."""
FILES = {"module.py": "robnas_{name}.py", "config.yaml": "{name}.yaml", "test.py": "test_{name}.py"}
"""Template in `templates/<shape>`, or `templates/probe` → file of the package."""


def main(words: list[str]) -> None:
    """`robnas new attack|probe NAME [--shape SHAPE] [--out DIR]`. Raises UserError."""
    parser = Parser("robnas new", description="A plug-in package to start from: class, pyproject, config and test.")
    parser.add_argument("kind", metavar="KIND", help=f"what the plug-in adds: {' or '.join(KINDS)}")
    parser.add_argument("name", metavar="NAME", help="its short name in configs, such as my_attack")
    shapes = ", ".join(f"{shape} ({writes})" for shape, writes in SHAPES.items())
    parser.add_argument("--shape", metavar="SHAPE", help=f"of an attack, what its author writes: {shapes}; evasion unless given")
    parser.add_argument("--out", default=".", metavar="DIR", help="where the package's folder is made (the current folder)")
    options = parser.parse_args(words)
    if options.kind not in KINDS:
        raise unknown("kind of plug-in", options.kind, KINDS)
    require(options.kind == "attack" or options.shape is None, f"--shape: {options.shape!r} is of attacks; a {options.kind} has none")
    shape = options.shape or "evasion"
    folder = attack(options.name, Path(options.out), shape) if options.kind == "attack" else probe(options.name, Path(options.out))
    name = options.name
    print(f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    first = (folder / f"{name}.yaml").read_text("utf-8").partition("\n")[0].removeprefix("# ")
    print(f"next: pip install -e {folder} && {first.replace(f'{name}.yaml', str(folder / f'{name}.yaml'))}")


def attack(name: str, out: Path = Path(), shape: str = "evasion") -> Path:
    """Writes the package `robnas-<name>` into `out` and returns its folder.

    Raises:
        UserError: a name that cannot name a module or is taken, an unknown shape, or a folder that is there already.
    """
    if shape not in SHAPES:
        raise unknown("shape", shape, SHAPES)
    return _package("attack", name, out, shape)


def probe(name: str, out: Path = Path()) -> Path:
    """As `attack`, without a shape: the author of a probe writes `measure`."""
    return _package("probe", name, out, "probe")


def _package(kind: str, name: str, out: Path, template: str) -> Path:
    group = f"robnas.{kind}s"
    valid = re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None and not keyword.iskeyword(name)
    require(valid, f"NAME: {name!r} is no name for a module: small letters, digits and _ are, such as 'my_{kind}'")
    if (taken := plugins.available(group).get(name)) is not None:
        raise UserError(f"NAME: the {kind} {name!r} exists already, in {taken.provider}")
    dashed = name.replace("_", "-").strip("-")
    folder = out / f"robnas-{dashed}"
    if folder.exists():
        raise UserError(f"{folder} exists already; nothing is overwritten")
    values = {"name": name, "dashed": dashed, "cls": "".join(part.capitalize() for part in name.split("_")), "group": group}
    templates = resources.files("robnas") / "templates"
    made = {file.format(name=name): templates / template / f"{source}.txt" for source, file in FILES.items()}
    made["pyproject.toml"] = templates / "pyproject.toml.txt"
    written = {file: Template(source.read_text("utf-8")).substitute(values) for file, source in made.items()}
    folder.mkdir(parents=True)
    for file, text in written.items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder
