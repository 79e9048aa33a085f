"""Ageing evolution: who dies, who becomes a parent, and what a mutation changes."""

from collections import Counter
from random import Random

import pytest
from scipy.stats import binomtest, chisquare

from robnas.search.amoebanet import MUTATIONS, AmoebaNet, changed, mutate, neighbours
from robnas.space.mixture import Mixture
from robnas.space.percentile import random_genotype
from robnas.space.search_space import Space
from small_sampled import NASNET

SPACES = {"darts": Space(), "nasnet": NASNET, "one source": Space(nodes=3, sources=1), "concat": Space(concat=(4, 5))}


def amoebanet(space: Space = NASNET, **arguments) -> AmoebaNet:
    searcher = AmoebaNet(**arguments)
    searcher.build(space, seed=0)
    return searcher


def test_the_oldest_dies_however_good_it_is():
    searcher = amoebanet(population=3, tournament=1)
    asked = searcher.ask_many(5)
    for genotype, score in zip(asked, (0.9, 0.1, 0.2, 0.3, 0.05), strict=True):
        searcher.tell(genotype, score)
    assert [member.score for member in searcher.members] == [0.2, 0.3, 0.05]  # not 0.05, the worst, but 0.9 and 0.1 are gone
    assert searcher.derive() == asked[0]  # but the history's best is what is found


def test_a_child_may_be_bred_while_others_are_still_scored():
    """Of the first three one has been told: it is the fourth one's parent."""
    searcher = amoebanet(population=3, tournament=1, identity=0.0)
    first = searcher.ask_many(3)
    searcher.tell(first[1], 0.5)
    assert len(differences(first[1], searcher.ask())) == 1


def test_parents_are_winners_of_tournaments_drawn_with_replacement():
    """Of two members drawn twice, the better one wins unless the other is drawn both times: ¾."""
    searcher = amoebanet(population=2, tournament=2, identity=1.0)
    for genotype, score in zip(parents := searcher.ask_many(2), (0.1, 0.2), strict=True):
        searcher.tell(genotype, score)
    children = Counter(searcher.ask_many(1000))
    assert set(children) == set(parents)
    assert binomtest(children[parents[1]], 1000, 0.75).pvalue > 1e-3


def test_a_tournament_of_everybody_is_mostly_won_by_the_best():
    searcher = amoebanet(population=3, tournament=3, identity=1.0)
    for genotype, score in zip(parents := searcher.ask_many(3), (0.3, 0.1, 0.2), strict=True):
        searcher.tell(genotype, score)
    assert binomtest(searcher.ask_many(500).count(parents[0]), 500, 1 - (2 / 3) ** 3).pvalue > 1e-3


def test_the_population_is_filled_with_uniform_draws_and_then_bred():
    searcher = amoebanet(population=4, tournament=1, identity=0.0)
    first = searcher.ask_many(4)
    for genotype in first:
        searcher.tell(genotype, 0.5)
    for child in searcher.ask_many(20):
        assert sorted(len(differences(parent, child)) for parent in first)[0] == 1
    for one in first:
        assert all(len(differences(one, other)) > 1 for other in first if other is not one)


def test_a_child_may_be_asked_for_before_any_member_was_scored():
    searcher = amoebanet(population=1, tournament=1)
    assert len(set(searcher.ask_many(3))) == 3


def test_identity_is_as_frequent_as_it_says():
    searcher = amoebanet(population=1, tournament=1, identity=0.3)
    searcher.tell(parent := searcher.ask(), 0.5)
    assert binomtest(searcher.ask_many(500).count(parent), 500, 0.3).pvalue > 1e-3


def differences(one, other) -> list[str]:
    """What differs, place by place: operations and sources."""
    found = []
    for kind in one.cells:
        for a, b in zip(one.cells[kind].nodes, other.cells[kind].nodes, strict=True):
            for x, y in zip(a, b, strict=True):
                found += ["operation"] * (x.operation != y.operation) + ["source"] * (x.source != y.source)
    return found


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_mutation_changes_exactly_one_thing_and_stays_in_the_space(space):
    seen = Counter()
    for number in range(200):
        parent = random_genotype(space, 0, number)
        child = mutate(parent, space, Random(number))
        (what,) = differences(parent, child)
        assert child != parent
        seen[what] += 1
        Mixture.of(child, space)
        for cell in child.cells.values():
            assert cell.concat == space.outputs_of(cell.nodes)
            for edges in cell.nodes:
                assert space.repeats or len({e.source for e in edges}) == len(edges)
                assert all(e.operation != "zero" for e in edges)
    assert binomtest(seen["source"], 200, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("space", [NASNET, Space(nodes=2)], ids=["nasnet", "two nodes"])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_places_and_replacements_are_uniform(space, mutation, monkeypatch):
    parent = random_genotype(space, 3)
    ways = list(neighbours(parent, space, mutation))
    per_place = Counter(way[:3] for way in ways)
    monkeypatch.setattr("robnas.search.amoebanet.MUTATIONS", (mutation, mutation))
    p = Counter()
    for way in ways:  # two of them may lead to one cell, where the edges of a node swap
        p[changed(parent, space, way)] += 1 / len(per_place) / per_place[way[:3]]
    random, n = Random(0), 20 * len(ways)
    found = Counter(mutate(parent, space, random) for _ in range(n))
    assert set(found) <= set(p)
    assert chisquare([found[child] for child in p], [n * p[child] for child in p]).pvalue > 1e-3


def test_where_one_mutation_is_impossible_the_other_is_done():
    narrow = Space(nodes=1)  # its one node reads both inputs: no other source is left
    parent = random_genotype(narrow, 0)
    assert {tuple(differences(parent, mutate(parent, narrow, Random(i)))) for i in range(20)} == {("operation",)}
    single = Space(operations=("sep_conv_3x3",))
    parent = random_genotype(single, 0)
    assert {tuple(differences(parent, mutate(parent, single, Random(i)))) for i in range(20)} == {("source",)}
    neither = Space(operations=("sep_conv_3x3",), nodes=1)
    parent = random_genotype(neither, 0)
    assert mutate(parent, neither, Random(0)) == parent
