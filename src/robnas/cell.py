"""`robnas cell`: what a cell is, how it compares with random ones, what it looks like. Needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from robnas.errors import UserError, require
from robnas.space import published, rewire
from robnas.space.facts import CELL_FACTS, NETWORK_FACTS, describe, passed
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Argparse's own complaint, as every other: one line."""
        raise UserError(f"cell: {message}; see robnas cell --help")


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    p = _Parser(
        prog="robnas cell",
        description="Depth, width and skip connects of both cells (Table 3), convolutions and density (Fig. 14), parameters and FLOPs "
        "of the network they make, and the percentile of each among random cells of the same number of nodes. Several: beside each other.",
        allow_abbrev=False,
    )
    text = "a published name, a file, a search's run folder, Genotype(…) text, or - for text on standard input"
    p.add_argument("genotype", nargs="+", help=text)
    p.add_argument("--json", action="store_true", help="print JSON; a list where there are several")
    p.add_argument("--svg", metavar="OUT", help="draw the cells; OUT ends in .svg, .png or .pdf")
    p.add_argument("--draw", choices=(*CELL_KINDS, "both"), default="both", help="which cells --svg draws (default: both)")
    p.add_argument("--out", metavar="F", help="write the genotype as YAML, - for standard output")
    p.add_argument("--passed", action="store_true", help="of a search's run folder: every genotype that it passed through, by epoch")
    change = p.add_argument_group("changes, in this order, before anything else is done")
    change.add_argument("--deepen", action="store_true", help="feed every node by the one before it alone (DARTS → DARTS-i)")
    change.add_argument(
        "--replace", metavar="A=B", action="append", default=[], help="put operation B where A is; B may be 'sibling' (DARTS → DARTS-ii)"
    )
    change.add_argument(
        "--change", choices=(*CELL_KINDS, "both"), default="normal", help="which cell the changes are for (default: normal)"
    )
    net = p.add_argument_group("network")
    for name, default, text in (
        ("--layers", 20, "cells"),
        ("--init-channels", 36, "channels of a node in the first cells"),
        ("--image-size", 32, "pixels of a side"),
        ("--num-classes", 10, "classes"),
    ):
        net.add_argument(name, type=int, default=default, metavar="N", help=f"{text} (default: {default})")
    return p


def run(argv: Sequence[str]) -> int:
    """Does what `argv` (without "cell") asks → 0. Raises UserError."""
    args = parser().parse_args(argv)
    require(args.genotype.count("-") <= 1, "-: standard input is one genotype; it stands there more than once")
    genotypes = _asked(args)
    network = {name: getattr(args, name) for name in ("layers", "init_channels", "image_size", "num_classes")}
    found = {name: describe(genotype, network) for name, genotype in genotypes.items()}
    written = []
    if args.svg:
        from robnas.space.drawing import draw_beside

        written += draw_beside(genotypes, args.svg, CELL_KINDS if args.draw == "both" else (args.draw,))
    one = next(iter(genotypes)) if len(genotypes) == 1 else None
    if args.out is not None:
        require(one is not None, f"--out: a file holds one genotype, and here are {len(genotypes)}")
        text = next(iter(genotypes.values())).to_yaml()
        if args.out == "-":
            print(text, end="")
            return 0
        written.append(_write(Path(args.out), text))
    if args.json:
        files = [str(path) for path in written]
        plain = [{"name": name, **facts, "genotype": genotypes[name].to_dict(), "written": files} for name, facts in found.items()]
        print(json.dumps(plain if one is None else plain[0], indent=1))
    elif one is not None:
        _print(found[one], written)
    else:
        _print_beside(found, written)
    return 0


def _asked(args: argparse.Namespace) -> dict[str, Genotype]:
    """Title → genotype, changed as asked for."""
    if args.passed:
        require(len(args.genotype) == 1, f"--passed: one search at a time, and here are {len(args.genotype)}")
        return {f"epoch {epoch}": changed(genotype, args) for epoch, genotype in passed(args.genotype[0]).items()}
    named: dict[str, Genotype] = {}
    for source in args.genotype:
        title = name = _title(source, args)
        number = 2
        while name in named:  # two files of one name
            name, number = f"{title} ({number})", number + 1
        named[name] = changed(published.find(sys.stdin.read() if source == "-" else source), args)
    return named


def changed(genotype: Genotype, args: argparse.Namespace) -> Genotype:
    """The genotype that the arguments make of it."""
    kinds = CELL_KINDS if args.change == "both" else (args.change,)
    if args.deepen:
        genotype = rewire.deepen(genotype, kinds)
    for swap in args.replace:
        old, equals, new = swap.partition("=")
        require(bool(old and equals and new), f"--replace: {swap!r} is not A=B, e.g. skip_connect=sep_conv_3x3")
        genotype = rewire.replace(genotype, old, new, kinds)
    return genotype


def _print(facts: dict[str, Any], written: Sequence[Path]) -> None:
    table = [(f"{kind} cell, {name}", facts[kind], name) for kind in CELL_KINDS for name in CELL_FACTS]
    table += [(f"network, {name.replace('flops', 'FLOPs')}", facts, name) for name in NETWORK_FACTS]
    rows = [(title, _number(group[name]), f"{group['percentile'][name]:.1f}") for title, group, name in table]
    if sys.stdout.isatty():
        _print_rich(rows)
    else:
        for name, value, rank in [("", "value", "percentile"), *rows]:
            print(f"{name:<26}{value:>15}{rank:>12}")
    _print_end(facts, written)


def _print_beside(found: dict[str, dict[str, Any]], written: Sequence[Path]) -> None:
    """A table a kind of cell, and one of the networks; a line a genotype: numbers, each with its percentile in brackets."""
    wide = max(len(name) for name in [*found, "reduction cell"])
    for kind in (*CELL_KINDS, ""):
        names = CELL_FACTS if kind else NETWORK_FACTS
        print(f"{f'{kind} cell' if kind else 'network':<{wide}}" + "".join(f"{name.replace('flops', 'FLOPs'):>20}" for name in names))
        for name, facts in found.items():
            group = facts[kind] if kind else facts
            shown = [f"{_number(group[n])} ({group['percentile'][n]:.1f})" for n in names]
            print(f"{name:<{wide}}" + "".join(f"{text:>20}" for text in shown))
        print()
    print("in brackets: percentiles")
    _print_end(next(iter(found.values())), written)


def _print_end(facts: dict[str, Any], written: Sequence[Path]) -> None:
    net = facts["network"]
    print(
        f"network: {net['layers']} cells, {net['init_channels']} channels, {net['image_size']}×{net['image_size']} images, "
        f"{net['num_classes']} classes; FLOPs are multiply-adds; percentiles among {facts['random_cells']:,} random cells"
    )
    for path in written:
        print(f"wrote {path}")


def _number(value: float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"


def _print_rich(rows: Sequence[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Table("", box=None)
    out.add_column("value", justify="right", style="bold")
    out.add_column("percentile", justify="right")
    for row in rows:
        out.add_row(*row)
    Console().print(out)


def _title(source: str, args: argparse.Namespace) -> str:
    """Above the picture: the source's short name, and what was done to it."""
    pasted = source == "-" or "(" in source or "\n" in source
    source = "" if pasted else source.rstrip("/").removesuffix("/genotype.yaml")
    changes = ["deeper"] * args.deepen + [swap.replace("=", " → ") for swap in args.replace]
    if changes and args.change != "both":
        changes[0] = f"its {args.change} cell {changes[0]}"
    return ", ".join([Path(source).name.removesuffix(".yaml"), *changes]) if source else ", ".join(changes)


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror}") from None
    return path
