"""One line that helps."""

import pytest

from robnas.errors import UserError, require, unknown


def test_names_the_nearest_right_name_whatever_the_case():
    assert str(unknown("searcher", "DARTZ", ["snas", "darts"])) == "unknown searcher 'DARTZ'. Did you mean 'darts'? Known: darts, snas."


def test_far_from_everything_guesses_nothing():
    assert str(unknown("model", "zzz", ["darts"])) == "unknown model 'zzz'. Known: darts."
    assert str(unknown("run", "x", [])) == "unknown run 'x'. Known: none."


def test_require():
    require(True, "never said")
    with pytest.raises(UserError, match=r"gamma: 0 is not in \(0, 1\]"):
        require(False, "gamma: 0 is not in (0, 1]")


def test_of_two_that_are_near_the_one_of_the_same_letters_is_meant():
    assert "Did you mean 'darts'?" in str(unknown("searcher", "drats", ["drnas", "darts", "snas"]))


def test_a_long_name_is_cut():
    assert len(str(unknown("operation", "x" * 10_000, ["zero"]))) < 200


def test_a_name_that_is_no_text_is_named():
    assert str(unknown("option", 1, ["depth"])) == "unknown option 1. Known: depth."
