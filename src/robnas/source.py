"""What a class's source says of it, read without running it, so that a list of attacks needs no torch."""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def source_digest(module: str) -> str | None:
    """What the results of a foreign class depend on: a digest of its package's Python files; None for robnas's own.

    module: "robnas_fgsm" or "my_attack.inner". A package is digested as a whole, a single file as itself.
    """
    top = module.partition(".")[0]
    if top == "robnas" or (spec := find_spec(top)) is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    files = [p for f in folders for p in sorted(Path(f).rglob("*.py"))] if folders else [Path(spec.origin or "")]
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def first_sentence(text: str) -> str:
    """Of a paragraph, without its full stop; a stop ends a sentence where a capital follows ("Liu et al. (2019)" goes on)."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.])\s+(?=[A-ZΑ-Ω])", paragraph)[0].removesuffix(".")


_ACCESS = {"white": "the model's gradients", "score": "the model's scores", "label": "the model's answers", "training": "the training"}


@dataclass(frozen=True)
class Description:
    """What a class or a function says of itself in its source: the docstring's first sentence, and what it needs."""

    line: str = ""
    needs: str = ""


def describe(value: str) -> Description:
    """Reads the source of a class or a function with `ast`; neither it nor the packages above it are executed. value: "module:attribute".

    `needs` is the string that the class or, failing it, a base class assigns to an attribute of that name; for an attack its `access`.
    """
    module, _, attribute = value.partition(":")
    line = needs = ""
    for node in _lineage(module, attribute):
        line = line or first_sentence(ast.get_docstring(node) or "")
        needs = needs or next(_assigned(node, "needs"), "") or next((_ACCESS.get(a, a) for a in _assigned(node, "access")), "")
        if line and needs:
            break
    return Description(line, needs)


def _lineage(module: str, attribute: str) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """The class or function, and then a class's first bases, as far as imports written in the source lead to them."""
    seen: set[tuple[str, str]] = set()
    while (module, attribute) not in seen and (tree := _tree(module)) is not None:
        seen.add((module, attribute))
        node = next((n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == attribute), None)
        if node is None:  # re-exported from elsewhere, also under TYPE_CHECKING
            module, attribute = _imported(tree, attribute) or ("", "")
            continue
        yield node
        base = next((b.id for b in getattr(node, "bases", ()) if isinstance(b, ast.Name)), "")
        if not any(isinstance(n, ast.ClassDef) and n.name == base for n in tree.body):
            module, base = _imported(tree, base) or ("", "")
        attribute = base


def _imported(tree: ast.Module, name: str) -> tuple[str, str] | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node.module, alias.name
    return None


def _assigned(node: ast.ClassDef | ast.FunctionDef, name: str) -> Iterator[str]:
    """The strings that a class's body assigns to `name`, with or without an annotation."""
    for item in node.body:
        if isinstance(item, ast.Assign | ast.AnnAssign) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield item.value.value


@cache
def _tree(module: str) -> ast.Module | None:
    """A module's source, found below its top-level package's folder: importing parents is what we avoid."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top) if top else None
        if spec is None:
            return None
        folders = [Path(f) for f in spec.submodule_search_locations or ()]
        candidates = [f.joinpath(*rest, "__init__.py") for f in folders]
        candidates += [f.joinpath(*rest[:-1], f"{rest[-1]}.py") for f in folders] if rest else [Path(spec.origin or "")]
        path = next((p for p in candidates if p.is_file()), None)
        return ast.parse(path.read_text("utf-8")) if path else None
    except (SyntaxError, ValueError, OSError, ImportError):
        return None
