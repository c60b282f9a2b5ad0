"""Passes that are recorded and replayed: which lines are, how their gradients are summed up, and what stays as ever.

What a GPU records and replays is computed anew here; scripts/prove-graphs replays on a GPU.
"""

import json

from train_children import receipt

LAID = r"""
import torch
from envdoc.train.batches import halve, lay_flat, useful_tokens
from envdoc.train.fast import graphs, lines, tiles
from envdoc.train.feed import Laying
from envdoc.train.turns import Tokens

def rows(*lengths):
    return [Tokens(n, list(range(3, 3 + length)), list(range(3, 3 + length))) for n, length in enumerate(lengths)]

def taken(batch):
    return {name: part for name, part in lines.with_ends(batch).items() if name != "labels"}

lengths = (130, 5, 64, 65, 20)
plain, filled = lay_flat(rows(*lengths), 0, True), lay_flat(rows(*lengths), 0, True, graphs.STEP)
begins = filled["cu_seqlens"].tolist()
same = all(torch.equal(plain[name][:, :284], filled[name][:, :284]) for name in ("input_ids", "labels", "position_ids"))
table = filled["row_tiles"].tolist()
lengthy = lay_flat(rows(1200, 5), 0, True, graphs.STEP)
equal = lay_flat(rows(*[64] * 8), 0, True, graphs.STEP)
halves = halve(filled)
laying = Laying(1, 0, "tiled", packs=True, max_length=1000, step=lines.step_of(True, 1000))
packs = [rows(*[50] * 20), rows(490, 500), rows(30), rows(*[33] * 30)]
print(json.dumps({
    "tokens": filled["input_ids"].shape[1], "useful": useful_tokens(filled), "same": same,
    "begins": begins, "tiles": len(table), "empty": [row for row in table if row[1] == 0] == [[0, 0, 0]] * 20,
    "covers": sorted(row[0] + row[2] for row in table if row[1]) == sorted(
        begin + first for begin, end in zip(begins, begins[1:]) for first in range(0, end - begin, tiles.TILE)),
    "learnt": int((filled["labels"] >= 0).sum()) == int((plain["labels"] >= 0).sum()),
    "keys": [graphs.key_of(taken(one)) for one in (filled, plain, lengthy, equal, halves[0])],
    "strange": graphs.key_of({**taken(filled), "token_type_ids": 1}),
    "packs": [graphs.key_of(taken(*laying([pack]))) for pack in packs],
    "steps": [lines.step_of(*asked) for asked in ((True, 4096), (True, 300), (True, 1025), (False, 4096))],
}))
"""


def test_lines_that_are_recorded_are_filled_up(inside, tmp_path):
    """To 512 tokens, by rows of a tile each; the rows themselves and what is learnt stay; few sizes of tables.

    A line that is not so, one with a long row and one with an input that nobody knows have no key. Packs have one size.
    """
    told = inside(tmp_path, LAID)

    assert [0, 130, 135, 199, 264, 284, 348, 412, 476, 512] == told.pop("begins")
    assert (512, 284, 32) == (told.pop("tokens"), told.pop("useful"), told.pop("tiles"))
    assert [[512, 32], None, None, [512, 32], None] == told.pop("keys") and told.pop("strange") is None
    assert [[1024, 32]] * 4 == told.pop("packs")
    assert [4096, 512, 1536, 512] == told.pop("steps")
    assert {"same": True, "empty": True, "covers": True, "learnt": True} == told


RECORDER = r"""
import torch
from envdoc.train.fast import graphs

class Anew:  # stands for what a GPU records
    def __init__(self, work):
        self.replay = work

def record(self, tried):
    recorded.append(self.inputs["input_ids"].shape[1])
    with torch.set_grad_enabled(not tried):
        hidden = self.compute()
    if not tried:
        self.graphs.use(torch.autograd.grad(hidden, self.graphs.weights, torch.ones_like(hidden), allow_unused=True))
    self.hidden, self.gradient = self.graphs.places(hidden)
    def forward():
        with torch.enable_grad():
            self.alive = self.compute()
        self.hidden.copy_(self.alive.detach())
        replayed.append(1)
    def backward():
        torch._foreach_add_(self.graphs.sums, torch.autograd.grad(self.alive, self.graphs.weights, self.gradient))
    self.forward, self.backward = Anew(forward), Anew(backward)
    return ""

recorded, replayed = [], []
graphs.Recorded.record, graphs.let_go = record, lambda: None
torch.cuda.CUDAGraph = torch.cuda.current_stream = lambda: None
torch.cuda.get_rng_state, torch.cuda.set_rng_state, torch.cuda.set_stream = torch.get_rng_state, torch.set_rng_state, id
"""

REPLAYED = r"""
from envdoc.train.fast import attention

said = []
graphs.say = said.append

class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.idle = (torch.nn.Linear(8, 8) for _ in range(3))
    def forward(self, input_ids, position_ids, row_tiles, cu_seq_lens_q=None, cu_seq_lens_k=None, **more):
        x = torch.nn.functional.one_hot(input_ids % 8, 8).float() + 0.1 * position_ids[..., None]
        return (self.second(torch.tanh(self.first(x))),)

def line(tokens, seed, tiles=32):
    drawn = torch.Generator().manual_seed(seed)
    return {"input_ids": torch.randint(99, (1, tokens), generator=drawn),
            "position_ids": torch.arange(tokens)[None] % 7,
            "row_tiles": torch.zeros(tiles, 3, dtype=torch.int32), "max_length_q": 300, "max_length_k": 300}

def update(lines, replay):
    decoder = Decoder()
    weights = list(decoder.parameters())
    made = graphs.Graphs(decoder, decoder, weights) if replay else None
    told = []
    for _ in range(2):  # updates: gradients are forgotten in between
        for weight in weights:
            weight.grad = None
        for one in lines:
            hidden = made.hidden(one) if made else None
            hidden = decoder(**one)[0] if hidden is None else hidden
            (hidden ** 2).sum().backward()
        told.append([None if weight.grad is None else weight.grad.clone() for weight in weights])
    return told, made

def apart(lines):
    (ones, made), (others, _) = update(lines, True), update(lines, False)
    pairs = [pair for one, other in zip(ones, others) for pair in zip(one, other)]
    assert [a is None for a, _ in pairs] == [b is None for _, b in pairs] and any(a is None for a, _ in pairs)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs if b is not None), made

told = {}
told["one"], _ = apart([line(512, 1)])
told["several"], made = apart([line(512, 1), line(1024, 2), line(512, 3)])
told["recorded"] = recorded[:]
told["computed before"], _ = apart([line(500, 1), line(512, 2), line(512, 3)])  # the first is no line that is recorded
told["computed between"], _ = apart([line(512, 1), line(500, 2), line(1024, 3)])
graphs.MOST = 1
before = len(recorded)
told["at most"], _ = apart([line(512, 1), line(1024, 2)])
told["no more"] = recorded[before:]

def broken(self, tried):
    raise RuntimeError("an operation that is not permitted while a stream records\nand more")
# What the trial finds where one of the sums that were replayed is no number, and the others are equal.
strange = object.__new__(graphs.Recorded)
strange.graphs = graphs.Graphs(None, None, [])
strange.graphs.sums, strange.hidden = [torch.zeros(3), torch.zeros(3)], torch.ones(3)
strange.random = torch.get_rng_state()
strange.forward = Anew(lambda: None)
strange.backward = Anew(lambda: strange.graphs.sums[1].fill_(float("nan")))
told["no number"] = strange._replayed([torch.ones(3), torch.zeros(3), torch.ones(3)]) <= graphs.APART
# What the trial finds of a model whose layers look where the rows end, or how long one may be: another line is computed
# with all that it tells, and what is replayed knows no more than is laid anew.
class Ends(Decoder):
    def forward(self, cu_seq_lens_q=None, **given):
        hidden = super().forward(**given)[0]
        begins = torch.zeros(1, hidden.shape[1], 1)
        if cu_seq_lens_q is not None:
            begins[0, cu_seq_lens_q[1:-1].long()] = 1
        return (hidden + begins,)

class Refuses(Decoder):
    def forward(self, max_length_q=0, cu_seq_lens_q=None, **given):
        if cu_seq_lens_q is None and max_length_q > 200:
            raise attention.Unfit("a layer sees 200 tokens back")
        return super().forward(**given)

def tried(kind, longest=1024):
    model = kind()
    made = graphs.Graphs(model, model, list(model.parameters())[:4], longest)
    one = graphs.Recorded(made, {**line(512, 1), "cu_seq_lens_q": torch.tensor([0, 300, 512])})
    hidden = one.compute()
    made.use([weight for weight in made.weights])
    one.hidden, one.gradient = made.places(hidden)
    def forward():
        one.alive = one.compute()
        one.hidden.copy_(one.alive.detach())
    one.forward = Anew(forward)
    def backward():
        torch._foreach_add_(made.sums, torch.autograd.grad(one.alive, made.weights, one.gradient))
    one.backward = Anew(backward)
    return one._replayed(one._other())

told["ends"] = [tried(Decoder) <= graphs.APART, tried(Ends) <= graphs.APART, tried(Refuses, 150) <= graphs.APART]
try:
    tried(Refuses)
except attention.Unfit as error:
    told["refused"] = str(error)
told["rows"] = [graphs.rows_tried(*asked) for asked in ((512, 1024), (2048, 1024), (512, 100), (512, 128), (1024, 200))]
told["given"] = sorted(graphs.Recorded(made, {**line(512, 1), "cu_seq_lens_q": torch.tensor([0, 512])}).inputs)
# What a layer with a window does while it is recorded, which is told nothing of where rows end.
attention.short_rows.line = lambda query, *more: query
parts = [torch.ones(1, 1, 4, 8)] * 3
told["windows"] = []
for window in (None, 512, 511):
    try:
        attention.by_varlen(None, *parts, None, sliding_window=window, max_length_q=512, row_tiles=torch.zeros(32, 3))
        told["windows"].append("computed")
    except attention.Unfit as error:
        told["windows"].append(str(error))
def context():
    try:
        raise RuntimeError("operation not permitted when stream is capturing")
    except RuntimeError:
        raise RuntimeError("operation failed due to a previous error during capture")
try:
    context()
except RuntimeError as error:
    told["first"] = graphs._first(error)
try:
    try:
        raise ImportError("no flash attention")
    except ImportError:
        raise ValueError("rows are too long")
except ValueError as error:
    told["second"] = graphs._first(error)

graphs.MOST, graphs.Recorded.record = 24, broken
told["failed"], made = apart([line(512, 1), line(512, 2)])
told["off"], told["said"] = made.is_off, said[:]
model = Decoder()
made = graphs.Graphs(model, model, list(model.parameters()))
told["judging"] = made.hidden(line(512, 1)) is None and not model.eval().training and made.hidden(line(512, 1)) is None
print(json.dumps(told))
"""


def test_gradients_of_replayed_passes_add_up(inside, tmp_path):
    """Over the passes of an update, replayed or computed in any order, and again in the next; one recording a size.

    A weight without a gradient has none. What cannot be recorded is computed, with one note.
    """
    told = inside(tmp_path, RECORDER + REPLAYED)

    for kind in ("one", "several", "computed before", "computed between", "at most", "failed"):
        assert told[kind] < 1e-5, (kind, told[kind])
    assert [512, 512, 1024] == told["recorded"] and [512] == told["no more"]
    note = "note: Passes are not replayed as CUDA graphs: an operation that is not permitted while a stream records."
    assert [note] == told["said"] and told["off"]
    assert told["judging"] and not told["no number"]
    assert [True, False, True] == told["ends"] and "a layer sees 200 tokens back" == told["refused"]
    assert told["rows"] == [
        [384, 128],
        [1024, *[128] * 8],
        [100, 100, 100, 100, 100, 12],
        [128] * 4,
        [200, *[128] * 6, 56],
    ]
    given = ["input_ids", "max_length_k", "max_length_q", "position_ids", "row_tiles"]
    assert given == told["given"]
    assert ["computed", "computed", "a layer sees 511 tokens back, and a row may have 512"] == told["windows"]
    asks = "the model asks the GPU while it computes (operation not permitted when stream is capturing)"
    assert asks == told["first"] and "rows are too long" == told["second"]


# Runs launch.py on the fast path, as in test_train_fast_run.py, with attention over tiles by torch and with what a GPU
# records computed anew; where KILLED is true it ends itself in its sixth update, unless it was resumed.
STANDING_IN = r"""
KILLED = False
import os, runpy, signal, torch
from dataclasses import replace
from envdoc.train.fast import attention, graphs, precision, short_rows, varlen
from envdoc.train.trainer import AdapterTrainer
precision.is_fast = lambda run, chosen: run.train.fused == "auto" and run.model.preparation != "full"

def by_table(query, key, value, laid, scale):
    rows = sorted((start, length) for start, length, first in laid.tolist() if first == 0 and length)
    return torch.cat([varlen.row(*(part[start:start + length].transpose(0, 1)[None] for part in (query, key, value)),
                                 scale, 0.0, None)[0].transpose(0, 1) for start, length in rows])

def kernel(q, k, v, ends, _, longest, __, *, scale=None, window_size=(-1, -1)):
    q, k, v = (x.transpose(0, 1)[None].split((ends[1:] - ends[:-1]).tolist(), dim=2) for x in (q, k, v))
    return torch.cat([varlen.row(*row, scale, 0.0, None) for row in zip(q, k, v)], dim=2)[0].transpose(0, 1)

short_rows.line, varlen.torch_kernel = by_table, lambda: kernel
attention.register()
whole = attention.form("varlen", "envdoc_varlen")
attention.forms = lambda *asked: [replace(whole, name="short", layout="tiled", otherwise=whole), whole]
graphs.can_replay = lambda train, form, head, args: train.cuda_graphs is True and form.name == "short"

step = AdapterTrainer.training_step
def training_step(self, *given):
    if self.state.global_step == 5 and KILLED and "--resume" not in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *given)
AdapterTrainer.training_step = training_step
code = runpy.run_path(sys.argv[0])["main"](sys.argv[1:])
open("replayed", "a").write(json.dumps([recorded, len(replayed)]) + "\n")
sys.exit(code)
"""


def test_a_run_of_replayed_passes_is_the_run_and_resumes_to_the_last_bit(forked, tmp_path):
    """Losses of eight updates, three passes each, are those without to rounding; with dropout, killed and resumed, the
    adapter equals that of a run that was not, though the resumed one records at other places of the random numbers."""
    words = [
        "train",
        "model.dtype=bf16",
        "train.steps=8",
        "train.learning_rate=0.02",
        "train.warmup_fraction=0",
    ]
    words += [
        "train.optimizer=adamw_fused",
        "train.batch_size=3",
        "train.accumulation=3",
        "train.save_every=4",
    ]
    words += ["data.max_length=256", "data.packing=true"]
    plain = ["lora.dropout=0", "train.cuda_graphs=false", "name=plain"]
    replayed = ["lora.dropout=0", "train.cuda_graphs=true", "name=replayed"]
    drops = ["lora.dropout=0.2", "train.cuda_graphs=true"]
    runs = [
        forked.finish([*words, *more], tmp_path, text=RECORDER + STANDING_IN)
        for more in (plain, replayed, [*drops, "name=whole"])
    ]
    ending = RECORDER + STANDING_IN.replace("KILLED and", "True and")
    killed = forked.finish([*words, *drops, "name=killed"], tmp_path, text=ending)
    resumed = forked.finish([*words, *drops, "name=killed", "--resume"], tmp_path, text=ending)

    assert [0, 0, 0, -9, 0] == [done.returncode for done in (*runs, killed, resumed)], resumed.stderr
    ones, others = [
        [loss for _, loss in receipt(tmp_path / "runs" / name)["training"]["losses"]]
        for name in ("plain", "replayed")
    ]
    assert 8 == len(others) and max(abs(one - other) for one, other in zip(ones, others)) < 0.03
    counted = [json.loads(line) for line in (tmp_path / "replayed").read_text().splitlines()]
    assert [[], 0] == counted[0]
    assert [24, 24, 12] == [count for _, count in counted[1:]] and all(sizes for sizes, _ in counted[1:])
    assert all(size % 512 == 0 for sizes, _ in counted for size in sizes)
    one, other = (
        (tmp_path / "runs" / name / "adapter/adapter_model.safetensors").read_bytes()
        for name in ("whole", "killed")
    )
    assert one == other


def test_a_run_that_cannot_record_says_so_and_trains(forked, tmp_path):
    """On a CPU `train.cuda_graphs=true` is a note; losses and the adapter are those without it."""
    words = ["train", "train.steps=3", "lora.dropout=0"]
    asked = forked.finish([*words, "train.cuda_graphs=true", "name=asked"], tmp_path)
    plain = forked.finish([*words, "name=plain"], tmp_path)
    wrong = forked.finish([*words, "train.cuda_graphs=perhaps"], tmp_path)
    runs = [tmp_path / "runs" / name for name in ("asked", "plain")]
    note = "note: Passes are not replayed as CUDA graphs: they are not computed on a GPU."

    assert [0, 0, 2] == [done.returncode for done in (asked, plain, wrong)], asked.stderr
    assert note in asked.stderr and note not in plain.stderr
    ones, others = [[loss for _, loss in receipt(run)["training"]["losses"]] for run in runs]
    assert ones == others
    assert "`train.cuda_graphs` must be true or false, or auto, and is `perhaps`." in wrong.stderr
    assert "train.cuda_graphs: true" in _flat(runs[0]) and "train.cuda_graphs: false" in _flat(runs[1])


def _flat(run):
    """The run's checkpoints tell what was asked for."""
    told = json.loads(next(run.glob("checkpoint-*/complete.json")).read_text())["run"]
    return [f"{key}: {json.dumps(value)}" for key, value in told.items()]
