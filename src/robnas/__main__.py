"""`robnas`: says at once what needs no torch, and hands the other verbs to `robnas.cli`."""

import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence

from robnas._version import __version__
from robnas.errors import UserError, unknown

USAGE = f"""\
robnas {__version__}: searches, trains, attacks, explains and hardens neural architectures.

  robnas fit|validate|test|predict --config F [--config G …] [--key value …]
                                  train or evaluate what the config's model says
  robnas attack|probe RUN… [--config F …]
                                  evaluate run folders, or a model given in a config
  robnas list [attacks|defences|probes|searchers|evaluators|models|data|genotypes|configs|studies|runs] [--json] [--check]
                                  what is there; --check imports every plug-in
  robnas cell NAME|FILE|- [--help]
                                  depth, width, skips, size and picture of an architecture
  robnas export RUN OUT [--help]
                                  a trained model as safetensors with a model card
  robnas study FILE [--out DIR] [--dry-run] [--help]
                                  every job of a study file, and the report; what is done is skipped
  robnas report DIR [DIR] [--out FILE]
                                  one page, figures and tables from the rows below DIR; of two: what changed
  robnas match NAME… --parameters N | --flops N
                                  depth and width at which networks have the same size
  robnas new attack|probe NAME [--shape SHAPE] [--out DIR]
                                  a plug-in package to start from
  robnas --help | --version       `robnas VERB --help` says more

A first run, on digits that come with the package:

  robnas fit --config darts_iii.yaml --config digits.yaml
"""

TRAINER_VERBS = ("fit", "validate", "test", "predict", "attack", "probe")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line. Exits with 0, or with 2 after one line on stderr where the user gave a wrong value; a bug is raised."""
    words = list(sys.argv[1:] if argv is None else argv)
    warnings.formatwarning = _in_words
    try:
        dispatch(words)
    except UserError as error:
        _say(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        print("robnas: stopped; the same command with --ckpt_path last goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `robnas list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


def dispatch(words: list[str]) -> None:
    """Run the verb. Raises UserError."""
    verb, rest = (words[0], words[1:]) if words else ("--help", [])
    if verb in ("-h", "--help", "help"):
        print(USAGE, end="")
    elif verb in ("-V", "--version"):
        print(f"robnas {__version__}")
    elif verb in _LIGHT:
        _LIGHT[verb](rest)
    elif verb in TRAINER_VERBS:
        _train(verb, rest)
    else:
        raise unknown("verb", verb, [*TRAINER_VERBS, *_LIGHT])


def _train(verb: str, words: list[str]) -> None:
    from robnas.configuration import files, flags, reading

    arguments = flags.parse(words)
    for name in arguments.configs:  # what is wrong with them is said before torch is imported
        reading.read_file(files.find(name))
    from robnas.cli import run

    run(verb, arguments)


def _list(words: list[str]) -> None:
    from robnas.listing import main

    main(words)


def _cell(words: list[str]) -> None:
    from robnas.cell import run

    if status := run(words):
        sys.exit(status)


def _export(words: list[str]) -> None:
    from robnas.export import main

    main(words)


def _match(words: list[str]) -> None:
    from robnas.match import main

    main(words)


def _new(words: list[str]) -> None:
    from robnas.scaffold import main

    main(words)


def _study(words: list[str]) -> None:
    from robnas.study.command import main

    if status := main(words):
        sys.exit(status)


def _report(words: list[str]) -> None:
    from robnas.report.write import main

    main(words)


_LIGHT: dict[str, Callable[[list[str]], None]] = {
    "study": _study,
    "report": _report,
    "list": _list,
    "cell": _cell,
    "export": _export,
    "match": _match,
    "new": _new,
}
"""The verbs that start without torch; whose help does, where they need it for their work."""


def _in_words(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """What a user is warned of, without the line of code that noticed it; of other warnings that line is the point."""
    return f"warning: {message}\n" if category is UserWarning else _AS_PYTHON(message, category, filename, lineno, line)


_AS_PYTHON = warnings.formatwarning


def _say(message: str) -> None:
    """One line, once: of several ranks that met the same wrong value, the first speaks.

    The others wait, because Lightning kills the first as soon as it finds another one ended; should the first be stuck in
    waiting for them, they speak up after all.
    """
    line = f"robnas: {' '.join(message.split())}"
    if os.environ.get("LOCAL_RANK", "0") != "0":
        parent = os.getppid()
        for _ in range(30):
            time.sleep(0.1)
            if os.getppid() != parent:  # the first has ended, and has said it
                return
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
