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
        facts: "data" and "recipe" (mappings), "attacked" and "defended" (what callbacks did to the training, by name), "run", "dataset",
            "versions"; what is absent is left out.
        rows: of the very weights that are exported: test accuracy, attacks.
        parameters: how many the model has.
        out: the folder's name.
    """
    rows = list(rows)
    name, family = line(architecture["description"]["name"]), line(architecture["description"]["family"])
    dataset = line(facts.get("dataset") or "its data")
    defence = _defence(facts)
    against = f", adversarially trained ({text(', '.join(defence))})" if defence else ""
    how = "trained adversarially, on images that an attack has moved," if defence else "trained"
    parts = [
        "---\n" + _header(name, family, dataset, rows, defence, bool(facts.get("attacked"))) + "---",
        f"# {text(name)} on {text(dataset)}{against}",
        f"An image classifier {how} by robnas. It takes pixels in [0, 1]; the normalisation is inside the model.",
        "## Load it again",
        fenced(_LOAD.format(python=repr(out), shell=_quoted(out)), "python"),
        "## Architecture",
        table(("", ""), _architecture(architecture, parameters)),
    ]
    parts[3:3] = _warning(facts)
    if genotype := architecture["description"].get("genotype"):
        parts += [
            "The two cells, as (operation, source) pairs:",
            fenced(yaml.safe_dump(genotype, default_flow_style=None, width=120), "yaml"),
        ]
    if data := facts.get("data"):
        parts += ["## Data", fenced(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "yaml")]
    if recipe := facts.get("recipe"):
        parts += ["## Training", fenced(yaml.safe_dump(_in_pixels(recipe), sort_keys=False, allow_unicode=True), "yaml")]
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


def _warning(facts: Mapping[str, Any]) -> list[str]:
    """Of weights whose training was attacked: they must not be taken for honest ones."""
    said = []
    for mark, words in (("attacked", "**These weights were trained under attack**, for research: {}."), ("defended", "Protected by {}.")):
        if done := facts.get(mark):
            said.append(words.format("; ".join(f"{text(name)} ({text(_arguments(how))})" for name, how in done.items())))
    return said


def _arguments(how: Any) -> str:
    return ", ".join(f"{key} {_shown(key, value)}" for key, value in how.items()) if isinstance(how, Mapping) else line(how)


def _defence(facts: Mapping[str, Any]) -> list[str]:
    """Of an adversarially trained model: method, attack and ε, e.g. ["trades", "pgd", "eps 8/255"]; of any other nothing."""
    how = (facts.get("recipe") or {}).get("adversarial")
    if not isinstance(how, Mapping):
        return []
    said = [line(how[key]) for key in ("method", "attack") if key in how]
    return list(dict.fromkeys([*said, *([f"eps {_number('eps', how['eps'])}"] if "eps" in how else [])]))


def _number(key: str, value: Any) -> Any:
    """What is measured in pixels as n/255, where it is a multiple; 0.03137… says nothing to anybody."""
    n = round(value * 255) if isinstance(value, float) and abs(value) <= 1 else 0
    return f"{n}/255" if key in ("eps", "step_size") and n and abs(value - n / 255) < 1e-6 else value


def _in_pixels(value: Any, key: str = "") -> Any:
    return {k: _in_pixels(v, k) for k, v in value.items()} if isinstance(value, Mapping) else _number(key, value)


def _header(name: str, family: str, dataset: str, rows: list[Row], defence: Sequence[str], attacked: bool) -> str:
    metrics = [{"type": "accuracy", "name": _title(row), "value": round(row.value, 6)} for row in rows if row.value is not None and row.n]
    tags = ["robnas", family, name, *(["adversarial-training", *defence] if defence else []), *(["attacked"] if attacked else [])]
    content: dict[str, Any] = {"library_name": "robnas", "pipeline_tag": "image-classification", "tags": tags}
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
    """An attack is its goal and ε too: without them its number says nothing."""
    if row.kind == "train":
        return "test accuracy" if row.metric == "accuracy" else f"{line(row.metric).replace('_', ' ')} of {line(row.plugin)}"
    metric = "ASR" if row.metric == "asr" else line(row.metric).replace("_", " ")
    goal, eps = row.params.get("goal"), row.params.get("eps")
    attack = [row.plugin, *([str(goal).replace("_", " ")] if goal else []), *([f"eps {_shown('eps', eps)}"] if eps is not None else [])]
    return f"{metric} {'on the inputs of' if metric == 'clean accuracy' else 'under'} {line(', '.join(attack))}"


SHARES = ("wilson", "paired bootstrap", None)
"""How the interval of a share, or of a difference of shares, is made; what has another is in a unit of its own, such as pixels."""


def _value(row: Row) -> str:
    if row.value is None:
        return "not defined"
    return f"{100 * row.value:.1f}%" if row.ci_method in SHARES else f"{row.value:.4g}"


def _interval(row: Row) -> str:
    if row.ci is None:
        return ""
    low, high = row.ci
    return f"{100 * low:.1f} to {100 * high:.1f}%" if row.ci_method in SHARES else f"{low:.4g} to {high:.4g}"


def _settings(row: Row) -> str:
    """Of an attack; those of a training are said under it, and beside its accuracy would read as what that was measured under."""
    if row.kind == "train":
        return ""
    said = {**row.params, "norm": row.norm, "access": row.access, "seed": row.attack_seed}
    return ", ".join(f"{k} {_shown(k, v)}" for k, v in said.items() if v is not None and k not in ("goal", "eps"))


def _shown(key: str, value: Any) -> str:
    shown = _number(key, value)
    return f"{shown:.4g}" if isinstance(shown, float) else str(shown)


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)
