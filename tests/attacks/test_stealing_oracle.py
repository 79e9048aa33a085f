"""A victim that only answers: what it hands out, what it counts, and what stands between it and the thief."""

import pytest
import torch
from torch import nn
from torch.nn.functional import softmax

from robnas.attacks.defences.rounded_answers import RoundedAnswers
from robnas.attacks.stealing import Oracle
from robnas.attacks.stealing.oracle import as_rows, as_targets
from robnas.errors import UserError
from small_victims import convolutional, images


class Counting(nn.Module):
    """Counts the images that any copy of it really sees."""

    seen = 0

    def __init__(self) -> None:
        super().__init__()
        self.network = convolutional()

    def forward(self, x):
        Counting.seen += len(x)
        return self.network(x)


class Silent(nn.Module):
    """No numbers for images whose first pixel is above ½."""

    def forward(self, x):
        return x.flatten(1)[:, :3].masked_fill(x[:, 0, 0, :1] > 0.5, torch.nan)


def test_answers_and_nothing_else():
    model, x = convolutional(), images(5)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    oracle = Oracle(model)
    assert {name for name in dir(oracle) if not name.startswith("__")} == {"ask", "asked"}
    with pytest.raises(AttributeError):
        oracle.model = model
    p = oracle.ask(x.requires_grad_(True))
    assert not p.requires_grad
    torch.testing.assert_close(p, softmax(convolutional().eval()(x), 1))
    p.fill_(0)  # whatever is done to an answer
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert float(oracle.ask(x).sum()) == pytest.approx(5)


def test_the_count_is_that_of_images_really_seen():
    Counting.seen = 0
    oracle = Oracle(Counting(), "label")
    for n in (3, 1, 7):
        assert oracle.ask(images(n)).shape == (n,)
    assert oracle.asked() == Counting.seen == 11


def test_labels_are_one_hot_rows_and_no_answer_is_none():
    x = torch.zeros(3, 1, 1, 3)
    x[0, 0, 0, 2], x[1, 0, 0, 0], x[2, 0, 0, 1] = 0.5, 0.9, 0.1
    labels = Oracle(Silent(), "label").ask(x)
    assert labels.tolist() == [2, -1, 1]
    rows = as_rows(labels, 3)
    assert rows[[0, 2]].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert rows[1].isnan().all()
    assert Oracle(Silent()).ask(x).isnan().any(1).tolist() == [False, True, False]


def test_a_victim_of_other_classes_or_without_logits_is_refused_in_a_line():
    with pytest.raises(UserError, match="it answers 10 classes, but the data have 7"):
        Oracle(convolutional(), classes=7).ask(images(2))
    with pytest.raises(UserError, match=r"it answers shape \[2, 3, 8, 8\]"):
        Oracle(nn.Identity()).ask(images(2))
    with pytest.raises(UserError, match=r"images \[1, 8, 8\] are not what it takes: Given groups=1"):
        Oracle(convolutional()).ask(images(2)[:, :1])
    with pytest.raises(UserError, match="unknown answers 'logits'"):
        Oracle(convolutional(), "logits")


def test_rounded_answers_by_hand():
    p = torch.tensor([[0.66, 0.3, 0.04], [0.34, 0.33, 0.33]])
    torch.testing.assert_close(RoundedAnswers(1).guard(p), torch.tensor([[0.7, 0.3, 0.0], [0.3, 0.3, 0.3]]))
    assert RoundedAnswers("labels").guard(p).tolist() == [[1, 0, 0], [1, 0, 0]]
    torch.testing.assert_close(as_targets(RoundedAnswers(1).guard(p))[1], torch.full((3,), 1 / 3))
    assert as_targets(torch.zeros(1, 4)).tolist() == [[0.25] * 4]  # rounded to nothing
    assert as_targets(torch.full((1, 4), torch.nan)).isnan().all()
    for bad in (0, "label", 1.5):
        with pytest.raises(UserError, match="is neither labels nor at least 1"):
            RoundedAnswers(bad)


def test_a_guard_stands_before_the_thief():
    x = images(6)
    p = Oracle(convolutional(), guards=[RoundedAnswers(1)]).ask(x)
    torch.testing.assert_close(p, (10 * Oracle(convolutional()).ask(x)).round() / 10)
    told = Oracle(convolutional(), "label", [RoundedAnswers("labels")]).ask(x)
    assert torch.equal(told, Oracle(convolutional()).ask(x).argmax(1))
