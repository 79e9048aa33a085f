"""`--model.searcher.help`: what a class takes, the arguments that it hands on among it."""

import pytest

from command_line import refused, robnas
from robnas import class_help


class Above:
    """Of the class above.

    Args:
        kept: of the class above.
        other: a second line
            goes on.
    """

    def __init__(self, kept: int = 1, other: int = 2) -> None: ...


class Below(Above):
    """Of the class below.

    Args:
        own: its own.
        arguments: of `Above`.
    """

    def __init__(self, own: int = 0, kept: int = 5, **arguments: int) -> None: ...


class Closed(Below):
    """Hands nothing on."""

    def __init__(self, alone: int = 3) -> None: ...


def test_arguments_of_the_classes_above_are_said_and_the_lower_default_holds():
    said = class_help.text(Below)
    assert "own: its own." in said
    assert "Arguments of Above:\n    kept: of the class above.\n    other: a second line\n        goes on.\n" in said
    for parameter in ("own: int = 0", "kept: int = 5", "other: int = 2"):
        assert parameter in said.splitlines()[-1]
    assert "arguments" not in said.splitlines()[-1]


def test_a_class_that_hands_nothing_on_is_its_own_signature():
    said = class_help.text(Closed)
    assert said.splitlines()[-1] == "(alone: int = 3) -> None"
    assert "Above" not in said.replace("test_class_help", "")


def test_help_without_a_name_is_of_the_searcher_that_the_config_names(capsys):
    named = robnas("fit --model.searcher.help=drnas", capsys).out
    assert robnas("fit --config drnas.yaml --model.searcher.help", capsys).out == named
    assert named.startswith("robnas.search.drnas.DrNAS\n")
    assert "gamma: γ of §5.2" in named


def test_the_task_says_all_that_it_takes(capsys):
    said = robnas("fit --model.help=Search", capsys).out
    assert "draw_every: " in said
    assert "draw_every: int" in said.splitlines()[-1].replace("'", "")


@pytest.mark.parametrize("command", ["fit --model.searcher.help", "fit --config drnas.yaml --attacks.help"])
def test_help_without_a_name_and_without_a_class_there_asks_for_the_name(command, capsys):
    assert "give its name: " in refused(command, capsys)
