"""γ of §5.2, by hand, in both readings."""

import sys

import pytest
import torch

from robnas import plugins
from robnas.errors import UserError
from robnas.search.base import Relaxed, Searcher
from robnas.search.damping import damp
from robnas.search.darts import DARTS
from robnas.space.search_space import Space

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=1)  # two edges


def darts(alpha: list[list[float]], **arguments) -> DARTS:
    searcher = DARTS(**arguments)
    searcher.build(SPACE, seed=0)
    for parameter in searcher.alpha.values():
        parameter.data = torch.tensor(alpha, dtype=torch.float64)
    return searcher


LOG2 = 0.6931471805599453


def test_gamma_on_the_weight_multiplies_the_softmax_and_leaves_the_others():
    # softmax(0, ln 2, 0) = (1, 2, 1) / 4
    weights = darts([[0, LOG2, 0]] * 2, gamma=0.5, damp="weight").mixture().weights["normal"]
    assert weights[0].tolist() == pytest.approx([0.25, 0.25, 0.25], abs=1e-15)


def test_gamma_on_alpha_multiplies_inside_the_softmax():
    # softmax(0, ½ · 2 ln 2, 0) = (1, 2, 1) / 4
    weights = darts([[0, 2 * LOG2, 0]] * 2, gamma=0.5, damp="alpha").mixture().weights["reduce"]
    assert weights[1].tolist() == pytest.approx([0.25, 0.5, 0.25], abs=1e-15)


def test_gamma_on_a_negative_alpha_raises_the_skip_connect():
    alpha = [[0, -2 * LOG2, 0]] * 2  # softmax = (4, 1, 4) / 9; with γ = ½: (2, 1, 2) / 5
    plain, literal = darts(alpha).mixture(), darts(alpha, gamma=0.5, damp="alpha").mixture()
    assert plain.weights["normal"][0, 1].item() == pytest.approx(1 / 9)
    assert literal.weights["normal"][0, 1].item() == pytest.approx(1 / 5)
    assert darts(alpha, gamma=0.5, damp="weight").mixture().weights["normal"][0, 1].item() == pytest.approx(1 / 18)


def test_gamma_scales_the_gradient_of_alpha():
    searcher = darts([[0, 0, 0]] * 2, gamma=0.5, damp="alpha")
    searcher.mixture().weights["normal"][0, 1].backward()
    # dw₁/dα₁ = γ w₁ (1 − w₁) with w₁ = ⅓; dw₁/dα₀ = −w₁ w₀
    assert searcher.alpha["normal"].grad[0].tolist() == pytest.approx([-1 / 9, 0.5 * 2 / 9, -1 / 9])


def test_a_space_without_skip_connects_has_nothing_to_damp():
    x = torch.ones(2, 2)
    assert damp(x, 0.5, Space(operations=("zero", "sep_conv_3x3"), nodes=1)) is x


def test_derives_from_undamped_weights_unless_asked():
    alpha = [[0, 1.0, 0.9]] * 2
    assert darts(alpha, gamma=0.5).derive().normal.skips == 2
    assert darts(alpha, gamma=0.5, derive_from="damped").derive().normal.skips == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"gamma": 0}, r"gamma: 0 is not in \(0, 1\]"),
        ({"gamma": 1.5}, "gamma"),
        ({"gamma": float("nan")}, "gamma"),
        ({"damp": "alfa"}, "Did you mean 'alpha'"),
        ({"derive_from": "x"}, "derive_from"),
        ({"init_scale": -1}, "init_scale"),
    ],
)
def test_wrong_values_are_said_in_one_line(wrong, says):
    with pytest.raises(UserError, match=says) as error:
        DARTS(**wrong)
    assert "\n" not in str(error.value)


class Annealed(DARTS):
    def __init__(self, temperature: float = 2.0, **arguments) -> None:
        super().__init__(**arguments)
        self.temperature = temperature


def test_plain_values_make_the_same_searcher_again():
    config = Annealed(temperature=3.0, gamma=0.25).to_config()
    assert config["init_args"] == {"temperature": 3.0, "gamma": 0.25, "damp": "weight", "derive_from": "undamped", "init_scale": 1e-3}
    assert DARTS.of(config).to_config() == config
    assert DARTS.of(DARTS(gamma=0.5).to_config()).gamma == 0.5


@pytest.mark.parametrize("path", ["torch.nn.Linear", "os.system", "nowhere.At", "", "robnas.search.base.Sampled"])
def test_what_is_no_searcher_is_not_called(path):
    with pytest.raises(UserError, match="searcher"):
        Relaxed.of({"class_path": path, "init_args": {}})


def test_what_a_checkpoint_names_is_not_imported():
    """To import `this` prints a poem."""
    sys.modules.pop("this", None)
    with pytest.raises(UserError, match=r"'this\.Zen' is neither imported nor an installed plug-in"):
        Relaxed.of({"class_path": "this.Zen", "init_args": {}})
    assert "this" not in sys.modules


def test_an_installed_searcher_is_imported_even_if_declared_by_a_shorter_path(tmp_path, monkeypatch):
    (tmp_path / "annealing").mkdir()
    (tmp_path / "annealing" / "__init__.py").write_text("from annealing.slow import Slow\n")
    (tmp_path / "annealing" / "slow.py").write_text("from robnas.search.darts import DARTS\n\nclass Slow(DARTS):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugin = plugins.Plugin("robnas.searchers", "slow", "annealing:Slow", "annealing", "1")
    monkeypatch.setattr(plugins, "declared", lambda group: (plugin,))
    assert type(Relaxed.of({"class_path": "annealing.slow.Slow", "init_args": {}})).__name__ == "Slow"


def test_alpha_is_a_function_of_the_seed():
    one, two, other = DARTS(), DARTS(), DARTS()
    for searcher, seed in ((one, 1), (two, 1), (other, 2)):
        searcher.build(Space(), seed)
    assert torch.equal(one.alpha["normal"], two.alpha["normal"])
    assert not torch.equal(one.alpha["normal"], other.alpha["normal"])
    assert not torch.equal(one.alpha["normal"], one.alpha["reduce"])
    assert one.alpha["normal"].shape == (14, 10)
    assert 5e-4 < one.alpha["normal"].std().item() < 2e-3
    assert isinstance(one, Searcher)


def test_noise_is_one_draw_a_step():
    searcher = DARTS()
    searcher.build(SPACE, 0)
    draws = [torch.rand(1, generator=searcher.generator("gumbel")).item() for searcher.step in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
