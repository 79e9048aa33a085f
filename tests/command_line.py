"""The command line in this process: importing torch and Lightning anew for each command would take seconds."""

import shlex
import sys
from dataclasses import dataclass

from robnas.__main__ import main

SMALL = "--wandb=off --trainer.accelerator=cpu --trainer.limit_train_batches=2 --trainer.max_epochs=1"
CLASSIFY = f"--config classify --config digits {SMALL} --model.options={{layers: 3, init_channels: 4}}"
SEARCH = f"--config darts_iii --config digits {SMALL} --model.layers=3"


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


def words(text: str) -> list[str]:
    """As a shell would cut it, but braces and their blanks stay together."""
    return [word.replace("\0", " ") for word in shlex.split(_keep_braces(text))]


def robnas(text: str, capsys) -> Said:
    """Runs `robnas …`; what it raises beside SystemExit is a bug and is let through."""
    capsys.readouterr()
    status = 0
    try:
        main(words(text))
    except SystemExit as end:
        status = int(end.code or 0)
    sys.stdout.flush()
    said = capsys.readouterr()
    return Said(status, said.out, said.err)


def refused(text: str, capsys) -> str:
    """The one line of a command that must end with status 2."""
    said = robnas(text, capsys)
    assert said.status == 2, said
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("robnas: ")
    return said.err


def _keep_braces(text: str) -> str:
    out, depth = [], 0
    for character in text:
        depth += (character in "{[") - (character in "}]")
        out.append("\0" if character == " " and depth else character)
    return "".join(out)
