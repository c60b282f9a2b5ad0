"""A decoder layer whose two additions go along with what stands beside them: the norm, and the MLP's last product.

Only for layers whose code says exactly x = x + attention(norm(x)); x = x + mlp(norm(x)): Llama, Mistral, Qwen2, Qwen3
and whoever copies them. That is read from the source itself, so that no list of models and versions can be outdated.
"""

import ast
import inspect
import textwrap
from functools import partial
from typing import Any, Optional, Tuple

from envdoc.train import compat
from envdoc.train.fast import mlp
from envdoc.train.fast.lora import Group
from envdoc.train.fast.norm import add_norm, epsilon_of
from envdoc.train.fast.plainly import is_wanted

BODY = """
residual = hidden_states
hidden_states = self.input_layernorm(hidden_states)
hidden_states, _ = self.self_attn(...)
hidden_states = residual + hidden_states
residual = hidden_states
hidden_states = self.post_attention_layernorm(hidden_states)
hidden_states = self.mlp(hidden_states)
hidden_states = residual + hidden_states
return hidden_states
"""


class Layer:
    """The forward of one decoder layer."""

    def __init__(self, module: Any, before: float, after: float) -> None:
        self.module, self.before, self.after = module, before, after
        self.plain = module.forward
        self.room = _is_stacked(module)  # who multiplies what the norms make can use room behind it

    def forward(self, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        """(batch, length, hidden) -> the same; the attention's arguments go through."""
        if compat.checkpoints_in_forward(self.module):
            once = partial(self.once, **kwargs)
            return self.module._gradient_checkpointing_func(once, hidden_states, *args)
        return self.once(hidden_states, *args, **kwargs)

    def once(self, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer itself, whether or not it will be computed again."""
        module = self.module
        if args or is_wanted():
            return self.plain(hidden_states, *args, **kwargs)
        first, second = module.input_layernorm.weight, module.post_attention_layernorm.weight
        x, normed = add_norm(hidden_states, None, first, self.before, self.room)
        attended, _ = module.self_attn(hidden_states=normed, **kwargs)
        x, normed = add_norm(attended, x, second, self.after, self.room)
        gated = getattr(module.mlp.__dict__.get("forward"), "__self__", None)
        if isinstance(gated, mlp.GatedMlp) and gated.takes(normed):
            return gated.forward(normed, residual=x)
        return x + module.mlp(normed)


def of(module: Any) -> Optional[Layer]:
    """The layer, where its code and its norms are the known ones."""
    if not hasattr(module, "post_attention_layernorm") or not _is_known(type(module)):
        return None
    before, after = epsilon_of(module.input_layernorm), epsilon_of(module.post_attention_layernorm)
    return None if before is None or after is None else Layer(module, before, after)


def _is_stacked(module: Any) -> bool:
    owners = (getattr(child.__dict__.get("forward"), "func", None) for child in module.modules())
    groups = [owner.__self__ for owner in owners if isinstance(getattr(owner, "__self__", None), Group)]
    return any(group.copies.stack is not None for group in groups)


def _is_known(kind: Any) -> bool:
    try:
        written = ast.parse(textwrap.dedent(inspect.getsource(kind.forward))).body[0]
    except (OSError, TypeError, SyntaxError):  # no source, or compiled
        return False
    return isinstance(written, ast.FunctionDef) and _said(written.body) == _said(ast.parse(BODY).body)


def _said(body: Any) -> Tuple[str, ...]:
    """The statements, without docstrings and without the arguments of the attention."""
    told = []
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        for node in ast.walk(statement):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "self_attn"
            ):
                node.args, node.keywords = [], []
        told.append(ast.dump(statement))
    return tuple(told)
