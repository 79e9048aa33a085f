"""How an attack behaves towards its author's readers and its caller: arguments, the model, images, copies."""

from __future__ import annotations

import copy
import dis
import inspect
import pickle
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor

from robnas.attacks.base import ACCESS, Evasion
from robnas.attacks.callback import Attack
from robnas.attacks.membership.base import Membership
from robnas.errors import UserError
from robnas.testing.subjects import Network, images
from robnas.testing.trial import Trial, ask, identical


def keeps_its_arguments(trial: Trial) -> None:
    """An argument of `__init__` is an attribute of the same name: rows and jobs name it so."""
    attack = trial.build()
    try:
        attack.arguments()
    except TypeError as error:
        raise AssertionError(f"{error} (`self.name = name` in `__init__`)") from error
    for name, p in trial.parameters().items():
        given = trial.arguments.get(name)
        plain = isinstance(given, bool | int | float | str) and isinstance(trial.subject, type)
        assert not plain or getattr(attack, name) == given, (
            f"was given {name}={given!r} and has the attribute {getattr(attack, name)!r}: keep the argument as it came"
        )
        if isinstance(trial.subject, type) and (other := _another(name, p.default)) is not None:
            try:
                changed = trial.subject(**copy.deepcopy(trial.arguments | {name: other}))
            except (TypeError, UserError):  # not its own argument, or not a value that it takes
                continue
            kept = getattr(changed, name)
            assert kept == other, f"was given {name}={other!r} and has the attribute {kept!r}: keep the argument as it came"


def _another(name: str, default: Any) -> Any:
    """A value that is not the default, of arguments that are plain."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float) and default < inf:
        return default / 2
    return {"goal": "least_likely", "norm": "l2" if default == "linf" else "linf"}.get(name) if isinstance(default, str) else None


def is_documented(trial: Trial) -> None:
    """`robnas list` has a line to show, and the class says what access it needs."""
    first = (trial.cls.__dict__.get("__doc__") or "").strip().partition("\n")[0].strip()
    assert first, "has no docstring: its first line is what `robnas list attacks` shows"
    access = trial.build().access
    assert access in ACCESS, f"access is {access!r}: one of {', '.join(ACCESS)} is needed"


def leaves_its_bases_names_alone(trial: Trial) -> None:
    """What `Attack`, `Evasion` and `Membership` keep for themselves is theirs."""
    bases = [base for base in (Attack, Evasion, Membership) if issubclass(trial.cls, base) and trial.cls is not base]
    functions = [f for base in bases for f in vars(base).values() if inspect.isfunction(f)]
    kept = {i.argval for f in functions for i in dis.get_instructions(f) if i.opname == "STORE_ATTR"}
    kept |= {f.__name__ for f in functions}
    for cls in trial.cls.__mro__[: trial.cls.__mro__.index(bases[-1])]:
        for name in vars(cls):
            own = name in kept and name.startswith("_") and not name.startswith("__")
            assert not own, f"defines {name}, which {bases[-1].__name__} keeps for itself: take another name"


def leaves_the_model_alone(trial: Trial) -> None:
    """Modes, weights, buffers, gradients and `requires_grad` of the caller's model are the same bits after an attack."""
    for training in (True, False):
        model = Network().train(training)
        model.body[1].eval()  # a mode of its own
        before = _snapshot(model)
        ask(trial.build(), model, images(6))
        for what, value in _snapshot(model).items():
            assert _same(value, before[what]), (
                f"changed the model that was handed over ({what}): ask `victim`, which is a copy, and nothing else"
            )


def _snapshot(model: Network) -> dict[str, Any]:
    found: dict[str, Any] = {"modes": [m.training for m in model.modules()]}
    found["hooks"] = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()]
    for name, p in model.named_parameters():
        found |= {f"weights {name}": p.detach().clone(), f"requires_grad of {name}": p.requires_grad}
        found[f"gradient of {name}"] = None if p.grad is None else p.grad.clone()
    return found | {f"buffer {name}": b.clone() for name, b in model.named_buffers()}


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else type(a) is type(b) and a == b


def leaves_images_and_labels_alone(trial: Trial) -> None:
    """What the caller passed, and `s.x`, are the clean images at the end too."""
    model, x = Network(), images(6)
    y, index = model.plainly(x).argmax(1), torch.arange(6) + 40
    given = (x.clone(), y.clone(), index.clone())
    ask(trial.build(), model, x, y, index)
    for name, now, before in zip(("x", "y", "index"), (x, y, index), given, strict=True):
        same = torch.equal(now, before) and not now.requires_grad
        assert same, f"changed the caller's {name}: work on a copy (`s.x_t + …`, not `+=`)"
    assert not model.seen.moved, "changed `s.x` in place: `s.x_t` may be the same tensor, so write `s.x_t + …` instead of `+=` or `add_`"


def can_be_copied(trial: Trial) -> None:
    """By deepcopy and pickle, as processes of a DDP run do; before a call and after one."""
    model, x = Network(), images(4)
    attack = trial.build()
    first = ask(attack, model, x)
    ways: dict[str, Callable[[Attack], Attack]] = {"deepcopy": copy.deepcopy, "pickle": lambda a: pickle.loads(pickle.dumps(a))}
    for how, again in ways.items():
        try:
            twin = again(attack)
        except Exception as error:
            raise AssertionError(f"cannot be copied by {how}: {error}; keep no models, lambdas or open files on `self`") from error
        for a, b in zip(first, ask(twin, model, x), strict=True):
            assert identical(a.result, b.result), f"a copy by {how} finds something else"
