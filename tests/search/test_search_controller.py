"""The controller is a probability distribution over the space: enumerated, sampled, and one softmax by hand."""

import math

import pytest
import torch
from scipy.stats import chisquare

from robnas.errors import UserError
from robnas.search.controller import Controller
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from small_sampled import ARMS, NASNET, all_decisions

ONE = ("sep_conv_3x3",)
SMALL = {
    "arms": ARMS,
    "two operations": Space(("sep_conv_3x3", "skip_connect"), nodes=1),
    "no source twice": Space(ONE, nodes=2),
    "a source twice": Space(ONE, nodes=2, repeats=True, loose_ends=True),
    "more sources than there are": Space(ONE, nodes=2, sources=3),
}


def controller(space: Space, **arguments) -> Controller:
    """Far from uniform."""
    made = Controller(space, seed=0, hidden=4, **arguments)
    for parameter in made.parameters():
        parameter.data *= 10
    made.attention.weight.data *= 10
    return made


@pytest.mark.parametrize("space", SMALL.values(), ids=SMALL)
def test_probabilities_sum_to_one_and_the_entropy_is_that_of_the_whole(space):
    made = controller(space)
    with torch.no_grad():
        policy = made(all_decisions(made))
    p = policy.log_prob.exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    assert p.max() > 1.5 * p.min()
    entropy = -(p * policy.log_prob).sum()
    assert float((p * policy.entropy).sum()) == pytest.approx(float(entropy), abs=1e-12)


@pytest.mark.parametrize("space", [SMALL["no source twice"], SMALL["two operations"]], ids=["sources", "operations"])
def test_draws_are_as_likely_as_it_says(space):
    made = controller(space)
    with torch.no_grad():
        every = made(all_decisions(made))
        drawn = made.draw(torch.rand(4000, made.length, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    row = {tuple(d): i for i, d in enumerate(every.decisions.tolist())}
    found = torch.bincount(torch.tensor([row[tuple(d)] for d in drawn.decisions.tolist()]), minlength=len(row)).double()
    expected = 4000 * every.log_prob.exp()
    often = expected >= 5
    seen, due = [torch.cat((counts[often], counts[~often].sum()[None])) for counts in (found, expected)]
    assert chisquare(seen[due > 0], due[due > 0]).pvalue > 1e-3
    assert torch.equal(drawn.log_prob, made(drawn.decisions).log_prob)


def test_what_has_no_probability_is_not_drawn_by_the_smallest_number_either():
    made = controller(SMALL["no source twice"])
    (genotype,) = made.genotypes(made.draw(torch.zeros(1, made.length, dtype=torch.float64)).decisions)
    assert [[e.source for e in edges] for edges in genotype.normal.nodes] == [[0, 1], [0, 1]]


def test_logits_are_bounded_as_written_down():
    made = Controller(ARMS, seed=0, hidden=4, tanh_constant=1.5, temperature=2.0)
    made.operation.weight.data.zero_()
    made.operation.bias.data = torch.tensor([3.0, -1.0], dtype=torch.float64)
    z = [1.5 * math.tanh(1.5), 1.5 * math.tanh(-0.5)]
    p = [math.exp(v) / sum(map(math.exp, z)) for v in z]
    no_bound = Controller(ARMS, seed=0, hidden=4)
    no_bound.load_state_dict(made.state_dict())
    with torch.no_grad():
        first, second = (c(all_decisions(c)) for c in (made, no_bound))
    arm = first.decisions[:, 1] == 0  # the operation of the normal cell
    assert float(first.log_prob[arm].exp().sum()) == pytest.approx(p[0], abs=1e-12)
    assert float(second.log_prob[arm].exp().sum()) == pytest.approx(1 / (1 + math.exp(-4)), abs=1e-12)


def test_a_decision_depends_on_those_before_it():
    made = controller(SMALL["two operations"])
    rows = all_decisions(made)
    p = made(rows).log_prob.exp().detach()
    normal, reduce = rows[:, :4], rows[:, 4:]
    given = {}
    for first in normal.unique(dim=0):
        part = p * (normal == first).all(1)
        given[tuple(first.tolist())] = float(part[(reduce[:, 2] == 0)].sum() / part.sum())
    assert max(given.values()) - min(given.values()) > 0.01


@pytest.mark.parametrize("space", [Space(), NASNET, Space(sources=3, nodes=3)], ids=["darts", "nasnet", "three sources"])
def test_what_it_writes_lies_in_the_space_and_is_read_back(space):
    made = Controller(space, seed=0, hidden=4)
    drawn = made.draw(torch.rand(50, made.length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).decisions
    genotypes = made.genotypes(drawn)
    assert torch.equal(made.decisions(genotypes), drawn)
    for genotype in genotypes:
        Mixture.of(genotype, space)
        for cell in genotype.cells.values():
            assert cell.concat == space.outputs_of(cell.nodes)
            for node, edges in cell.numbered():
                assert len(edges) == (space.sources if space.repeats else min(space.sources, node))
                assert space.repeats or len({e.source for e in edges}) == len(edges)
                assert all(e.operation != "zero" for e in edges)
    if space.repeats:
        assert any(len({e.source for e in edges}) < len(edges) for g in genotypes for edges in g.normal.nodes)


def test_each_draw_has_its_own_stream():
    """So a child does not depend on how many are asked for at a time."""
    made = controller(Space(nodes=2))
    u = torch.rand(5, made.length, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.equal(made.draw(u).decisions, torch.cat([made.draw(row[None]).decisions for row in u]))


def test_the_seed_decides_where_it_starts_and_nothing_else_is_drawn_from():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, again, other = (Controller(ARMS, seed, hidden=4).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in one.items():
        assert torch.equal(value, again[name])
        assert not torch.equal(value, other[name])
        assert value.dtype == torch.float64
        assert value.abs().max() <= 0.1


def test_zeros_alone_are_no_cell():
    with pytest.raises(UserError, match="zeros alone"):
        Controller(Space(("zero",)), seed=0, hidden=4)
