"""`robnas match`: options at which networks have the same size, to paste into a command or a config."""

import json
from typing import Any

import yaml

from robnas import units
from robnas.errors import UserError, require, short
from robnas.words import Parser

ABOUT = (
    "Depth and width at which networks come closest to a budget of parameters, or of FLOPs (multiply-adds for one image). "
    "The width is chosen; another depth than the paper's only where no width is near enough."
)


def main(words: list[str]) -> None:
    """`robnas match NAME… --parameters 3M [--json]`. Raises UserError where a network cannot meet the budget."""
    options = _parser().parse_args(words)
    require((options.parameters is None) != (options.flops is None), "match: a budget is needed: either --parameters N or --flops N")
    fixed = _fixed(options.options)
    shape = {"num_classes": options.num_classes, "image_shape": (options.channels, options.image_size, options.image_size)}
    for name in ("num_classes", "channels", "image_size"):
        require(getattr(options, name) >= 1, f"match: --{name.replace('_', '-')}: {getattr(options, name)} is below 1")
    from robnas.models.matched import TOLERANCE, matched

    budget = {"parameters": options.parameters, "flops": options.flops}
    tolerance = TOLERANCE if options.tolerance is None else options.tolerance
    found = [matched(network, **budget, fixed=fixed, tolerance=tolerance, **shape) for network in options.networks]
    entries = [{"name": m.network, "options": m.options, **m.size._asdict(), "off": m.off} for m in found]
    if options.json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    rows = [
        (
            m.network,
            f"{units.human(m.size.parameters)} parameters",
            f"{units.human(m.size.flops)} FLOPs",
            f"{100 * m.off:+.1f}%",
            flow(m.options),
        )
        for m in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"train one: robnas fit --config classify.yaml --model.network={found[0].network} --model.options='{flow(found[0].options)}'")


def flow(options: dict[str, Any]) -> str:
    """As YAML in one line: "{depth: 18, width: 33}"."""
    return yaml.safe_dump(options, default_flow_style=True, sort_keys=False, width=10_000).strip()


def _fixed(text: str) -> dict[str, Any]:
    try:
        fixed = yaml.safe_load(text)
    except yaml.YAMLError:
        fixed = None
    require(isinstance(fixed, dict), f"match: --options: {short(text)} is not of the form '{{depth: 34}}'")
    return dict(fixed)


def _count(text: str) -> int:
    if (number := units.magnitude(text)) is None:
        raise UserError(f"match: {short(text)} is no budget; write 3000000, 3e6 or 3M")
    return round(number)


def _parser() -> Parser:
    parser = Parser("robnas match", description=ABOUT)
    parser.add_argument("networks", nargs="+", metavar="NAME", help="a manual family, or what names a cell: robnas list models")
    parser.add_argument("--parameters", type=_count, metavar="N", help="the budget, as 3000000, 3e6 or 3M")
    parser.add_argument("--flops", type=_count, metavar="N", help="the budget, as 500e6 or 0.5G")
    parser.add_argument("--tolerance", type=float, metavar="SHARE", help="refuse what is further off than this share of it (0.05)")
    parser.add_argument("--options", default="{}", metavar="YAML", help="options that are not to be chosen: '{depth: 34}'")
    for name, default, text in (
        ("--image-size", 32, "pixels of a side"),
        ("--channels", 3, "of an image"),
        ("--num-classes", 10, "classes"),
    ):
        parser.add_argument(name, type=int, default=default, metavar="N", help=f"{text} ({default})")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser
