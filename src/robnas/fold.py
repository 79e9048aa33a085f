"""BatchNorm folded into the convolution or linear layer before it: the same function in evaluation mode, with fewer passes over memory."""

from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_PLAIN = ("torch.nn.modules.batchnorm", "robnas.batch_norm")  # where a BatchNorm is one; a stranger's subclass may be anything


def fold(model: nn.Module) -> tuple[nn.Module, int, list[str]]:
    """model, in evaluation mode → (the same function, number of BatchNorms folded, classes that could not be traced).

    What `torch.fx` cannot trace (control flow that depends on pixels, say) stays as it is, and its children are tried instead.
    May change `model`: give it a copy.
    """
    try:
        traced = fx.GraphModule(model, _Tracer().trace(model), type(model).__name__)
    except Exception:  # user code under a tracer: it may raise anything
        n, untraced = 0, [type(model).__name__]
        for name, child in model.named_children():
            twin, more, others = fold(child)
            setattr(model, name, twin)
            n, untraced = n + more, untraced + others
        return model, n, untraced
    return traced, _fold_graph(traced), []


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.modules.batchnorm._BatchNorm) or super().is_leaf_module(m, module_qualified_name)


def _fold_graph(traced: fx.GraphModule) -> int:
    modules = dict(traced.named_modules())
    called = [n.target for n in traced.graph.nodes if n.op == "call_module"]
    n = 0
    for node in list(traced.graph.nodes):
        bn = modules.get(node.target) if node.op == "call_module" else None
        if not _is_plain_batch_norm(bn):
            continue
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        layer = modules[before.target]
        if called.count(node.target) > 1 or called.count(before.target) > 1 or _has_hooks(layer) or _has_hooks(bn):
            continue
        if type(layer) in _CONVOLUTIONS:
            folded: nn.Module = fuse_conv_bn_eval(layer, bn)  # type: ignore[arg-type]
        elif type(layer) is nn.Linear and isinstance(bn, nn.BatchNorm1d):
            folded = fuse_linear_bn_eval(layer, bn)
        else:
            continue
        traced.set_submodule(str(before.target), folded.requires_grad_(False))
        modules[before.target] = folded
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
        n += 1
    traced.recompile()
    traced.delete_all_unused_submodules()
    return n


def _is_plain_batch_norm(bn: Any) -> bool:
    return isinstance(bn, nn.modules.batchnorm._BatchNorm) and type(bn).__module__ in _PLAIN and isinstance(bn.running_mean, torch.Tensor)


def _has_hooks(m: Any) -> bool:
    return bool(m._forward_pre_hooks or m._forward_hooks)
