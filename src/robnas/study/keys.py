"""`python -m robnas.study.keys`: whether classes know the keys that commands have for them. Imports torch, and runs nothing.

Standard input: JSON, a list of {"id": …, "argv": a command, "of": that of the training that it is about, or null}. Last line of standard
output: {"id": …, "said": what is wrong with the first that is wrong}, or null.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from robnas.configuration import checking, compose, flags
from robnas.errors import UserError
from robnas.one_config import OWN_KEYS
from robnas.runtime.trainer import Trainer


def main() -> None:
    """Reads and answers."""
    wrong = None
    for asked in json.load(sys.stdin):
        try:
            check(asked["argv"], asked["of"])
        except UserError as error:
            wrong = {"id": asked["id"], "said": str(error)}
            break
    print(json.dumps(wrong))


def check(argv: Sequence[str], of: Sequence[str] | None) -> None:
    """Raises UserError. of: where the command takes model or data of a training, that training's command."""
    asked, theirs = flags.parse(argv[1:]), _of(of)
    base = {} if argv[0] == "fit" else theirs
    merged = compose.compose(asked.configs, asked.edits, base, fixed=("model",) if base else ())
    if argv[0] == "fit" and (begun := {key: theirs[key] for key in _begun(merged) if key in theirs}):
        merged = compose.compose(asked.configs, asked.edits, begun)
    checking.check(merged, {*OWN_KEYS, "init_from", "ckpt_path"}, Trainer)


def _of(argv: Sequence[str] | None) -> dict[str, Any]:
    """Model and data of a training."""
    asked = flags.parse(argv[1:]) if argv else flags.Arguments()
    merged = compose.compose(asked.configs, asked.edits)
    return {key: merged[key] for key in ("model", "data") if merged.get(key)}


def _begun(merged: dict[str, Any]) -> list[str]:
    """What a training takes over from the run that it begins from, or whose model it steals."""
    if merged.get("init_from") is not None:
        return ["model", "data"]
    return [] if "class_path" in (merged.get("data") or {}) else ["data"]


if __name__ == "__main__":
    main()
