"""Room behind rows (train/fast/rooms.py) and the stacked bases that use it (stack.py)."""

ROOMS = """
import torch
from envdoc.train.fast import rooms

made = rooms.leave(torch.zeros(2, 3, 16))
whole = rooms.of(made)
whole[:, 16:] = 7.0
wider = torch.zeros(6, 16 + rooms.ROOM + 1)
print(json.dumps({
    "measures": [list(made.shape), list(whole.shape), whole.data_ptr() == made.data_ptr()],
    "seen through autograd's shapes": rooms.of(made.view(2, 3, 4, 4).reshape(2, 3, 16)) is not None,
    "untouched": [made.fill_(1.0).sum().item(), whole[:, 16:].mean().item(), made._version],
    "strangers": [rooms.of(x) is None for x in (
        torch.zeros(6, 16),
        torch.zeros(6, 16 + rooms.ROOM),
        wider[:, :16],
        torch.zeros(7, 16 + rooms.ROOM)[1:, :16],
        torch.zeros(7, 16 + rooms.ROOM)[:6, :16],
        torch.zeros(3, 2, 16 + rooms.ROOM)[..., :16].transpose(0, 1),
        torch.zeros(6, 16 + rooms.ROOM)[:, 1:17],
        torch.zeros(0, 16 + rooms.ROOM)[:, :16],
        torch.zeros(16),
    )],
    "behind": [
        rooms.behind(whole, 24).mean().item(),
        list(rooms.behind(whole, rooms.ROOM).shape),
        rooms.behind(whole, rooms.ROOM + 1) is None,
        rooms.behind(None, 1) is None,
    ],
    "filled": [rooms.filled(ranks) for ranks in (1, 8, 9, 64)],
}))
"""

POISONED = """
import torch
from envdoc.train.fast import rooms

finite = []
for rows in (33, 64, 200):
    for ranks in (2, 8, 12):
        like = torch.zeros(rows, 128, dtype=torch.bfloat16)
        held = [like.new_full((rows, 128 + rooms.ROOM), float("nan")) for _ in range(8)]
        del held  # what is asked for next lies where one of these was
        whole = rooms.of(rooms.leave(like).fill_(1.0))
        whole[:, 128 : 128 + ranks] = 1.0
        rooms.clear(whole, 128, ranks)
        matrix = torch.ones(48, 128 + rooms.ROOM, dtype=torch.bfloat16)
        filled = 128 + rooms.filled(ranks)
        product = torch.nn.functional.linear(whole[:, :filled], matrix[:, :filled])
        finite.append([product.min().item(), product.max().item()] == [128.0 + ranks] * 2)
print(json.dumps(finite))
"""

STACKED = """
kinds = {}
model = laid("llama")
loss, wanted = gradients(model)
before = {n: p.detach().clone() for n, p in model.named_parameters()}
fuse.fuse(model)
kinds["weights"] = all(torch.equal(before[n], p) for n, p in model.named_parameters())
stacks = [c.stack for c in model.envdoc_shelf.copies]
kinds["stacked"] = [sum(s is not None for s in stacks), len(stacks)]
kinds["storage"] = len({p.untyped_storage().data_ptr() for n, p in model.named_parameters() if "base_layer" in n})
fuse.unfuse(model)
weights = [p for n, p in model.named_parameters() if "base_layer" in n]
kinds["undone"] = [
    all(torch.equal(before[n], p) for n, p in model.named_parameters()),
    all(p.is_contiguous() and p.untyped_storage().nbytes() == p.numel() * 4 for p in weights),
]
fuse.fuse(model)
kinds["fused"] = [loss == gradients(model)[0], apart(wanted, gradients(model)[1])]

used = []
from envdoc.train.fast.stack import Stack
for name in ("forward", "back"):
    def counted(self, *given, name=name, plain=getattr(Stack, name)):
        used.append(name)
        return plain(self, *given)
    setattr(Stack, name, counted)

def run(model):
    del used[:]
    loss, found = gradients(model)
    return [used.count("forward"), used.count("back"), apart(wanted, found)]

kinds["used"] = run(model)
model.to(torch.float64).to(torch.float32)  # other tensors of the same numbers: the stacks are nobody's weights now
kinds["moved"] = run(model)

model = laid("llama")
fuse.fuse(model)
layer = model.get_base_model().model.layers[0].self_attn.q_proj
with torch.no_grad():
    layer.get_base_layer().weight.mul_(1.5)  # through the view: the product sees it
loss, found = gradients(model)
fuse.unfuse(model)
kinds["changed in place"] = [abs(loss - gradients(model)[0]), apart(gradients(model)[1], found)]

kinds["ranks"] = []
for r in (3, 24, 40):
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen2"](**SIZES))
    base.config.use_cache = False
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=r, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    loss, wanted = gradients(model)
    fuse.fuse(model)
    kinds["ranks"].append([sum(c.stack is not None for c in model.envdoc_shelf.copies), *run(model)])
print(json.dumps(kinds))
"""


UNFIT = """
from types import SimpleNamespace
from envdoc.train.fast import copying, kernels, skinny

class Refused:
    "A kernel that its compiler does not take."
    def __init__(self, words):
        self.words, self.asked = words, 0
    def __getitem__(self, grid):
        return self
    def __call__(self, *given, **named):
        self.asked += 1
        raise RuntimeError(self.words)

notes = []
kernels.say = notes.append
model = laid("llama")
_, wanted = gradients(model)
fuse.fuse(model)
skinny.triton = SimpleNamespace(cdiv=lambda a, b: -(-a // b), next_power_of_2=lambda n: 1 << (n - 1).bit_length())
skinny._both, copying._move = Refused("ptxas is missing"), Refused("no pointers here")
skinny.kernels = copying.kernels = SimpleNamespace(**{**vars(kernels), "usable": lambda tensor: True})
told = {"notes": notes, "apart": apart(wanted, gradients(model)[1]), "asked": [skinny._both.asked, copying._move.asked]}
full = Refused("CUDA out of memory. Tried to allocate 2.00 GiB")
try:
    kernels.started("another", lambda: full())
except RuntimeError as error:
    told["full"] = str(error)
print(json.dumps(told))
"""


def test_kernels_that_do_not_run_here_leave_their_work_to_torch(inside, tmp_path):
    """Asked for once each, told in a note each, and the numbers are peft's; memory that runs out is another matter."""
    from test_train_fused import FAMILIES

    told = inside(tmp_path, FAMILIES + UNFIT)
    assert told["apart"] < 5e-6
    assert [1, 1] == told["asked"]
    by_torch = "note: {} is computed by torch, since envdoc's kernel does not run here: {}."
    assert [
        by_torch.format("Copying the adapter", "no pointers here"),
        by_torch.format("LoRA's way back", "ptxas is missing"),
    ] == told["notes"]
    assert "CUDA out of memory. Tried to allocate 2.00 GiB" == told["full"]


def test_room_is_known_by_its_measures_and_no_strangers_is(inside, tmp_path):
    """What lies behind the rows is neither seen nor counted; slices of other matrices are never taken for it."""
    told = inside(tmp_path, ROOMS)
    assert [[2, 3, 16], [6, 80], True] == told["measures"]
    assert told["seen through autograd's shapes"]
    assert [96.0, 7.0, 1] == told["untouched"]
    assert [True] * 9 == told["strangers"]
    assert [7.0, [6, 64], True, True] == told["behind"]
    assert [8, 8, 16, 64] == told["filled"]


def test_what_memory_held_before_is_in_no_product(inside, tmp_path):
    """Memory that held NaN becomes room, and a product with its first columns is exact: 128 ones and each rank's."""
    assert [True] * 9 == inside(tmp_path, POISONED)


def test_stacked_bases_compute_what_peft_computes(inside, tmp_path):
    """Weights keep their numbers; moved or too wide, a group goes the other way; a change in place is seen."""
    from test_train_fused import FAMILIES

    told = inside(tmp_path, FAMILIES + STACKED)
    assert told["weights"]
    assert [8, 8] == told["stacked"]
    assert 8 == told["storage"]  # q, k, v; o; gate, up; down: of two layers
    assert [True, True] == told["undone"]
    assert told["fused"][1] < 5e-6
    # By torch, where the rotation leaves no room: o and gate with up of both layers, down of the first.
    forward, back, apart = told["used"]
    assert [2, 5] == [forward, back]
    assert apart < 5e-6
    forward, back, apart = told["moved"]
    assert [0, 0] == [forward, back]
    assert apart < 5e-6
    loss, apart = told["changed in place"]
    assert loss < 1e-5
    assert apart < 5e-6
    narrow, wide, wider = told["ranks"]
    assert [8, 2, 5] == narrow[:3]  # 9 columns of q, k and v filled up to 16
    assert [6, 0, 5] == wide[:3]  # 72 columns of q, k and v have no room
    assert [4, 0, 3] == wider[:3]  # nor have 80 of gate and up
    assert max(narrow[3], wide[3], wider[3]) < 5e-6
