"""Adapters: attacks of foolbox, torchattacks and ART (the Adversarial Robustness Toolbox), each library imported only when used."""

from __future__ import annotations

import copy
import inspect
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from robnas.attacks.asked import Asked
from robnas.attacks.foreign import Foreign, refused
from robnas.attacks.goal import Goal
from robnas.errors import UserError, require


class TorchAttacks(Foreign):
    """An attack of torchattacks (Kim, 2020) in the place of one of ours; see `Foreign` for its arguments.

    Where the class has them it is given eps, norm, n_classes and, since its own seeds are constants, a seed.
    """

    needs: ClassVar[str] = "torchattacks"
    library: ClassVar[str] = "torchattacks"
    install: ClassVar[str] = "--no-deps torchattacks"

    def look_at(self) -> None:
        """Raise UserError for an attack that is none."""
        base = self.imported(".attack").Attack
        if isinstance(self.method, str | type):
            _ball(self.named(self.imported(), base), self)
        elif isinstance(self.method, base):
            _same_ball(self.method, self)
        else:
            require(callable(self.method), f"method: {self.method!r} is no name, class or object of torchattacks, and builds none")

    def images(self, asked: Asked, x: Tensor, goal: Goal, classes: int, seed: int) -> Tensor:
        """See `Foreign`."""
        attack = self._on(asked, classes, seed)
        if goal.target is not None:
            try:
                attack.set_mode_targeted_by_label(quiet=True)
            except ValueError as error:
                raise refused(self.library, self.goal, error) from error
        found: Tensor = attack(x, goal.label if goal.target is None else goal.target)
        return found

    def _on(self, asked: Asked, classes: int, seed: int) -> Any:
        if isinstance(self.method, str | type):
            ours = {"eps": self.eps, "norm": self.norm.capitalize(), "n_classes": classes, "seed": seed % 2**31}
            return self.built(self.named(self.imported(), self.imported(".attack").Attack), (asked,), ours)
        if not hasattr(self.method, "set_model"):
            return self.method(asked, **self.options)
        attack = copy.deepcopy(self.method, {id(self.method.model): asked})  # never the user's own, nor its model
        attack.set_model(asked)
        attack.set_device(asked.here.device)
        return attack


class Foolbox(Foreign):
    """An attack of foolbox (Rauber et al., 2017) in the place of one of ours; see `Foreign` for its arguments.

    foolbox itself cuts what its attacks find to the ball of radius ε; what it calls clipped is what is judged here.
    """

    needs: ClassVar[str] = "foolbox"
    library: ClassVar[str] = "foolbox"
    install: ClassVar[str] = "foolbox"

    def look_at(self) -> None:
        """Raise UserError for an attack that is none, or in another norm."""
        base = self.imported(".attacks.base")
        if not (isinstance(self.method, str | type) or callable(self.method) or isinstance(self.method, base.Attack)):
            raise UserError(f"method: {self.method!r} is no name, class or object of foolbox, and builds none")
        require(isinstance(self.method, str | type) or not self.options, "options: an object has its own")
        attack = self._theirs()
        if isinstance(attack, base.FixedEpsilonAttack):
            require(self.eps < inf, f"eps: {type(attack).__name__} needs a radius")
        p: Any = getattr(getattr(attack, "_distance", None) or _distance(attack), "p", None)
        norm = {2: "l2", inf: "linf"}.get(p)
        require(p is None or norm == self.norm, f"norm: {self.norm}, but {type(attack).__name__} measures in L{p}")

    def images(self, asked: Asked, x: Tensor, goal: Goal, classes: int, seed: int) -> Tensor:
        """See `Foreign`."""
        foolbox = self.imported()
        criteria = foolbox.criteria
        criterion = criteria.Misclassification(goal.label) if goal.target is None else criteria.TargetedMisclassification(goal.target)
        model = foolbox.PyTorchModel(asked, bounds=(0, 1), device=x.device)
        attack = self._theirs()
        try:
            found: Tensor = attack(model, x, criterion, epsilons=None if self.eps == inf else self.eps)[1]
        except ValueError as error:
            if goal.target is not None and "unsupported criterion" in str(error):
                raise refused(self.library, self.goal, error) from error
            raise
        return found

    def _theirs(self) -> Any:
        base = self.imported(".attacks.base").Attack
        if isinstance(self.method, str | type):
            return self.built(self.named(self.imported(".attacks"), base), (), {})
        return self.method if isinstance(self.method, base) else self.method(**self.options)


class ART(Foreign):
    """An evasion attack of ART (Nicolae et al., 2018) in the place of one of ours; see `Foreign` for its arguments.

    Where the class has them it is given eps, norm, targeted, batch_size (the whole batch) and verbose=False. Its images are float32. Its
    classifier has clip_values (0, 1) and cross-entropy as loss. An object is rebuilt on ours from its `attack_params`.
    """

    needs: ClassVar[str] = "adversarial-robustness-toolbox"
    library: ClassVar[str] = "art"
    install: ClassVar[str] = "adversarial-robustness-toolbox"

    def look_at(self) -> None:
        """Raise UserError for an attack that is none."""
        base = self.imported(".attacks").EvasionAttack
        if isinstance(self.method, str | type):
            cls = self.named(self.imported(".attacks.evasion"), base)
            _ball(cls, self)
            if self.goal != "untargeted" and "targeted" not in inspect.signature(cls).parameters:
                raise refused(self.library, self.goal, cls.__name__)
        elif isinstance(self.method, base):
            _same_ball(self.method, self)
        else:
            require(callable(self.method), f"method: {self.method!r} is no name, class or object of ART, and builds none")

    def images(self, asked: Asked, x: Tensor, goal: Goal, classes: int, seed: int) -> Tensor:
        """See `Foreign`."""
        device = "gpu" if x.is_cuda else "cpu"
        wrapped = self.imported(".estimators.classification").PyTorchClassifier(
            asked, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0, 1), device_type=device
        )
        attack = self._on(wrapped, len(x))
        wanted = goal.label if goal.target is None else goal.target
        given = x.cpu().numpy().astype(np.float32)
        found = torch.from_numpy(np.asarray(attack.generate(given, one_hot(wanted, classes).cpu().numpy())))
        return torch.where(found == torch.from_numpy(given), x.cpu(), found.to(x.dtype))  # pixels that it left alone are not rounded

    def _on(self, wrapped: Any, b: int) -> Any:
        base = self.imported(".attacks").EvasionAttack
        norm = {"linf": np.inf, "l2": 2}[self.norm]
        ours = {"eps": self.eps, "norm": norm, "targeted": self.goal != "untargeted", "batch_size": b, "verbose": False}
        if isinstance(self.method, str | type):
            return self.built(self.named(self.imported(".attacks.evasion"), base), (wrapped,), ours)
        if not isinstance(self.method, base):
            return self.method(wrapped, **self.options)
        settings = {name: getattr(self.method, name) for name in self.method.attack_params if hasattr(self.method, name)}
        taken = inspect.signature(type(self.method)).parameters
        settings |= {"targeted": ours["targeted"]} if "targeted" in taken else {}
        return type(self.method)(wrapped, **{k: v for k, v in settings.items() if k in taken and k != "summary_writer"})


def _ball(cls: type, ours: Foreign) -> None:
    """Whether that class has a radius, and ours is one."""
    has = "eps" in inspect.signature(cls).parameters
    require(has or ours.eps == inf, f"eps: {cls.__name__} of {ours.library} looks for the nearest image and takes none; .inf is needed")
    require(not has or ours.eps < inf, f"eps: {cls.__name__} of {ours.library} needs a radius")


def _same_ball(attack: Any, ours: Foreign) -> None:
    """Whether the object says the same ε."""
    theirs = getattr(attack, "eps", inf)
    same = isinstance(theirs, int | float) and abs(theirs - ours.eps) <= 1e-9 if theirs != inf else ours.eps == inf
    require(same, f"eps: {ours.eps:.4g}, but the {type(attack).__name__} that was given has {theirs}; say the same")
    require(not ours.options, "options: an object has its own")


def _distance(attack: Any) -> Any:
    try:
        return attack.distance
    except (AttributeError, ValueError):  # an attack that must be told one
        return None
