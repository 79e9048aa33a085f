"""Attacks that each break one rule, as authors do; `says` is a part of the sentence that must come out."""

import numpy as np
import torch

from robnas.attacks import PGD, Attack, Evasion, EvasionResult, Victim


class Base(Evasion):
    """FGSM in three steps: keeps every rule."""

    says = ""

    def __init__(self, eps: float = 8 / 255, goal: str = "untargeted") -> None:
        super().__init__(eps=eps, steps=3, goal=goal)

    def step(self, victim, s):
        _, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        return self.project(s.x_t + self.eps / 2 * gradient.sign(), s.x)


class LeavesTheBall(Base):
    """Forgets the projection."""

    rule, says = "stays_in_its_ball", "return self.project(x_t, s.x)"

    def step(self, victim, s):
        _, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        return s.x_t + self.eps / 2 * gradient.sign()


class LeavesItUnseen(Base):
    """Moves images once more when all is verified."""

    rule, says = "stays_in_its_ball", "left its ball: image"

    def __call__(self, *args, **kwargs):
        r = super().__call__(*args, **kwargs)
        r.x_adv[r.success] = (r.x_adv[r.success] * 2).clamp(0, 1)
        return r


class OtherDistance(Base):
    """Says the L2 distance, in an L∞ attack."""

    rule, says = "stays_in_its_ball", "`distance` is not that of `x_adv`"

    def __call__(self, model, x, *args, **kwargs):
        r = super().__call__(model, x, *args, **kwargs)
        r.distance[r.success] = (r.x_adv - x).flatten(1).norm(dim=1)[r.success]
        return r


class Trains(Base):
    """Puts the caller's model into evaluation mode."""

    rule, says = "leaves_the_model_alone", "changed the model that was handed over (modes)"

    def prepare(self, model):
        if not isinstance(model, Victim):
            model.eval()
        return super().prepare(model)


class Thaws(Base):
    """Asks for gradients of all weights."""

    rule, says = "leaves_the_model_alone", "requires_grad of"

    def prepare(self, model):
        if not isinstance(model, Victim):
            model.requires_grad_(True)
        return super().prepare(model)


class TorchRand(Base):
    """Draws from torch's global generator."""

    rule, says = "is_a_function_of_its_seed", "draws from torch's global random numbers"

    def start(self, s):
        return self.project(s.x + self.eps * (2 * torch.rand_like(s.x) - 1), s.x)


class NumpyRandom(Base):
    """Draws from NumPy's global generator."""

    rule, says = "is_a_function_of_its_seed", "draws from numpy's global random numbers"

    def start(self, s):
        return self.project(s.x + self.eps * (2 * torch.from_numpy(np.random.rand(*s.x.shape)).to(s.x) - 1), s.x)  # noqa: NPY002


class Unseeded(Base):
    """Draws from a generator that nothing seeds."""

    rule, says = "is_a_function_of_its_seed", "two calls with one seed differ"

    def start(self, s):
        u = np.random.default_rng().random(tuple(s.x.shape))
        return self.project(s.x + self.eps * (2 * torch.from_numpy(u).to(s.x) - 1), s.x)


class Remembers(Base):
    """Goes on where the call before stopped."""

    rule, says = "is_a_function_of_its_seed", "keep nothing between calls"
    calls = 0

    def start(self, s):
        self.calls += 1
        return self.project(s.x + self.eps / self.calls, s.x)


class BatchMean(Base):
    """Divides by the batch's mean."""

    rule, says = "does_not_depend_on_the_batch", "may use its own row alone"

    def step(self, victim, s):
        _, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        return self.project(s.x_t + self.eps * (gradient / gradient.abs().mean()).clamp(-1, 1), s.x)


class ByPosition(Base):
    """One generator for the whole batch, seeded well: who stands first gets its first numbers."""

    rule, says = "does_not_depend_on_the_batch", "depends on the batch"

    def start(self, s):
        u = torch.rand(s.x.shape, generator=torch.Generator().manual_seed(0), dtype=s.x.dtype)
        return self.project(s.x + self.eps * (2 * u - 1), s.x)


class InPlace(Base):
    """Moves the clean images."""

    rule, says = "leaves_images_and_labels_alone", "changed `s.x` in place"

    def step(self, victim, s):
        _, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        s.x_t += 1e-9 * gradient.sign()  # which is s.x in the first step
        return self.project(s.x_t, s.x)


class CallersImages(Base):
    """Moves the caller's images."""

    rule, says = "leaves_images_and_labels_alone", "changed the caller's x"

    def __call__(self, model, x, *args, **kwargs):
        r = super().__call__(model, x, *args, **kwargs)
        if not x.is_inference():
            x.mul_(0.999)
        return r


class Uncounted(Base):
    """Asks the module that it was given, which counts nothing."""

    rule, says = "counts_its_queries", "asked the module that was handed over"

    def __call__(self, model, *args, **kwargs):
        self._model = model
        try:
            return super().__call__(model, *args, **kwargs)
        finally:
            del self._model

    def step(self, victim, s):
        if not isinstance(self._model, Victim):
            self._model(s.x_t)
        return super().step(victim, s)


class Behind(Base):
    """Asks behind the back of what counts."""

    rule, says = "counts_its_queries", "queries where the model saw"

    def step(self, victim, s):
        victim._ask(s.x_t)
        return super().step(victim, s)


class Rounds(Base):
    """Says half its queries."""

    rule, says = "counts_its_queries", "queries where the model saw"

    def __call__(self, *args, **kwargs):
        r = super().__call__(*args, **kwargs)
        r.queries //= 2
        return r


class ScoresOfLabels(Base):
    """A label attack that asks for scores."""

    rule, says, access = "honours_its_access", "labels only", "label"

    def step(self, victim, s):
        victim.scores(s.x_t)
        return s.x_t


class GradientOfScores(Base):
    """A score attack that asks for gradients."""

    rule, says, access = "honours_its_access", "asks for more than access = 'score'", "score"


class Promotes(Base):
    """A label attack that takes a white box itself."""

    rule, says, access = "honours_its_access", "was given 'white'", "label"

    def pursue(self, victim, inputs, r, seed):
        self.access = "white"
        try:
            super().pursue(victim, inputs, r, seed)
        finally:
            del self.access


class Forgets(Evasion):
    """Keeps an argument under another name."""

    rule, says = "keeps_its_arguments", "keep the argument 'momentum' as an attribute of that name"

    def __init__(self, momentum: float = 0.9) -> None:
        super().__init__()
        self.mu = momentum

    def step(self, victim, s):
        return s.x


class Ignores(Base):
    """Has the attribute from its base, and never the value."""

    rule, says = "keeps_its_arguments", "was given goal='least_likely' and has the attribute 'untargeted'"

    def __init__(self, eps: float = 8 / 255, goal: str = "untargeted") -> None:
        super().__init__(eps=eps)


class Undocumented(Base):
    rule, says = "is_documented", "has no docstring"


class TakesAName(Base):
    """Has a method that its base has too."""

    rule, says = "leaves_its_bases_names_alone", "defines _found, which Evasion keeps for itself"

    def _found(self):
        return self


class Claims(Base):
    """Claims every input."""

    rule, says = "verifies_its_successes", "successes that the model does not confirm"

    def __call__(self, model, x, *args, **kwargs):
        r = super().__call__(model, x, *args, **kwargs)
        r.success = r.eligible.clone()
        r.robust = r.robust & ~r.success
        if self.eps == 0:
            r.success &= False
        r.distance = torch.where(r.success, self.distance(r.x_adv, x), torch.inf)
        r.distance[~r.eligible | r.errored] = torch.nan
        return r


class NaNIsASuccess(Base):
    """Takes no answer for a wrong one."""

    rule, says = "counts_errors_apart", "successes on inputs that errored"

    def __call__(self, *args, **kwargs):
        r = super().__call__(*args, **kwargs)
        r.success |= r.errored
        return r


class AttacksAll(Base):
    """Also what the model gets wrong."""

    rule, says = "respects_only_correct", "attacks other inputs"

    def before(self, inputs):
        r = super().before(inputs)
        r.eligible = ~r.errored
        return r


class Colours(Base):
    """Knows images of three channels alone."""

    rule, says = "takes_any_images", "cannot do 2 classes, images [1, 5, 7]"

    def start(self, s):
        return self.project(s.x + s.x[:, [2, 1, 0]] * 1e-3, s.x)


class NeedsOne(Base):
    """Fails on an empty batch."""

    rule, says = "takes_no_images", "cannot do no images at all"

    def look(self, victim, x, y, index):
        x.max()
        return super().look(victim, x, y, index)


class Lambda(Base):
    """Keeps what no process can be sent."""

    rule, says = "can_be_copied", "cannot be copied by pickle"

    def __init__(self, eps: float = 8 / 255, goal: str = "untargeted") -> None:
        super().__init__(eps, goal)
        self.sign = lambda g: g.sign()


class OtherTarget(Base):
    """Aims at the first class, whatever the goal."""

    rule, says = "aims_at_the_goal", "`target` is another class"

    def wanted(self, clean, y):
        goal = super().wanted(clean, y)
        return goal if goal.target is None else type(goal)(goal.label, (goal.label + 1) % clean.shape[1])


class ObjectInParams(PGD):
    """An argument that no row can say."""

    rule, says = "works_in_a_test_loop", "rows cannot say an argument"

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(steps=2, n_restarts=1)
        self.dtype = dtype


class NoRows(Base):
    """Says nothing of what it found."""

    rule, says = "works_in_a_test_loop", "wrote no rows"

    def proportions(self, outcomes):
        return {}


class Tuple(Base):
    """Gives images alone."""

    rule, says = "stays_in_its_ball", "a call gives Tensor"

    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs).x_adv


class Changes(Base):
    """Breaks inputs where the ball holds nothing else."""

    rule, says = "breaks_nothing_at_zero_eps", "changes images at ε = 0"

    def step(self, victim, s):
        return (s.x + max(self.eps, 5e-7)).clamp(0, 1)


BROKEN = [c for c in list(globals().values()) if isinstance(c, type) and issubclass(c, Attack) and hasattr(c, "rule")]
__all__ = ["BROKEN", "Base", "EvasionResult"]
