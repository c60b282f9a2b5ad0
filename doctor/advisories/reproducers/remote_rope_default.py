"""ROPE_INIT_FUNCTIONS["default"], as models' own code looks it up."""

from _verdict import raises


def look_up():
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    return ROPE_INIT_FUNCTIONS["default"].__name__


raises(look_up, "KeyError: 'default'")
