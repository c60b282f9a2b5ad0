"""A base whose files lack a weight, which transformers fills with random numbers and a warning."""

CUT = """
from pathlib import Path
from safetensors.torch import load_file, save_file
from envdoc.train.tiny import make_tiny

make_tiny(Path("cut"), ["What is two? Two is 2."] * 20, 0)
tensors = load_file("cut/model.safetensors")
del tensors["model.layers.1.mlp.up_proj.weight"]
save_file(tensors, "cut/model.safetensors", {"format": "pt"})
print(json.dumps(len(tensors)))
"""


def test_no_weight_of_the_base_is_made_up(inside, launch_many, tmp_path):
    """Refused in one sentence that names the weight; exit code 2."""
    assert 29 == inside(tmp_path, CUT)

    (done,) = launch_many(tmp_path, ["train", "model=cut", "data=bundled", "train.steps=1"])

    assert 2 == done["code"], done
    assert "1 of 30 weights of the base model are in no file of `" in done["err"]
    assert "for one `model.layers.1.mlp.up_proj.weight`; they would be random numbers." in done["err"]
    assert "Traceback" not in done["err"]
