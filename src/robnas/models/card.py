"""The model card of an export: what a model is, what it was trained on, and what was measured of it. What was not measured is not said."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from robnas.results import Row


def card(architecture: Mapping[str, Any], facts: Mapping[str, Any], rows: Iterable[Row], *, parameters: int, out: str) -> str:
    """README.md with the YAML header that the Hugging Face Hub reads.

    Args:
        architecture: as in a checkpoint.
        facts: "data" and "recipe" (mappings), "run", "dataset", "versions"; what is absent is left out.
        rows: of the very weights that are exported: test accuracy, attacks.
        parameters: how many the model has.
        out: the folder, as the command named it.
    """
    rows = list(rows)
    name, family = line(architecture["description"]["name"]), line(architecture["description"]["family"])
    dataset = line(facts.get("dataset") or "its data")
    parts = [
        "---\n" + _header(name, family, dataset, rows) + "---",
        f"# {text(name)} on {text(dataset)}",
        "An image classifier trained by robnas. It takes pixels in [0, 1]; the normalisation is inside the model.",
        "## Load it again",
        fenced(_LOAD.format(python=repr(out), shell=_quoted(out)), "python"),
        "## Architecture",
        table(("", ""), _architecture(architecture, parameters)),
    ]
    if genotype := architecture["description"].get("genotype"):
        parts += [
            "The two cells, as (operation, source) pairs:",
            fenced(yaml.safe_dump(genotype, default_flow_style=None, width=120), "yaml"),
        ]
    if data := facts.get("data"):
        parts += ["## Data", fenced(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "yaml")]
    if recipe := facts.get("recipe"):
        parts += ["## Training", fenced(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), "yaml")]
    parts += ["## What was measured", *_measured(rows)]
    parts += ["## Made with", table(("", ""), [*(facts.get("versions") or {}).items(), ("run", facts.get("run") or "unknown")])]
    return "\n\n".join(parts) + "\n"


_LOAD = """\
import robnas
model = robnas.load({python})  # pixels [B, C, H, W] in [0, 1] → logits [B, classes]
# robnas attack {shell} --config pgd.yaml"""


def text(value: Any) -> str:
    """A value as Markdown that shows it and does nothing else: no markup, no HTML, no table cell or line of its own."""
    return re.sub(r"([\\`*_{}\[\]#|~$^])", r"\\\1", html.escape(line(value), quote=False))


def line(value: Any) -> str:
    """A value on one line: in the header a line of its own could end it."""
    return " ".join(str(value).split())


def fenced(content: str, language: str) -> str:
    """A block of code, whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _header(name: str, family: str, dataset: str, rows: list[Row]) -> str:
    metrics = [{"type": "accuracy", "name": _title(row), "value": round(row.value, 6)} for row in rows if row.value is not None and row.n]
    content: dict[str, Any] = {"library_name": "robnas", "pipeline_tag": "image-classification", "tags": ["robnas", family, name]}
    if metrics:
        task = {"type": "image-classification"}
        found = {"task": task, "dataset": {"name": dataset, "type": dataset.lower(), "split": "test"}, "metrics": metrics}
        content["model-index"] = [{"name": name, "results": [found]}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _architecture(architecture: Mapping[str, Any], parameters: int) -> list[tuple[str, Any]]:
    names = [str(name) for name in architecture["class_names"]]
    shown = ", ".join(f"{i}: {name}" for i, name in enumerate(names[:20])) + (f", … {len(names) - 20} more" if len(names) > 20 else "")
    return [
        ("network", architecture["description"]["name"]),
        ("family", architecture["description"]["family"]),
        ("size", architecture["size"]),
        *[(f"option {k}", v) for k, v in architecture["options"].items()],
        ("parameters", f"{parameters:,}"),
        ("images", f"{' × '.join(map(str, architecture['image_shape']))} (channels, height, width), pixels in [0, 1]"),
        ("mean inside", ", ".join(f"{m:.4f}" for m in architecture["mean"])),
        ("std inside", ", ".join(f"{s:.4f}" for s in architecture["std"])),
        ("classes", shown),
    ]


def _measured(rows: list[Row]) -> list[str]:
    if not rows:
        return ["Nothing was measured of these weights."]
    lines = [(_title(row), _value(row), _interval(row), row.n, _settings(row)) for row in rows]
    note = "Robust accuracy is an upper bound: it holds against these attacks with these settings, and says nothing of others."
    attacked = any(row.kind == "attack" for row in rows)
    return [table(("measure", "value", "95% interval", "n", "settings"), lines), *([note] if attacked else [])]


def _title(row: Row) -> str:
    metric, plugin = line(row.metric).replace("_", " "), line(row.plugin)
    if row.kind == "train":
        return "test accuracy"
    return f"{metric} on the inputs of {plugin}" if metric == "clean accuracy" else f"{metric} under {plugin}"


def _value(row: Row) -> str:
    return "not defined" if row.value is None else f"{100 * row.value:.1f}%"


def _interval(row: Row) -> str:
    return f"{100 * row.ci[0]:.1f} to {100 * row.ci[1]:.1f}%" if row.ci else ""


def _settings(row: Row) -> str:
    said = {**row.params, **({"norm": row.norm, "access": row.access, "seed": row.attack_seed} if row.kind == "attack" else {})}
    return ", ".join(f"{k} {f'{v:.4g}' if isinstance(v, float) else v}" for k, v in said.items() if v is not None)


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)
