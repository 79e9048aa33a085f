"""Gradient variance against a closed form, a plain loop, and what must not matter; batch norms and weights before training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from robnas import seeds
from robnas.copies import digest, evaluation_copy
from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.initialise import kaiming_
from robnas.models.cells import cells
from robnas.probes.beginning import BATCH, begun, settled
from robnas.probes.gradient_variance import GradientVariance, gradient_variance
from robnas.probes.gradients import per_input
from robnas.probes.jackknife import Groups
from robnas.results import Rows
from robnas.space import published
from small_classifier import classifier, trainer


def inputs(n, shape=(3, 16, 16), dtype=torch.float64):
    x = seeds.uniform(torch.arange(n), shape, "inputs", dtype=dtype)
    return x, torch.arange(n) % 10


def small(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10)).to(dtype).eval()


def loop(model, x, y, clip=None):
    """[N, P], as anybody would write it."""
    rows = []
    for i in range(len(x)):
        model.zero_grad()
        cross_entropy(model(x[i : i + 1]), y[i : i + 1]).backward()
        g = torch.cat([p.grad.flatten() for p in model.parameters()])
        rows.append(g * min(1.0, clip / float(g.norm())) if clip else g)
    return torch.stack(rows)


def test_a_linear_model_by_its_closed_form():
    """∇W = (p − e_y) xᵀ, ∇b = p − e_y."""
    x, y = inputs(9, (5,))
    model = nn.Linear(5, 10).double()
    residual = (model(x).softmax(1) - nn.functional.one_hot(y, 10)).detach()
    g = torch.cat([(residual[:, :, None] * x[:, None]).flatten(1), residual], 1)
    found = gradient_variance(model, x, y, chunk=4)
    assert found.variance == pytest.approx(float(g.var(0).sum()), rel=1e-12)
    assert found.mean_squared == pytest.approx(float(g.mean(0).square().sum() - g.var(0).sum() / 9), rel=1e-12)
    assert (found.parameters, found.n) == (60, 9)


def test_two_inputs_by_hand():
    """Gradients of a model without weights but a bias [2]: p − e_y with p = (½, ½), so (−½, ½) and (½, −½): mean 0, squares ½ each."""

    class Bias(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x):
            return self.bias.expand(len(x), 2)

    found = gradient_variance(Bias(), torch.zeros(2, 1, dtype=torch.float64), torch.tensor([0, 1]), deviations=True)
    assert found.variance == pytest.approx(1.0)  # (½ + ½) / (2 − 1)
    assert found.deviations == pytest.approx(2 * 0.5**0.5)
    assert found.mean_squared == pytest.approx(0 - 1 / 2)


@pytest.mark.parametrize("method", ["hooks", "vmap", "loop"])
@pytest.mark.parametrize("clip", [None, 1.5])
def test_a_plain_loop_finds_the_same(method, clip):
    model, (x, y) = small(), inputs(23)
    g = loop(model, x, y, clip)
    found = gradient_variance(evaluation_copy(model), x, y, 7, method, clip, deviations=True)
    assert found.variance == pytest.approx(float(g.var(0).sum()), rel=1e-10)
    assert found.deviations == pytest.approx(float(g.std(0).sum()), rel=1e-10)


def test_in_single_precision_to_1e_5():
    model, (x, y) = small(torch.float32), inputs(64, dtype=torch.float32)
    g = loop(model, x, y).double()
    assert gradient_variance(model, x, y).variance == pytest.approx(float(g.var(0).sum()), rel=1e-5)


def test_sixteen_bit_gradients_are_summed_in_single_precision():
    model, (x, y) = small(torch.float32).bfloat16(), inputs(64, dtype=torch.bfloat16)
    g = torch.cat([*per_input(model, x, y, 64)]).double()
    found = gradient_variance(model, x, y, chunk=8, deviations=True)
    assert found.variance == pytest.approx(float(g.var(0).sum()), rel=1e-4)
    assert found.deviations == pytest.approx(float(g.std(0).sum()), rel=1e-4)


def test_a_split_of_too_few_inputs_is_a_line():
    with pytest.raises(UserError, match="2 inputs of the train split are not ≥ 3"):
        GradientVariance().measure(small(), *inputs(2))


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_the_chunk_does_not_matter(chunk):
    model, (x, y) = small(), inputs(23)
    reference, found = gradient_variance(model, x, y, 23, deviations=True), gradient_variance(model, x, y, chunk, deviations=True)
    assert np.allclose(np.hstack(list(found)), np.hstack(list(reference)), rtol=1e-10)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Inputs drawn again and again; the truth is the variance of very many."""
    model = nn.Linear(3, 10).double()
    x, y = inputs(60 * 200 + 20_000, (3,))
    truth = gradient_variance(model, x[12_000:], y[12_000:], 4096).variance
    found = [gradient_variance(model, a, b, 60) for a, b in zip(x[:12_000].split(60), y[:12_000].split(60), strict=True)]
    share = np.mean([low <= truth <= high for low, high in (f.interval for f in found)])
    assert 0.90 <= share <= 0.99  # 0.95 ± 3 standard errors of 200


def test_a_network_of_cells_goes_through_vmap():
    torch.manual_seed(0)
    net = cells(published.find("darts"), 10, (3, 16, 16), layers=3, init_channels=2).double().eval()
    x, y = inputs(4)
    g = loop(net, x, y)
    assert gradient_variance(evaluation_copy(net), x, y).variance == pytest.approx(float(g.var(0).sum()), rel=1e-9)


class Branches(nn.Module):
    """A way through it depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(768, 10)

    def forward(self, x):
        return self.one(x.flatten(1)) if x.mean() > 0 else x.flatten(1)[:, :10]


def test_what_vmap_cannot_do_names_the_loop_and_the_loop_does_it():
    x, y = inputs(3, dtype=torch.float32)
    with pytest.raises(UserError, match="method: loop can"):
        gradient_variance(Branches(), x, y, method="vmap")
    assert gradient_variance(Branches(), x, y, method="loop").variance > 0


class OnePixel(nn.Module):
    """Pools as `adaptive_avg_pool2d` does in channels_last, as which a single map of one pixel may count."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(3, 10)

    def forward(self, x):
        pooled = x.mean((2, 3), keepdim=True)
        return self.one(pooled.as_strided_((len(x), 3, 1, 1), (3, 1, 3, 3)).flatten(1))


def test_what_torch_has_no_batching_rule_for_is_no_warning():
    """They are errors here."""
    torch.manual_seed(0)
    model, (x, y) = OnePixel().double(), inputs(4)
    assert gradient_variance(evaluation_copy(model), x, y).variance == pytest.approx(float(loop(model, x, y).var(0).sum()), rel=1e-10)


def test_a_large_network_gets_smaller_chunks(monkeypatch):
    monkeypatch.setattr("robnas.probes.gradients.AT_ONCE", 20_000)
    model, (x, y) = small(), inputs(5)
    assert sum(p.numel() for p in model.parameters()) == 7_962 + 8
    assert [len(g) for g in per_input(model, x, y, 64)] == [2, 2, 1]


def test_mini_batches_with_norms_as_in_training():
    model, (x, y) = small(), inputs(20)
    found = GradientVariance(n_samples=20, batch=6, batch_norm="batch").measure(evaluation_copy(model), x, y)
    model.train()
    g = []
    for i in (0, 6, 12):  # the last two inputs are no batch
        model.zero_grad()
        cross_entropy(model(x[i : i + 6]), y[i : i + 6]).backward()
        g.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert found.values["gradient_variance"] == pytest.approx(float(torch.stack(g).var(0).sum()), rel=1e-10)
    assert found.numbers["gradient_variance"].n == 18


# Before training


def test_settled_norms_are_those_of_the_inputs():
    model, (x, _) = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).double().eval(), inputs(2 * BATCH + 3)
    settled(model, x)
    halves = [x[:BATCH], x[BATCH : 2 * BATCH]]  # what remains is no batch
    assert torch.allclose(model[0].running_mean, torch.stack([h.mean((0, 2, 3)) for h in halves]).mean(0))
    assert torch.allclose(model[0].running_var, torch.stack([h.var((0, 2, 3)) for h in halves]).mean(0))
    assert model[0].momentum == 0.1
    assert not any(m.training for m in model.modules())


def test_own_and_kaiming_weights_before_training_are_those_that_training_begins_with(tmp_path):
    for initialisation in ("own", "kaiming"):
        task = classifier(initialisation=initialisation)
        t = trainer(tmp_path)
        t.fit(task, datamodule=Digits(batch_size=32))
        fresh = classifier(initialisation=initialisation)
        fresh._build(task.data)
        again = begun(evaluation_copy(task), initialisation)
        network = getattr(again, "network", again)
        assert digest(network) == digest(fresh.network)
        assert digest(network) != digest(task.network)


def test_kaiming_of_any_network_and_own_of_none_but_a_classifiers():
    model, other = small(), small()
    kaiming_(other, seeds.of_run())
    assert torch.equal(begun(model, "kaiming")[0].weight, other[0].weight)
    with pytest.raises(UserError, match="own is not known of a Sequential"):
        begun(small(), "own")


def test_in_fit_before_and_after(tmp_path):
    probes = [GradientVariance(n_samples=6), GradientVariance(n_samples=6, initialisation="own", batch_norm="inputs", deviations=True)]
    task = classifier()
    trainer(tmp_path, callbacks=probes).fit(task, datamodule=Digits(batch_size=32))
    rows = Rows(tmp_path / "results.jsonl").read()
    first = {row.params["at"]: row for row in rows if row.metric == "gradient_variance" and row.params["initialisation"] is None}
    assert first.keys() == {"fit_start", "fit_end"}
    assert first["fit_start"].value != first["fit_end"].value
    own = [row.value for row in rows if row.metric == "sum_of_deviations"]
    assert own[0] == own[1] > 0  # the same before and after training
    each = next(row for row in rows if row.metric == "gradient_variance_per_parameter")
    parameters = sum(p.numel() for p in task.parameters())
    assert each.value * parameters == pytest.approx(rows[0].value)
    assert np.allclose(np.multiply(each.ci, parameters), rows[0].ci)
    assert (each.n, each.ci_method) == (6, "student")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "vmapp"}, "method 'vmapp'"),
        ({"batch_norm": "train"}, "batch_norm 'train'"),
        ({"initialisation": "kaimin"}, "Did you mean 'kaiming'"),
        ({"n_samples": 1}, "n_samples: 1"),
        ({"n_samples": 9, "batch": 5}, "n_samples: 9 is not ≥ 15"),
        ({"batch_norm": "batch"}, "batch: 1"),
        ({"chunk": 0}, "chunk: 0"),
        ({"clip": 0.0}, "clip: 0.0"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(UserError, match=says):
        GradientVariance(**wrong).check()


def test_intervals_of_what_is_no_mean_leave_groups_out_as_a_loop_does():
    model, (x, y) = small(), inputs(23)
    g = loop(model, x, y)
    found = gradient_variance(evaluation_copy(model), x, y, 7, deviations=True)
    part = Groups(torch.zeros(1), 23, False, 100).group
    assert torch.bincount(part).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    squared, deviations = [], []
    for i in range(10):
        rest = g[part != i]
        n = len(rest)
        squared.append(float((rest.sum(0).square().sum() - rest.square().sum()) / (n * (n - 1))))
        deviations.append(float(rest.std(0).sum()))
    for value, without, ci in ((found.mean_squared, squared, found.of_mean), (found.deviations, deviations, found.of_deviations)):
        error = np.sqrt(9 / 10 * np.sum((np.array(without) - np.mean(without)) ** 2))
        assert ci == pytest.approx((value - 2.262157 * error, value + 2.262157 * error), rel=1e-4)
    alone = gradient_variance(evaluation_copy(model), x, y, 1, "loop", deviations=True)
    assert alone.of_mean == pytest.approx(found.of_mean, rel=1e-9)
    assert alone.of_deviations == pytest.approx(found.of_deviations, rel=1e-9)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_intervals_of_what_is_no_mean_hold_the_truth_as_often_as_they_say(mean):
    """Of 100 samples of 40 gradients in 20 dimensions with deviations 1, 2, 1, 2, …"""
    generator, hits = torch.Generator().manual_seed(0), []
    spread = torch.tensor([1.0, 2.0], dtype=torch.float64).repeat(10)
    for _ in range(100):
        g = mean + spread * torch.randn(40, 20, generator=generator, dtype=torch.float64)
        groups = Groups(g[0], 40, True, 1000)
        groups.add(g[:30], 0)
        groups.add(g[30:], 30)
        squared = float((g.sum(0).square().sum() - g.square().sum()) / (40 * 39))
        for truth, (low, high) in (
            (20 * mean**2, groups.of_mean_squared(squared)),
            (float(spread.sum()), groups.of_deviations(float(g.std(0).sum()))),
        ):
            hits.append(low <= truth <= high)
    shares = np.mean(np.reshape(hits, (100, 2)), 0)
    assert (shares >= 0.88).all()  # 0.95 less three standard errors
    assert (shares <= 0.999).all()
