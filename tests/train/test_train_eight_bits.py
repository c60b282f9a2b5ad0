"""LLM.int8 layers that are frozen keep nothing of their input."""

KEPT = r"""
import torch
import bitsandbytes as bnb
from envdoc.train.fast.eight_bits import forget_inputs

def through(forgets):
    torch.manual_seed(0)
    plain = torch.nn.Linear(256, 128, bias=False)
    layer = bnb.nn.Linear8bitLt(256, 128, bias=False, has_fp16_weights=False, threshold=6.0)
    layer.weight = bnb.nn.Int8Params(plain.weight.data, requires_grad=False, has_fp16_weights=False)
    layer = layer.to("cpu").eval()  # on a CPU only then by the function that a GPU takes
    found = forget_inputs(torch.nn.Sequential(layer)) if forgets else 0
    x = torch.randn(64, 256)
    x[:, :40] *= 8  # columns with outliers
    x = x.bfloat16().requires_grad_()
    y = layer(x * 1.0)
    kept = [None if part is None else list(part.shape) for part in y.grad_fn.tensors]
    y.float().pow(2).sum().backward()
    with torch.no_grad():
        layer(x)  # without a graph there is nothing to forget
    return found, kept, x.grad

(_, kept, wanted), (found, now, gradient) = through(False), through(True)
trained = bnb.nn.Linear8bitLt(8, 8, has_fp16_weights=True)
print(json.dumps({"kept": kept, "found": found, "now": now, "equal": torch.equal(wanted, gradient),
                  "moves": bool(wanted.abs().sum() > 0), "trained": forget_inputs(trained)}))
"""


def test_a_frozen_8_bit_layer_keeps_nothing_and_gives_the_same_gradient(inside, tmp_path):
    """bitsandbytes keeps input and outlier columns; without them the input's gradient is equal, to the last bit."""
    told = inside(tmp_path, KEPT)

    assert [None, [64, 40], [64, 256]] == told.pop("kept")
    assert {"found": 1, "now": [None] * 3, "equal": True, "moves": True, "trained": 0} == told
