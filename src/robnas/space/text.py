"""Reads `Genotype(normal=[…], …)`, the text that code of the DARTS family prints and its papers publish. Parsed, never evaluated."""

import ast
import re
from typing import Any

from robnas.errors import UserError, require, short, unknown
from robnas.space.genotype import Genotype, require_length

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
"""In the order of the family's namedtuple, as some print it by position."""

ALIASES = {"none": "zero"}
"""Other names for our operations."""

_TOKEN = re.compile(r"""'(?:[^'\\\n]|\\.)*'?|"(?:[^"\\\n]|\\.)*"?|\#[^\n]*|[()\[\]{}]""")
"""What matters to finding a closing bracket: strings and comments, inside which none counts, and brackets."""


def parse(text: str) -> Genotype:
    """The one genotype in `text`; a name, `=`, or a logger's prefix may stand before it. Two edges a node, as the family has it.

    Raises UserError where there is none, more than one, or one that is malformed.
    """
    require_length(text)
    starts = [m.start() for m in re.finditer(r"\bGenotype\s*\(", text)]
    require(len(starts) > 0, f"no Genotype(…) in {short(text)}")
    require(len(starts) == 1, f"{len(starts)} genotypes in the text: give one of them")
    try:
        fields = _as_dict(_call(text[starts[0] :]))
    except (RecursionError, MemoryError):
        raise UserError("genotype text is nested too deeply") from None
    return Genotype.from_dict(fields)


def _call(text: str) -> ast.Call:
    """The call that `text` begins with, up to the bracket that closes it."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in "([{") - (token[0] in ")]}")
        if depth == 0 and token[0] == ")":
            try:
                call = ast.parse(text[: token.end()], mode="eval").body
            except (SyntaxError, ValueError):
                break
            if isinstance(call, ast.Call):
                return call
            break
    raise UserError("genotype text does not parse: a bracket, quote or comma is missing")


def _as_dict(call: ast.Call) -> dict[str, Any]:
    require(len(call.args) <= len(FIELDS), f"genotype text has {len(call.args)} fields; expected {', '.join(FIELDS)}")
    fields: dict[str, Any] = dict(zip(FIELDS, map(_value, call.args), strict=False))
    for keyword in call.keywords:
        if keyword.arg not in FIELDS:
            raise unknown("field of a genotype", str(keyword.arg), FIELDS)
        fields[keyword.arg] = _value(keyword.value)
    for field in FIELDS:
        require(field in fields, f"genotype text has no {field}")
        if not isinstance(fields[field], list | tuple):
            raise UserError(f"genotype text, {field}: expected a list, got {short(fields[field])}")
    return {kind: {"nodes": _pairs(kind, fields[kind]), "concat": fields[f"{kind}_concat"]} for kind in ("normal", "reduce")}


def _value(node: ast.expr) -> Any:
    """A literal, or range(…) of literals, or list(range(…))."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        values = [_value(a) for a in node.args]
        if node.func.id == "range" and 1 <= len(values) <= 3 and all(type(v) is int and abs(v) < 1000 for v in values):
            return list(range(*values)) if values[2:] != [0] else []
        if node.func.id in ("list", "tuple") and len(values) == 1:
            return values[0]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise UserError(f"genotype text: {ast.unparse(node):.60} is no list, number, name in quotes or range(…)") from None


def _pairs(kind: str, edges: list[Any] | tuple[Any, ...]) -> list[list[Any]]:
    require(len(edges) % 2 == 0, f"genotype, {kind} cell: {len(edges)} edges; this text form has two for every node")
    named = [[ALIASES.get(e[0], e[0]), *e[1:]] if isinstance(e, list | tuple) and e and isinstance(e[0], str) else e for e in edges]
    return [named[i : i + 2] for i in range(0, len(named), 2)]
