"""The one configuration of a verb: from the run that is evaluated or begun from, the configs and the flags, merged and checked."""

from collections.abc import Iterable
from typing import Any

from robnas.configuration import checking, compose, flags
from robnas.configuration.merging import merge
from robnas.errors import UserError
from robnas.runtime import evaluated_config
from robnas.runtime.run_folder import Run
from robnas.runtime.trainer import Trainer

EVALUATIONS = {"attack": "attacks", "probe": "probes"}
"""Verbs that need named blocks, and where those stand."""

BLOCKS = ("attacks", "defences", "probes")
"""All named blocks, in the order in which they act: a defence sees what an attack has left."""

OWN_KEYS = ("model", "data", "trainer", "seed_everything", "experiment", "scale", "protocol", "wandb", "runs", "overwrite", *BLOCKS)
"""What may stand at the top of every configuration."""


def of(verb: str, arguments: flags.Arguments, victim: Run | None, given: str, of_verb: Iterable[str]) -> dict[str, Any]:
    """Classes are import paths in it, and all keys are known.

    Args:
        verb: a method of the Trainer.
        arguments: what stands behind it on the command line.
        victim: the run that is evaluated. given: its folder, or that of an export, as the command names it.
        of_verb: further keys, the arguments of the Trainer's method.

    Raises:
        UserError: a name or key is wrong, or there is nothing that the verb could do.
    """
    exported = victim is None and bool(arguments.runs)
    base = evaluated_config.base(victim) if victim else evaluated_config.of_export(given) if exported else {}
    merged = compose.compose(arguments.configs, arguments.edits, base, fixed=("model",) if base else ())
    if verb == "fit":
        merged = _begun(merged, arguments)
    if merged.get("experiment") is None:
        merged["experiment"] = compose.experiment(arguments.configs, fallback=verb)
    if victim and merged.get("ckpt_path") is not None:
        merged["ckpt_path"] = None  # "best" and "last" are the victim's own; they were looked up there
    checked = checking.check(merged, {*OWN_KEYS, *(["init_from"] if verb == "fit" else []), *of_verb}, Trainer)
    _require_something_to_do(verb, checked)
    return checked


def _begun(merged: dict[str, Any], arguments: flags.Arguments) -> dict[str, Any]:
    """A training that starts from another run, or steals from one, has its model or data unless it says otherwise."""
    if (begun := merged.get("init_from")) is not None:
        merged = compose.compose(arguments.configs, arguments.edits, evaluated_config.beginning(str(begun)))
        merged = merge(merged, {"model": {"init_args": {"init_from": str(begun)}}, "init_from": None})
    if "class_path" not in (merged.get("data") or {}) and (theirs := evaluated_config.of_victim(merged)):
        merged = compose.compose(arguments.configs, arguments.edits, theirs)
    return merged


def _require_something_to_do(verb: str, merged: dict[str, Any]) -> None:
    if not merged.get("model"):
        what = "a config with a model, such as --config darts_iii.yaml" if verb == "fit" else "a run folder (robnas list runs)"
        raise UserError(f"{verb} needs {what}")
    if (blocks := EVALUATIONS.get(verb)) and not merged.get(blocks):
        raise UserError(f"{verb} needs {blocks}: a config such as pgd.yaml, or --{blocks}.NAME=PLUGIN (robnas list {blocks})")
    if (merged.get("trainer") or {}).get("default_root_dir") is not None:
        raise UserError("trainer.default_root_dir: results go to <runs>/<experiment>/<job>; --runs says which folder <runs> is")
