"""What scores an architecture: shared weights against counts by hand, untrained networks against the scores they are made of."""

import json
import math
from dataclasses import replace

import pytest
import torch

from command_line import robnas
from ranks import run_on_ranks
from robnas import seeds
from robnas.errors import UserError
from robnas.search.evaluator import Evaluator, Scene, canonical, key
from robnas.search.shared_weights import SharedWeights
from robnas.search.zero_cost import ZeroCost
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.network import Network
from robnas.space.percentile import random_genotype
from robnas.space.search_space import Space
from robnas.space.untrained import SCORES

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)
DATA = {"num_classes": 3, "image_shape": [3, 16, 16], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "class_names": ["a", "b", "c"]}


def genotype(*operations):
    """Both cells: two nodes that read both inputs by these four operations."""
    edges = [Edge(operation, source) for operation, source in zip(operations, (0, 1, 0, 1), strict=True)]
    cell = Cell((tuple(edges[:2]), tuple(edges[2:])), (2, 3))
    return Genotype(cell, cell)


SKIPS = [genotype(*["skip_connect"] * n, *["sep_conv_3x3"] * (4 - n)) for n in range(5)]


def logits(x, mixture):
    """Class 1 for the first n images of a batch, n the skips of the normal cell; class 0 for the others."""
    n = int(mixture.weights["normal"][:, SPACE.operations.index("skip_connect")].sum())
    return torch.eye(3)[(torch.arange(len(x)) < n).long()]


def images(n, seed=0):
    return torch.rand(n, 3, 16, 16, generator=seeds.generator(seed))


def scene(validation=(), **changes):
    """A batch of eight, all of class 1."""
    given = {"x": images(8), "y": torch.ones(8).long(), "space": SPACE, "data": DATA, "seed": 5, "folder": None, "logits": logits}
    return Scene(**given | {"validation": lambda: list(validation)} | changes)


def test_shared_weights_count_hits():
    assert SharedWeights().scores(SKIPS, scene()) == [n / 8 for n in range(5)]


def test_shared_weights_on_the_whole_half():
    """Batches of 8 and 3, of class 1 and of class 0: min(n, 8) and 3 − min(n, 3) hits of 11."""
    half = [(images(8), torch.ones(8).long()), (images(3), torch.zeros(3).long())]
    expected = [(n + 3 - min(n, 3)) / 11 for n in range(5)]
    assert SharedWeights("half").scores(SKIPS, scene(half)) == expected
    assert SharedWeights("half").scores(SKIPS[::-1], scene(half, x=images(2, seed=1))) == expected[::-1]


def test_what_is_the_same_in_every_round():
    assert not SharedWeights().fixed
    assert SharedWeights("half").fixed
    assert ZeroCost().fixed
    assert SharedWeights.shares_weights
    assert not ZeroCost.shares_weights


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SharedWeights("all"), "unknown inputs 'all'"),
        (lambda: SharedWeights().scores(SKIPS, scene(logits=None)), "SharedWeights needs a task that trains shared weights"),
        (lambda: SharedWeights("half").scores(SKIPS, replace(scene(), validation=None)), "SharedWeights(inputs='half') needs data with"),
        (lambda: ZeroCost().scores(SKIPS, replace(scene(), validation=None)), "ZeroCost needs data with a validation part"),
        (lambda: ZeroCost("synfow"), "unknown score 'synfow'. Did you mean 'synflow'?"),
        (lambda: ZeroCost(layers=0), "layers: 0 is less than 1"),
        (lambda: ZeroCost(init_channels=0), "init_channels: 0 is less than 1"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(make, says):
    with pytest.raises(UserError) as error:
        make()
    assert says in str(error.value)


HALF = [(images(6, seed=2), torch.arange(6) % 3), (images(6, seed=3), torch.arange(6) % 3)]


@pytest.mark.parametrize("score", SCORES)
def test_zero_cost_scores_the_network_of_seed_and_architecture(score):
    found = ZeroCost(score, layers=2, init_channels=2).scores([SKIPS[1], SKIPS[3]], scene(HALF))
    torch.manual_seed(seeds.derive(5, "untrained", key(SKIPS[3])))
    net = Network(canonical(SKIPS[3]), num_classes=3, layers=2, init_channels=2)
    x = (HALF[0][0] - torch.tensor(DATA["mean"]).view(3, 1, 1)) / torch.tensor(DATA["std"]).view(3, 1, 1)
    expected = SCORES[score](net, x, HALF[0][1])
    assert found[1] == pytest.approx(math.log(1 + expected) if score == "synflow" else expected)
    assert found[0] != found[1]


def test_zero_cost_is_a_function_of_seed_and_architecture_alone():
    evaluator = ZeroCost("grad_norm", layers=2, init_channels=2)
    before = torch.get_rng_state()
    one = evaluator.scores([SKIPS[1]], scene(HALF))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert evaluator.scores([SKIPS[2], SKIPS[1]], scene(HALF, x=images(3)))[1:] == one
    assert evaluator.scores([SKIPS[1]], scene(HALF, seed=6)) != one


def test_equal_architectures_have_one_key():
    turned = Genotype(*(Cell(tuple(edges[::-1] for edges in cell.nodes), cell.concat) for cell in SKIPS[1].cells.values()))
    assert turned == SKIPS[1]
    assert canonical(turned).to_dict() == canonical(SKIPS[1]).to_dict()
    assert key(turned) == key(SKIPS[1])
    assert len({key(random_genotype(Space(), 0, n)) for n in range(500)}) == 500
    assert len({key(g) for g in SKIPS}) == 5
    zero = ZeroCost("nwot", layers=2, init_channels=2)
    assert zero.scores([turned], scene(HALF)) == zero.scores([SKIPS[1]], scene(HALF))


def halved(rank, half):
    """Every rank's share of what one process has."""
    share = lambda x, y: (x.chunk(2)[rank], y.chunk(2)[rank])  # noqa: E731
    x, y = share(images(8), torch.arange(8) % 2)
    mine = scene([share(*batch) for batch in half], x=x, y=y)
    return [evaluator.scores(SKIPS, mine) for evaluator in (SharedWeights(), SharedWeights("half"), ZeroCost("nwot", 2, 2))]


@pytest.mark.slow
def test_two_ranks_agree_to_the_bit():
    one, two = run_on_ranks(halved, 2, HALF)
    assert one == two
    whole = scene(HALF)
    assert one[2] == ZeroCost("nwot", 2, 2).scores(SKIPS, whole)
    first, second = torch.arange(8).chunk(2)
    assert one[0] == [sum(int((i % 4 < n) == i % 2) for i in [*first.tolist(), *second.tolist()]) / 8 for n in range(5)]


def test_evaluators_are_listed_described_and_named(capsys):
    listed = {entry["name"]: entry for entry in json.loads(robnas("list evaluators --json", capsys).out)}
    assert {"shared_weights", "zero_cost"} <= set(listed)
    assert all(entry["about"] and entry["provider"].startswith("robnas ") for entry in listed.values())
    assert "inputs: 'batch': those" in robnas("fit --model.evaluator.help=shared_weights", capsys).out.replace('"', "'")


def test_an_evaluator_is_made_again_from_plain_values():
    config = ZeroCost("nwot", 3).to_config()
    assert config == {
        "class_path": "robnas.search.zero_cost.ZeroCost",
        "init_args": {"score": "nwot", "layers": 3, "init_channels": 16},
    }
    assert Evaluator.of(config).to_config() == config
    with pytest.raises(UserError, match=r"evaluator: robnas\.search\.darts\.DARTS is no evaluator"):
        Evaluator.of({"class_path": "robnas.search.darts.DARTS"})
