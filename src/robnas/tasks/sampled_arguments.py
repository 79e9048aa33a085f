"""Arguments of a sampled search that would change nothing, or mix what cannot be compared, are refused in one line."""

from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any

from robnas.errors import require
from robnas.search.configured import arguments

if TYPE_CHECKING:
    from robnas.tasks.sampled_search import SampledSearch

OF_WEIGHTS = (
    *("n_step", "weight_epochs", "architecture_warmup"),
    *("layers", "init_channels", "batch_norm_across_ranks"),
    *("learning_rate", "learning_rate_min", "momentum", "weight_decay", "gradient_clip"),
)
"""Without a meaning where no weights are shared."""


def require_meaning(search: "SampledSearch") -> None:
    """Raises UserError for what the user gave and the search does not read, and for finalists that cannot be compared."""
    evaluator, searcher = search.evaluator, search.searcher
    if not evaluator.shares_weights:
        theirs = set(arguments(type(evaluator)))
        for name in OF_WEIGHTS:
            instead = f"that of its own networks is evaluator.init_args.{name}" if name in theirs else "leave it out"
            _unless_given(search, name, f"for {type(evaluator).__name__}, which shares no weights; {instead}")
    elif search.weight_epochs is not None:
        _unless_given(search, "n_step", "with weight_epochs: no round comes beside a weight step; leave it out")
    comparable = evaluator.fixed and (search.weight_epochs is not None or not evaluator.shares_weights)
    if searcher.finalists and not comparable:
        given = f"searcher.init_args.finalists: {searcher.finalists} is more than proposals, {search.proposals}"
        require(searcher.finalists <= search.proposals, f"{given}: scores of several rounds are of other weights or other inputs")


def require_late(search: "SampledSearch", until: int) -> None:
    """Raises UserError for a warm-up that ends before the first round could come. until: the first epoch with rounds."""
    if search.architecture_warmup <= until:
        _unless_given(search, "architecture_warmup", f"with weight_epochs: no round comes in the first {until} epochs; leave it out")


def _unless_given(search: "SampledSearch", name: str, without: str) -> None:
    value = getattr(search, name)
    require(value in _not_given(search, name), f"{name}: {value} has no meaning {without}")


def _not_given(search: "SampledSearch", name: str) -> Iterator[Any]:
    """The default, and what a `scale` of the task, of its searcher or of its evaluator makes of it, be it read or not."""
    for kind in type(search).__mro__:
        if "__init__" in vars(kind) and name in (parameters := signature(vars(kind)["__init__"]).parameters):
            yield parameters[name].default
            break
    for whole in search.scales.values():
        yield from (value for key, value in whole.items() if key == name)
    for part in (search.searcher, search.evaluator):
        for scale in getattr(part, "scales", {}).values():
            yield from (value for key, value in scale.get("model", {}).items() if key == name)
