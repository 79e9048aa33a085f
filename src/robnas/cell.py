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
from robnas.space.genotype import Genotype
from robnas.space.percentile import percentile, random_genotypes
from robnas.space.search_space import CELL_KINDS
from robnas.space.size import size

RANDOM_CELLS = 1000
"""As many make a percentile; its standard error is at most 1.6."""

CELL_FACTS = ("depth", "width", "skips")
NETWORK_FACTS = ("parameters", "flops")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Argparse's own complaint, as every other: one line."""
        raise UserError(f"cell: {message}; see robnas cell --help")


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    p = _Parser(
        prog="robnas cell",
        description="Depth, width and skip connects of both cells (Table 3), parameters and FLOPs of the network they make, "
        "and the percentile of each among random cells of the same number of nodes.",
        allow_abbrev=False,
    )
    p.add_argument("genotype", help="a published name, a file, a search's run folder, Genotype(…) text, or - for text on standard input")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.add_argument("--svg", metavar="OUT", help="draw both cells; OUT ends in .svg, .png or .pdf")
    p.add_argument("--out", metavar="F", help="write the genotype as YAML, - for standard output")
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
    genotype = changed(published.find(sys.stdin.read() if args.genotype == "-" else args.genotype), args)
    network = {name: getattr(args, name) for name in ("layers", "init_channels", "image_size", "num_classes")}
    facts = describe(genotype, network)
    written = []
    if args.svg:
        from robnas.space.drawing import draw

        written += draw(genotype, args.svg, _title(args))
    if args.out not in (None, "-"):
        written.append(_write(Path(args.out), genotype.to_yaml()))
    if args.out == "-":
        print(genotype.to_yaml(), end="")
    elif args.json:
        print(json.dumps({**facts, "genotype": genotype.to_dict(), "written": [str(path) for path in written]}, indent=1))
    else:
        _print(facts, written)
    return 0


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


def describe(genotype: Genotype, network: dict[str, int]) -> dict[str, Any]:
    """What the verb prints, as plain values; beside each group of numbers, "percentile" has one for each.

    Args:
        genotype: what is described.
        network: layers, init_channels, image_size and num_classes of `robnas.space.size.size`.

    A percentile is among random genotypes of DARTS's space with as many nodes as the cell (for the network: as the normal cell): depth,
    width and skips among their cells of that kind, parameters and FLOPs among their networks of the same shape.
    """
    facts: dict[str, Any] = {}
    for kind, cell in genotype.cells.items():
        others = [g.cells[kind] for g in random_genotypes(len(cell.nodes), RANDOM_CELLS)]
        facts[kind] = _facts(cell, others, CELL_FACTS)
    own, sizes = size(genotype, **network), [size(g, **network) for g in random_genotypes(len(genotype.normal.nodes), RANDOM_CELLS)]
    return {**facts, **_facts(own, sizes, NETWORK_FACTS), "network": network, "random_cells": RANDOM_CELLS}


def _facts(own: object, others: Sequence[object], names: Sequence[str]) -> dict[str, Any]:
    values = {name: getattr(own, name) for name in names}
    return {**values, "percentile": {name: round(percentile(v, [getattr(o, name) for o in others]), 1) for name, v in values.items()}}


def _print(facts: dict[str, Any], written: Sequence[Path]) -> None:
    table = [(f"{kind} cell, {name}", facts[kind], name) for kind in CELL_KINDS for name in CELL_FACTS]
    table += [(f"network, {name.replace('flops', 'FLOPs')}", facts, name) for name in NETWORK_FACTS]
    rows = [(title, f"{group[name]:,}", f"{group['percentile'][name]:.1f}") for title, group, name in table]
    net = facts["network"]
    about = (
        f"network: {net['layers']} cells, {net['init_channels']} channels, {net['image_size']}×{net['image_size']} images, "
        f"{net['num_classes']} classes; FLOPs are multiply-adds; percentiles among {facts['random_cells']:,} random cells"
    )
    if sys.stdout.isatty():
        _print_rich(rows)
    else:
        for name, value, rank in [("", "value", "percentile"), *rows]:
            print(f"{name:<24}{value:>15}{rank:>12}")
    print(about)
    for path in written:
        print(f"wrote {path}")


def _print_rich(rows: Sequence[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Table("", box=None)
    out.add_column("value", justify="right", style="bold")
    out.add_column("percentile", justify="right")
    for row in rows:
        out.add_row(*row)
    Console().print(out)


def _title(args: argparse.Namespace) -> str:
    """Above the picture: the source's short name, and what was done to it."""
    source = (
        ""
        if args.genotype == "-" or "(" in args.genotype or "\n" in args.genotype
        else args.genotype.rstrip("/").removesuffix("/genotype.yaml")
    )
    changes = ["deeper"] * args.deepen + [swap.replace("=", " → ") for swap in args.replace]
    return ", ".join([Path(source).name.removesuffix(".yaml"), *changes]) if source else ", ".join(changes)


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise UserError(f"cannot write {path}: {e.strerror}") from None
    return path
