"""What all sampled searchers promise: asking, telling, deriving, and going on from where they were; and that Random is uniform."""

import io
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from robnas import plugins
from robnas.errors import UserError
from robnas.search import ENAS, AmoebaNet, NASNet, Random, Sampled, Searcher
from robnas.space.search_space import Space
from small_sampled import ARMS, NASNET

MAKE = {
    "enas": lambda: ENAS(learning_rate=0.1, hidden=4),
    "nasnet": lambda: NASNet(learning_rate=0.1, hidden=4, passes=2),
    "amoebanet": lambda: AmoebaNet(population=4, tournament=2),
    "random": lambda: Random(finalists=3),
}
ALL = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def built(searcher: Sampled, space: Space = NASNET, seed: int = 0) -> Sampled:
    searcher.build(space, seed)
    return searcher


def score(genotype) -> float:
    return genotype.normal.skips + genotype.reduce.depth / 10


def rounds(searcher: Sampled, n: int, batch: int = 3) -> list:
    """What is asked in n rounds."""
    asked = []
    for _ in range(n):
        asked += (now := searcher.ask_many(batch))
        for genotype in now:
            searcher.tell(genotype, score(genotype))
    return asked


@ALL
def test_goes_on_exactly_where_it_was(make):
    one = built(make())
    late = one.ask()  # is told only after the checkpoint
    rounds(one, 3)  # the last of which a policy has not learned of yet
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    other = built(Sampled.of(one.to_config()))
    other.rebuild(torch.load(file, weights_only=True))
    for searcher in (one, other):
        searcher.step = 7
        searcher.tell(late, score(late))
    assert [g.to_dict() for g in rounds(one, 3)] == [g.to_dict() for g in rounds(other, 3)]
    assert one.sample() == other.sample()
    assert one.derive() == other.derive()
    assert one.figures() == other.figures()


@ALL
def test_a_state_is_a_copy_that_later_steps_leave_alone(make):
    searcher = built(make())
    rounds(searcher, 2)
    file = io.BytesIO()
    torch.save(state := searcher.state(), file)
    rounds(searcher, 2)
    again = io.BytesIO()
    torch.save(state, again)
    assert file.getvalue() == again.getvalue()


@ALL
def test_draws_are_a_function_of_seed_and_number(make):
    one, again, other = built(make()), built(make()), built(make(), seed=1)
    drawn = one.ask_many(5)
    assert drawn == [again.ask() for _ in range(5)]
    assert drawn != other.ask_many(5)
    assert len(set(drawn)) == 5
    assert one.asked == again.asked == 5


@ALL
def test_the_path_of_a_step_is_the_same_in_every_pass_and_another_in_the_next(make):
    searcher = built(make())
    paths = []
    for searcher.step in (0, 0, 1):
        paths.append(searcher.sample())
    assert paths[0] == paths[1] != paths[2]
    assert searcher.asked == 0
    assert paths[0] != searcher.ask()


@ALL
def test_has_no_parameters_that_a_task_would_step(make):
    searcher = built(make())
    assert list(searcher.parameters()) == list(searcher.buffers()) == []


@ALL
def test_derives_something_before_anything_was_told(make):
    searcher = built(make())
    assert searcher.derive() == searcher.derive()
    searcher.tell(first := searcher.ask(), 0.5)
    assert searcher.derive() == first


@ALL
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_score_is_a_number(make, wrong):
    searcher = built(make())
    with pytest.raises(UserError, match=r"score: (nan|inf) is not finite"):
        searcher.tell(searcher.ask(), wrong)


def test_keeps_the_first_of_the_best_of_all_or_of_the_last():
    everything, last = built(Random()), built(Random(finalists=2))
    genotypes = everything.ask_many(4)
    for searcher in (everything, last):
        for genotype, s in zip(genotypes, (0.9, 0.1, 0.9, 0.9), strict=True):
            searcher.tell(genotype, s)
    assert everything.derive() == genotypes[0]
    assert last.derive() == genotypes[2]
    assert len(everything.told) == 1
    assert len(last.told) == 2


@pytest.mark.parametrize("name", MAKE)
def test_is_found_by_its_name_and_made_again(name):
    made = MAKE[name]()
    assert plugins.load("robnas.searchers", name) is type(made)
    assert Searcher.of(made.to_config()).to_config() == made.to_config()


def test_random_is_uniform_over_all_architectures():
    for space, cells in ((Space(ARMS.operations, nodes=1), 4), (Space(ARMS.operations, nodes=1, repeats=True), 10)):
        searcher = built(Random(), space)
        found = Counter(searcher.ask_many(40 * cells**2))  # 10: pairs of four (operation, source), order and repetition allowed
        assert len(found) == cells**2
        assert chisquare(list(found.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [
        (Random, {"finalists": 0}, "finalists: 0"),
        (ENAS, {"learning_rate": 0}, "learning_rate: 0"),
        (ENAS, {"entropy_weight": -1}, "entropy_weight: -1"),
        (ENAS, {"baseline_decay": 1.5}, r"baseline_decay: 1.5 is not in \[0, 1\]"),
        (ENAS, {"hidden": 0}, "hidden: 0"),
        (ENAS, {"tanh_constant": 0}, "tanh_constant: 0"),
        (ENAS, {"temperature": 0}, "temperature: 0"),
        (ENAS, {"finalists": -1}, "finalists: -1"),
        (NASNet, {"clip": 0}, r"clip: 0 is not in \(0, 1\)"),
        (NASNet, {"passes": 0}, "passes: 0"),
        (AmoebaNet, {"population": 0}, "population: 0"),
        (AmoebaNet, {"population": 4, "tournament": 5}, "tournament: 5 is not between 1 and the population, 4"),
        (AmoebaNet, {"identity": 1.1}, r"identity: 1.1 is not in \[0, 1\]"),
    ],
)
def test_wrong_values_are_said_in_one_line(kind, wrong, says):
    with pytest.raises(UserError, match=says) as error:
        kind(**wrong)
    assert "\n" not in str(error.value)
