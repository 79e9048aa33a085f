"""Flags as words: what is read is what was meant, by the command line and by a shell."""

import math
import shlex
from types import SimpleNamespace

import pytest

from robnas.configuration import flags
from robnas.configuration.reading import read_value
from robnas.results import Row
from robnas.runtime import conclusion
from robnas.study import flag_words

PLAIN = [True, None, 3, 0.5, 1e-05, "8/255", ["1/255", 1.0], {"skip": [1, 2]}, "off", "a,b", "--x", "2024-01-01"]
TRICKY = ["3", "", "true", "null", "1e-3", ["a, b"], "a #b", "a: b", ["3", ""], {"a: b": "c, d"}, "[x", 'a "b"\n', ["a}", "é"], " a", "~"]


@pytest.mark.parametrize("value", [*PLAIN, *TRICKY, math.inf, -math.inf, [math.inf], "{x", "9" * 5000], ids=str)
def test_a_flag_is_read_as_it_was_meant(value):
    assert repr(read_value(flag_words.text(value))) == repr(value)
    word = flag_words.written({"a.b": value})
    assert repr(flags.parse(word).edits) == repr([("a.b", value)])
    assert shlex.split(flag_words.typed(word)) == word


def test_what_is_read_well_has_no_quotes():
    assert flag_words.text(["1/255", 1.0]) == "[1/255,1.0]"
    assert flag_words.text("{run}") == "{run}"  # filled in later
    assert math.isnan(read_value(flag_words.text(math.nan)))


def test_a_command_is_shown_as_a_shell_takes_it():
    assert (
        flag_words.typed(["attack", "{train/darts/0/clean}", "--eps=[1,2]", "my out"])
        == "attack {train/darts/0/clean} '--eps=[1,2]' 'my out'"
    )


def test_what_a_training_says_to_do_next_can_be_copied(capsys):
    conclusion.of_fit(SimpleNamespace(default_root_dir="my runs/classify/1"), Row("accuracy", 0.9, ci=(0.8, 1.0), n=10), ())
    last = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(last) == ["next:", "robnas", "attack", "my runs/classify/1", "--config", "pgd.yaml"]
