"""Numbers read off a contour, against quadratics whose numbers are known, and the grid they stand on."""

import numpy as np
import pytest

from robnas.errors import UserError
from robnas.probes import surface


def quadratic(aa: float, bb: float, ab: float, grid: np.ndarray) -> np.ndarray:
    """2 + ½ (α, β) H (α, β)ᵀ; rows are α."""
    a, b = grid[:, None], grid[None]
    return 2 + (aa * a**2 + bb * b**2) / 2 + ab * a * b


def test_a_quadratic_loss_by_hand():
    grid = surface.steps(1.0, 5)
    assert grid.tolist() == [-1, -0.5, 0, 0.5, 1]
    found = surface.numbers(quadratic(3, 1, 1, grid), grid, level=0.5)
    assert found["curvature"] == pytest.approx(2)
    assert found["lipschitz"] == pytest.approx(2 + np.sqrt(2))  # eigenvalues 2 ± √2
    assert found["convex"] == 1
    assert found["rise"] == pytest.approx((3 + 1) / 2 * 0.5)  # mean of α² is ½, of αβ 0
    inside = [(a, b) for a in grid for b in grid if 1.5 * a * a + 0.5 * b * b + a * b <= 0.5]
    assert found["flat"] == pytest.approx(len(inside) / 25)


def test_a_saddle_is_nowhere_convex_and_its_lipschitz_constant_is_of_the_steeper_side():
    grid = surface.steps(0.3, 7)
    found = surface.numbers(quadratic(1, -4, 0, grid), grid, level=1)
    assert found["convex"] == 0
    assert found["lipschitz"] == pytest.approx(4)
    assert found["curvature"] == pytest.approx(-1.5)


def test_the_lipschitz_constant_is_the_largest_anywhere_and_rotating_the_axes_does_not_change_it():
    grid = surface.steps(1.0, 21)
    quartic = quadratic(1, 1, 0, grid) + grid[:, None] ** 4  # Γ'' = 1 + 12 α², on a grid with h = 0.1: + 2 h²
    assert surface.numbers(quartic, grid, 1)["lipschitz"] == pytest.approx(1 + 12 * 0.81 + 2 * 0.01)
    assert surface.numbers(quadratic(2, 2, 1, grid), grid, 1)["lipschitz"] == pytest.approx(
        surface.numbers(quadratic(3, 1, 0, grid), grid, 1)["lipschitz"]
    )


def test_many_contours_at_once_and_what_overflows():
    grid = surface.steps(1.0, 5)
    many = np.stack([quadratic(1, 1, 0, grid), quadratic(2, 0, 1, grid)])
    many[1, 0, 0] = np.inf
    found = surface.numbers(many, grid, level=1)
    alone = surface.numbers(many[0], grid, level=1)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(found, (2,))
    assert all(found[name][0] == alone[name] for name in found)
    assert not np.isfinite(found["rise"][1])
    assert found["flat"][1] < 1  # what overflowed is not flat
    assert np.isfinite(found["curvature"][1])


@pytest.mark.parametrize(("radius", "points", "says"), [(0, 5, "radius: 0"), (1, 4, "points: 4"), (1, 1, "points: 1")])
def test_a_grid_without_a_middle_is_refused(radius, points, says):
    with pytest.raises(UserError, match=says):
        surface.steps(radius, points)


def test_the_middle_is_exactly_zero_and_the_grid_symmetric():
    grid = surface.steps(0.1, 21)
    assert grid[10] == 0
    assert np.array_equal(grid, -grid[::-1])
    assert np.diff(grid) == pytest.approx(0.01)
