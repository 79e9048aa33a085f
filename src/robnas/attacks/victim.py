"""The model under attack: a prepared copy that answers, and the original, which judges."""

from __future__ import annotations

import warnings
from contextlib import redirect_stderr
from io import StringIO

import torch
from torch import Tensor, nn

from robnas.attacks.answers import answered, probabilities, same, slope, wide
from robnas.attacks.boxes import BlackBox, Losses, WhiteBox
from robnas.attacks.noticed import Noticed
from robnas.attacks.state import State
from robnas.copies import digest, evaluation_copy
from robnas.errors import UserError
from robnas.fold import fold

__all__ = ["BlackBox", "Losses", "Victim", "WhiteBox", "answered", "probabilities", "same", "wide"]


class Victim:
    """Two frozen copies of a model in evaluation mode: `original`, as it was handed over, which judges; and a fast one, which is asked.

    The model itself is never touched. The fast copy has BatchNorm folded into the layer before it and `channels_last` memory; it is
    compared with the original on the first inputs, and where it cannot do the same (or raises) the original answers in its stead.

    Attributes:
        prepared: how the fast copy was made, in words.
        digest: names the weights.
        flags: what the first inputs showed that makes results doubtful: "random" (another answer each time), "probabilities" (softmax
            as output). A warning says so as well.
        noticed: these, and what is counted of its answers and gradients.
    """

    def __init__(self, original: nn.Module, fast: nn.Module, prepared: str) -> None:
        self._original, self._fast, self.prepared = original, fast, prepared
        self._layout = torch.contiguous_format  # of what the models are given
        self._compared = False
        self._untouched: Victim | None = None
        self.noticed = Noticed()
        self.flags = self.noticed.flags
        first = next((t for t in (*original.parameters(), *original.buffers()) if t.is_floating_point()), None)
        self.device = None if first is None else first.device  # None: those of the pixels
        self.dtype = None if first is None else first.dtype
        self.digest = digest(original)

    @classmethod
    def prepare(cls, model: nn.Module | Victim, *, fast: bool = True) -> Victim:
        """A victim passes as it is. `fast=False`: the copy is asked as it was handed over."""
        if isinstance(model, Victim):
            return model
        with torch.inference_mode(False), torch.no_grad():  # folded weights must be differentiable later, in the test loop too
            original = evaluation_copy(model)
            if not fast:
                return cls(original, original, "as given")
            twin, n, untraced = fold(evaluation_copy(original))
            twin = twin.to(memory_format=torch.channels_last)
        prepared = f"{n} BatchNorms folded, channels_last" + (f"; not traceable: {', '.join(sorted(set(untraced)))}" if untraced else "")
        return cls(original, twin, prepared)

    def as_given(self) -> Victim:
        """The same model, asked as it was handed over: nothing folded, pixels as they lie."""
        if self._fast is self._original and self._layout is torch.contiguous_format:
            return self
        if self._untouched is None:
            twin = evaluation_copy(self._original).to(memory_format=torch.contiguous_format)
            self._untouched = Victim(twin, twin, "as given")
        return self._untouched

    def take(self, x: Tensor) -> Tensor:
        """Pixels from anywhere, on the victim's device and in its precision, but float32 for a model in 16 bits: a ball has no 256 steps.

        Raises UserError where they are not in [0, 1].
        """
        if not x.is_floating_point():
            raise UserError(f"x: {x.dtype} pixels; floating point in [0, 1] is needed (divide by 255)")
        if x.numel() and not bool((x >= 0).all() & (x <= 1).all()):
            raise UserError(f"x: pixels from {x.min():.3g} to {x.max():.3g}; they must be in [0, 1], with normalisation inside the model")
        return x.detach().to(self.device or x.device, torch.promote_types(self.dtype or x.dtype, torch.float32), copy=True)

    @torch.no_grad()
    def judge(self, x: Tensor) -> Tensor:
        """Logits [B, m] of the model as it was handed over. x: [B, C, H, W]. Uncounted: it is the referee who asks."""
        if not self._compared and len(x):
            self._compare(x[:16])
        logits = self._original(self._laid_out(x))
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
            what = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise UserError(f"the model answers {what}; logits [{len(x)} inputs, at least 2 classes] are needed")
        logits = wide(logits)
        self.noticed.judged(logits, answered(logits))
        return logits

    def _compare(self, x: Tensor) -> None:
        """Once, on the first inputs: is the fast copy the same function? If so, the original does with channels_last as well."""
        self._compared = True
        logits = self.judge(x)
        if probabilities(logits):
            self._flag("probabilities", "the model answers rows that sum to 1: a softmax as output? Attacks expect logits before it")
        if self._fast is not self._original:
            self._layout = torch.channels_last
            if not (reason := self._difference(x, logits)):
                self._original.to(memory_format=torch.channels_last)
                return
            self._fast, self._layout, self.prepared = self._original, torch.contiguous_format, f"as given ({reason})"
        if not same(self.judge(x), logits):
            self._flag("random", "the model answers the same input differently each time (dropout left on?): results will vary")

    def _flag(self, name: str, says: str) -> None:
        self.flags.add(name)
        warnings.warn(says, stacklevel=2)

    def _difference(self, x: Tensor, logits: Tensor) -> str:
        try:
            with redirect_stderr(StringIO()):  # torch.fx prints a traceback as well
                fast = self._ask(x)
        except Exception as error:  # user code in another layout or without its own class: it may raise anything
            return f"the fast copy raises {type(error).__name__}"
        if not same(fast, logits):
            return "the fast copy gives other logits"
        return "" if self._same_slopes(x) else "the fast copy has other gradients"

    def _same_slopes(self, x: Tensor) -> bool:
        """A backward pass of the user's own (straight-through rounding, say) is lost where torch.fx traces the forward one."""
        found = []
        for model in (self._original, self._fast):
            try:
                with torch.inference_mode(False), torch.enable_grad():
                    found.append(slope(model, self._laid_out(x.clone())))
            except Exception:  # no gradient to be had of the original: there is nothing to lose
                return model is self._original
        theirs, mine = found
        a, b = (g.double().nan_to_num(0, 0, 0).flatten() for g in (mine, theirs))
        return bool((a @ b >= 0.9 * a.norm() * b.norm()) & ((a.norm() > 0) == (b.norm() > 0)))

    def _ask(self, x: Tensor) -> Tensor:
        return wide(self._fast(self._laid_out(x)))

    def _laid_out(self, x: Tensor) -> Tensor:
        """A copy, as the model's first layer may work in place."""
        return x.to(self.dtype or x.dtype, copy=True, memory_format=self._layout if x.ndim == 4 else torch.contiguous_format)

    def white_box(self, s: State, losses: Losses | None = None, eot: int = 1) -> WhiteBox:
        """Full access during one run, counted on `s`. losses, eot: see `WhiteBox`."""
        return WhiteBox(self._ask, s, losses, eot, self.noticed)

    def black_box(self, s: State, answers: str = "score", eot: int = 1) -> BlackBox:
        """Access to answers alone: "score" or "label". eot: see `BlackBox`."""
        return BlackBox(self._ask, s, answers, eot)
