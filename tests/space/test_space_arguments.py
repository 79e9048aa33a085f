"""A space that cannot be is refused in one line, before anything is built for it."""

import pytest

from robnas.errors import UserError
from robnas.space.search_space import Space


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"nodes": 0}, "nodes: 0 is below 1"),
        ({"sources": -1}, "sources: -1 is below 1"),
        ({"operations": ()}, "operations: there is none; allowed: at least one"),
        ({"operations": ("zero", "skip_connect", "zero")}, r"operations: \['zero', 'skip_connect', 'zero'\] has one of them twice"),
        ({"operations": ("zero", "sep_conv_9x9")}, "unknown operation 'sep_conv_9x9'.*Did you mean 'sep_conv_"),
        ({"concat": (1, 2)}, r"concat: \[1, 2\] are not all among nodes \[2, 3, 4, 5\]"),
        ({"concat": (5, 6)}, r"concat: \[5, 6\] are not all among nodes \[2, 3, 4, 5\]"),
        ({"nodes": 2, "concat": (4,)}, r"concat: \[4\] are not all among nodes \[2, 3\]"),
        ({"concat": (3, 3)}, r"concat: \[3, 3\] has a node twice"),
    ],
)
def test_a_space_that_cannot_be_is_refused_in_one_line(wrong, says):
    with pytest.raises(UserError, match=says) as error:
        Space(**wrong)
    assert "\n" not in str(error.value)
