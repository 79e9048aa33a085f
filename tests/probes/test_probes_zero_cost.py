"""Zero-cost scores as a probe: the numbers of `space.untrained`, batch by batch, with nothing changed."""

import math

import pytest
import torch
from torch import nn

from robnas.copies import digest, evaluation_copy
from robnas.errors import UserError
from robnas.models.normalize import Normalized
from robnas.probes.zero_cost import ZeroCost, number
from robnas.results import Rows
from robnas.space.network import Network
from robnas.space.published import find
from robnas.space.untrained import SCORES
from small_classifier import classifier, digits, trainer


def network(**arguments):
    torch.manual_seed(0)
    return Network(find("darts"), num_classes=10, layers=3, init_channels=4, **arguments)


def inputs(n=48):
    g = torch.Generator().manual_seed(1)
    return torch.rand(n, 3, 16, 16, generator=g), torch.randint(0, 10, (n,), generator=g)


def test_every_score_is_the_mean_over_batches_of_the_function_s():
    net, (x, y) = network(), inputs()
    found = ZeroCost(n_samples=48, batch=16).measure(net, x, y).values
    for name in ("nwot", "grad_norm"):
        each = [SCORES[name](net, x[i : i + 16], y[i : i + 16]) for i in (0, 16, 32)]
        assert found[name] == pytest.approx(sum(each) / 3)
    assert found["log_synflow"] == pytest.approx(math.log1p(SCORES["synflow"](net, x, y)))


def test_n_is_of_whole_batches():
    net, (x, y) = network(), inputs(20)
    probe = ZeroCost(n_samples=20, batch=16, scores=("grad_norm",))
    assert probe.measure(net, x, y).numbers["grad_norm"].n == 16
    assert probe.measure(net, x[:5], y[:5]).numbers["grad_norm"].n == 5  # fewer than a batch are one


class Negative(nn.Module):
    """Its answer is below zero whatever its weights' signs are."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 2, 3), nn.GroupNorm(1, 2)

    def forward(self, x):
        return -100 * self.norm(self.conv(x)).flatten(1).square()


def test_a_flow_that_other_norms_even_out_says_so():
    _, (x, y) = network(), inputs(2)
    probe = ZeroCost(scores=("synflow",))
    normed = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10))
    found = probe.measure(normed, x, y).numbers["log_synflow"]
    assert found.flags == ("GroupNorm evens out what flows",)
    assert probe.measure(network(), x, y).numbers["log_synflow"].flags == ()
    torch.manual_seed(0)
    below = probe.measure(Negative(), x, y).numbers["log_synflow"]
    assert below.value is None or below.value < 0


def test_the_interval_by_hand_and_what_is_not_finite():
    """Of 1 and 3: mean 2, standard error 1, and t = 12.706 at one degree of freedom."""
    assert number([1.0, 3.0], 8) == (2.0, 8, pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3), "student", ())
    assert number([5.0], 4) == (5.0, 4, None, None, ())
    assert number([1.0, -math.inf], 8) == (None, 8, None, None, ("not finite",))


def test_synaptic_flow_goes_past_the_normalisation_of_pixels():
    net, (x, y) = network(), inputs()
    probe = ZeroCost(scores=("synflow",))
    plain = probe.measure(net, x, y).values
    assert probe.measure(Normalized(net, [0.5], [0.01]), x, y).values == plain


def test_dropout_draws_from_its_own_seed_and_nothing_changes():
    model, (x, y) = Normalized(network(dropout=0.3, drop_path=0.2), [0.5], [0.5]), inputs()
    frozen, random = evaluation_copy(model), torch.get_rng_state()
    before = digest(frozen)
    probe = ZeroCost(n_samples=48, batch=48)
    first = probe.measure(frozen, x, y).values
    torch.rand(3)
    assert probe.measure(frozen, x, y).values == first
    assert digest(frozen) == before
    assert not frozen.training
    assert not any(p.requires_grad or p.grad is not None for p in frozen.parameters())
    torch.set_rng_state(random)
    drawn = torch.rand(1)
    torch.set_rng_state(random)
    probe.measure(frozen, x, y)
    assert torch.equal(torch.rand(1), drawn)


def test_a_network_without_relu_has_no_nwot():
    net, (x, y) = nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(2 * 14 * 14, 10)), inputs()
    assert set(ZeroCost().measure(net, x, y).values) == {"log_synflow", "grad_norm"}


def test_in_fit_it_looks_before_the_first_step(tmp_path):
    task = classifier()
    trainer(tmp_path, callbacks=[ZeroCost(n_samples=32, batch=16)]).fit(task, digits())
    rows = {row.metric: row for row in Rows(tmp_path / "results.jsonl").read() if row.plugin == "zerocost"}
    assert set(rows) == {"log_synflow", "nwot", "grad_norm"}
    assert {row.params["at"] for row in rows.values()} == {"fit_start"}
    assert all(math.isfinite(row.value) for row in rows.values())


@pytest.mark.parametrize(
    ("probe", "says"),
    [
        (ZeroCost(batch=1), "batch: 1 is not from 2"),
        (ZeroCost(n_samples=8), "batch: 64 is not from 2 to n_samples, 8"),
        (ZeroCost(scores=("synflw",)), "'synflow'"),
    ],
)
def test_wrong_settings_are_a_line(probe, says):
    with pytest.raises(UserError, match=says):
        probe.check()
