"""Every command that README.md and docs/ tell a reader to type, found in the text and read by what it is for; nothing is run."""

import argparse
import contextlib
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from robnas.__main__ import _LIGHT, TRAINER_VERBS

REPOSITORY = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").glob("*.md"))]
SHELLS = ("", "bash", "console", "sh", "shell")
"""What stands behind the ``` of a block of commands; what a command prints stands in a block of `text`."""
BASE = {
    "model": {"class_path": "robnas.tasks.Classifier", "init_args": {"network": "resnet"}},
    "data": {"class_path": "robnas.data.Digits", "init_args": {}},
}
"""What a run folder that a command names would bring with it."""


@dataclass(frozen=True)
class Command:
    """A command of a page. inline: between the `…` of a sentence, where it may be half of one."""

    page: str
    line: int
    text: str
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def commands(page: str, text: str) -> Iterator[Command]:
    """In the order of the page; a line that goes on behind a backslash is one, two that are joined by && are two."""
    fence, begun = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        if mark := re.match(r"\s*(?:```|~~~)(\w*)", line):
            fence = mark[1] if fence is None else None
        elif fence is None:
            yield from (Command(page, number, told, inline=True) for told in re.findall(r"`(robnas \w[^`]*)`", line))
        elif fence in SHELLS or line.startswith("$ robnas "):
            told = begun + re.sub(r"\s#\s.*", "", line).strip()
            begun = told.removesuffix("\\") if told.endswith("\\") else ""
            typed = told.startswith("$ ") or fence != "console"
            if typed and told and not begun and not told.startswith("#"):
                yield from (Command(page, number, part.strip()) for part in told.removeprefix("$ ").split(" && "))


class Understood(Exception):  # noqa: N818
    """Of a program: it has read its arguments, and would begin."""


def understand(told: list[str], here: Path) -> None:
    """Have the words read by what they are for. here: the current folder, with the files of the page.

    Raises:
        UserError, SystemExit: they are not understood.
        AssertionError: no rule says what the program is.
    """
    program, rest = told[0], told[1:]
    if program == "robnas":
        _robnas(rest[0], rest[1:])
    elif program == "srun":
        understand(rest, here)
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        read = get_args_parser().parse_args(rest)
        assert read.module, told
        understand([read.training_script, *read.training_script_args], here)
    elif program == "python":
        assert (here / rest[0]).is_file(), f"no such file: {rest[0]}"
        if rest[0].startswith("tools/"):
            _until_read(lambda: _tool(here / rest[0], rest[1:]))
    elif program == "pip":
        _installable(rest, here)
    else:
        assert program == "pytest", f"what is {program!r}? {told}"


def _robnas(verb: str, rest: list[str]) -> None:
    if verb in TRAINER_VERBS:
        _trained(verb, rest)
    else:
        assert verb in _LIGHT, verb
        _until_read(lambda: _LIGHT[verb](rest))
        if verb == "study" and not rest[0].isupper():
            from robnas.study import file

            file.find(rest[0])


def _trained(verb: str, rest: list[str]) -> None:
    """As `robnas.cli.run`, as far as the configuration: every config, every name, every type."""
    from robnas.class_help import show
    from robnas.cli import CLI
    from robnas.configuration import flags
    from robnas.runtime import evaluated_config

    cli, cli.arguments = cli_of(verb), flags.parse(rest)
    if cli.arguments.help_for:
        with contextlib.redirect_stdout(None):
            show(*cli.arguments.help_for, None)
        return
    cli.arguments.print_config = False
    there = {"of_export": lambda *_: BASE, "beginning": lambda *_: BASE, "of_victim": lambda *_: {"data": BASE["data"]}}
    with mock.patch.multiple(evaluated_config, **there), mock.patch.object(cli.parser, "dump", return_value=f"{verb}: {{}}"):
        CLI.parse_arguments(cli, cli.parser, {"subcommand": verb})


@cache
def cli_of(verb):
    """The command line of a verb, built and with nothing to read: building it takes longer than all that it reads here."""
    from robnas.cli import CLI
    from robnas.configuration import flags

    class Built(CLI):
        def parse_arguments(self, parser, args):
            raise Understood

    built = Built.__new__(Built)
    _until_read(lambda: built.__init__(verb, flags.Arguments()))
    return built


def _until_read(call) -> None:
    """Call a program, and stop it as soon as its arguments are read."""
    read = argparse.ArgumentParser.parse_args

    def stop(self, *args, **kwargs):
        read(self, *args, **kwargs)
        raise Understood

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            call()
        except Understood:
            return
    raise AssertionError("its arguments were never read")


def _tool(file: Path, rest: list[str]) -> None:
    with mock.patch.object(sys, "argv", [str(file), *rest]), mock.patch.object(sys, "path", [str(file.parent), *sys.path]):
        runpy.run_path(str(file), run_name="__main__")


def _installable(rest: list[str], here: Path) -> None:
    """`install -e FOLDER` or `install -e .[extra]`: the folder is a package, and has the extra."""
    *how, what = rest
    assert how == ["install", "-e"], rest
    folder, _, extras = what.partition("[")
    root = REPOSITORY if folder == "." else here / folder
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    for extra in filter(None, extras.removesuffix("]").split(",")):
        assert extra in project["optional-dependencies"], f"no extra is called {extra}"
