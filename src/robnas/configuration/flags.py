"""The command line of a verb: config names, runs, and flags that are edits of the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from robnas.configuration.merging import merge
from robnas.configuration.naming import BLOCK_KEYS, Path, expand, group_at, is_block
from robnas.configuration.reading import read_value
from robnas.errors import UserError

_ALONE = {"--overwrite", "--print_config", "--help", "-h"}
"""Flags that take no value of the word that follows them."""


@dataclass
class Arguments:
    """What stands behind the verb. edits: (dotted name, value); help_for: (place, class) of `--attacks.help=pgd`, the class None
    where it has no value."""

    configs: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    edits: list[tuple[str, Any]] = field(default_factory=list)
    print_config: bool = False
    help: bool = False
    help_for: tuple[str, str | None] | None = None


def parse(words: Sequence[str]) -> Arguments:
    """`RUN --config F --key.sub=value --key value` in any order; a flag without a value is true.

    Raises:
        UserError: a word that is no flag is taken for a run; a flag without a name.
    """
    out, rest = Arguments(), list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            out.runs.append(word)
            continue
        name, equals, value = word.partition("=")
        if not equals:
            takes = bool(rest) and (rest[0].lower() in ("true", "false") if name in _ALONE else _is_value(rest[0]))
            value = rest.pop(0) if takes else "true"
        if name in ("-c", "--config"):
            if not equals and not takes:
                raise UserError("--config needs the name of a config, such as --config darts_iii.yaml")
            out.configs.append(value)
        elif name in ("-h", "--help"):
            out.help = True
        elif name.endswith(".help"):
            out.help_for = (name.lstrip("-").removesuffix(".help"), value if equals or takes else None)
        elif name == "--print_config":
            out.print_config = True
        elif name.startswith("--") and name[2:].strip("."):
            out.edits.append((name[2:], read_value(value)))
        else:
            raise UserError(f"{word!r} is no flag: flags are written --key=value, such as --trainer.max_epochs=3")
    return out


def edit(config: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The config with one flag laid over it. `--model.layers` is short for `--model.init_args.layers`.

    Returns a new config; a flag that names another class drops the old one's arguments, as a config does.
    """
    return merge(config, layer(config, name, value))  # type: ignore[no-any-return]


def layer(config: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """A flag as a config: {"model": {"init_args": {"layers": 4}}}."""
    path: Path = ()
    here: Any = config
    for part in name.split("."):
        if part not in BLOCK_KEYS and (is_block(here, path) or (group_at(path) is not None and path[-1] != "init_args")):
            path, here = (*path, "init_args"), (here or {}).get("init_args", {}) if isinstance(here, dict) else {}
        path = (*path, part)
        here = here.get(part.removesuffix("+")) if isinstance(here, dict) else None
    for key in reversed(path):
        value = {key: value}
    return expand(value)  # type: ignore[no-any-return]


def _is_value(word: str) -> bool:
    return not word.startswith("-") or word[1:2].isdigit() or word[1:2] == "." or word == "-"
