import pytest

from robnas.units import fraction


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), (" -1 / 4 ", -0.25), ("0.5/2", 0.25), ("+3/1", 3.0)])
def test_fractions(text, value):
    assert fraction(text) == value


@pytest.mark.parametrize("text", ["8/0", "a/b", "8", "1/2/3", "8/-255", "", "data/x", "1e3/2"])
def test_everything_else_is_none(text):
    assert fraction(text) is None
