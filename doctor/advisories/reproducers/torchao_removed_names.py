"""from torchao.quantization import int4_weight_only."""

from _verdict import raises


def imported():
    from torchao.quantization import int4_weight_only

    return str(int4_weight_only)[:80]


raises(imported, r"cannot import name 'int4_weight_only' from 'torchao")
