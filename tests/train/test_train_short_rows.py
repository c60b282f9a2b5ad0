"""Attention over short rows on a CPU: its tiles, when it is used, and what is done where it is wrong.

The kernels themselves are compared with torch by scripts/prove-kernels. Here a function stands for them that knows of
the rows only what the table of tiles says.
"""

import pytest

SHORT = r"""
import contextlib, io, torch, transformers as T
from dataclasses import replace
from envdoc.train import packed
from envdoc.train.batches import halve, lay_flat, pad
from envdoc.train.fast import attention, checkpointing, loss, short_rows, tiles, varlen
from envdoc.train.feed import Laying
from envdoc.train.turns import MASKED, Tokens

torch.set_num_threads(1)
WORDS = 97

def rows_of(lengths):
    ids = [torch.randint(3, WORDS, (length,)).tolist() for length in lengths]
    return [Tokens(n, one, [MASKED] * (len(one) // 3) + one[len(one) // 3:]) for n, one in enumerate(ids)]

def same(one, other):
    return set(one) == set(other) and all(
        torch.equal(one[n], other[n]) if torch.is_tensor(one[n]) else one[n] == other[n] for n in one)

def tiles_in(batch):
    return batch["row_tiles"].tolist() if "row_tiles" in batch else None

# The table, and which lines have one.
torch.manual_seed(0)
rows = rows_of([19, 13, 7, 11, 5, 9])
line = lay_flat(rows, 0, tiled=True)
table = {
    "rows": tiles.of([1, 5, 64, 65, 130]).tolist(), "type": str(tiles.of([3]).dtype),
    "line": tiles_in(lay_flat(rows_of([65, 3]), 0, tiled=True)),
    "without": [tiles_in(lay_flat(rows_of([length, 8]), 0, tiled)) is None
                for length, tiled in ((1024, True), (1025, True), (1024, False))],
    "halves": [same(half, lay_flat(part, 0, True)) for half, part in zip(halve(line), (rows[:2], rows[2:]))],
    "laid": [[sum(length for _, length, first in tiles_in(batch) if first == 0) for batch in laid]
             for laid in (Laying(2, 0, "tiled", False, 32)([[row] for row in rows]),
                          Laying(2, 0, "tiled", True)([rows[:2], rows[2:]]))],
    "flat": [tiles_in(batch) for batch in Laying(2, 0, "flat", False, 32)([[row] for row in rows])],
}

# Who attends.
kept = short_rows.line, varlen.line, varlen.equal_rows, varlen.prefers_equal_rows
class Answer(str):
    def __getitem__(self, place):
        return str(self)
short_rows.line, varlen.line = lambda *a: Answer("short"), lambda *a: Answer("varlen")
varlen.equal_rows, varlen.prefers_equal_rows = lambda *a: "equal", lambda device: True
q = torch.zeros(1, 2, 8, 64)
went, laid = {}, {"row_tiles": torch.zeros(1, 3)}
for name, told in {
    "tiles": laid, "no tiles": {}, "shorter window": {**laid, "sliding_window": 799},
    "window as long as the longest": {**laid, "sliding_window": 800},
    "equal rows": {"row_length": 2048}, "equal rows of any length": {"row_length": 2040},
    "equal short rows": {**laid, "row_length": 512},
}.items():
    longest = {"max_length_q": told.get("row_length", 800), "cu_seq_lens_q": None}
    went[name] = attention.by_varlen(None, q, q, q, None, **longest, **told)[0]
short_rows.line, varlen.line, varlen.equal_rows, varlen.prefers_equal_rows = kept
bf16 = torch.bfloat16
lacks = [short_rows.why_not(*kind) for kind in (
    (bf16, 32, 8, 128), (torch.float16, 4, 4, 64), (torch.float32, 4, 4, 64), (bf16, 4, 4, 96), (bf16, 4, 4, 256),
    (bf16, 6, 4, 64))]

# Through models: the loss and gradients of single rows, though only the table says where rows lie.
def by_table(query, key, value, laid, scale, wrong=0.0):
    begins = [(start, length) for start, length, first in laid.tolist() if first == 0]
    parts = [varlen.row(*(part[start:start + length].transpose(0, 1)[None] for part in (query, key, value)),
                        scale, 0.0, None)[0].transpose(0, 1) for start, length in sorted(begins)]
    called.append(len(parts))
    return torch.cat(parts) + wrong * value.pow(2).mean()

def kernel(q, k, v, ends, _, longest, __, *, scale=None, window_size=(-1, -1)):
    fell.append(longest)
    window = None if window_size[0] == -1 else window_size[0] + 1
    q, k, v = (x.transpose(0, 1)[None].split((ends[1:] - ends[:-1]).tolist(), dim=2) for x in (q, k, v))
    return torch.cat([varlen.row(*row, scale, 0.0, window) for row in zip(q, k, v)], dim=2)[0].transpose(0, 1)

called, fell = [], []
short_rows.line, varlen.torch_kernel = by_table, lambda: kernel
attention.register()
whole = attention.form("varlen", "envdoc_varlen")
short = replace(whole, name="short", layout="tiled", otherwise=whole)
small = dict(vocab_size=WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)

def made(config, checkpointed=False):
    torch.manual_seed(0)
    model = T.AutoModelForCausalLM.from_config(config)
    model.config.use_cache = False
    for parameter in model.parameters():  # else attention is so flat that mixing rows hardly shows
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    checkpointing.enable(model, checkpointed)
    return model.train()

def through(model, batches, form):
    model.zero_grad()
    total = 0.0
    for batch in batches:
        with form.around(model):
            part = loss.summed_loss(model, form(form.ahead(dict(batch))), None)
            part.backward()
        total += float(part.detach())
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

def apart(one, other):
    return [abs(one[0] - other[0]) / other[0], float((one[1] - other[1]).abs().max() / other[1].abs().max())]

llama, mistral = T.LlamaConfig(**small), T.MistralConfig(**small, sliding_window=6)
models = {}
for name, config, checkpointed in (("llama", llama, False), ("checkpointed", llama, True), ("mistral", mistral, False)):
    alone = through(made(config), [pad([row], 0) for row in rows], packed.PADDED)
    called.clear(), fell.clear()
    model = made(config, checkpointed)
    models[name] = [apart(through(model, [line], short), alone), list(called),
                    [longest for longest in fell if longest != 37]]  # on 37 tokens varlen._groups tries it

# What the trial chooses where a kernel is wrong.
attention.forms = lambda *asked: [short, whole]
chosen = {}
def wrong_kernel(*given, **named):
    return kernel(*given, **named) + 1
def failing(*given):
    raise varlen.Unfit("it is not for these")
def wrong(*given):
    return by_table(*given, wrong=1.0)
for name, ours, theirs in (("both right", by_table, kernel), ("ours wrong", wrong, kernel),
                           ("ours fails", failing, kernel), ("torch's wrong", by_table, wrong_kernel)):
    short_rows.line, varlen.torch_kernel = ours, lambda theirs=theirs: theirs
    chosen[name] = packed.find(made(llama), 64)[0].name

# The kernels tried by themselves: a wrong gradient is seen, too.
class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.view_as(value)
    @staticmethod
    def backward(ctx, gradient):
        return gradient * 1.05
right, said = {}, io.StringIO()
kind = (torch.device("cpu"), torch.float32, 4, 2, 16)
for name, attend in (("right", by_table), ("wrong answer", wrong),
                     ("wrong gradient", lambda q, k, v, *rest: by_table(q, k, Wrong.apply(v), *rest))):
    short_rows.attend = attend
    short_rows.is_right.cache_clear()
    with contextlib.redirect_stderr(said if name == "wrong gradient" else io.StringIO()), torch.no_grad():
        right[name] = short_rows.is_right(*kind)
print(json.dumps({"table": table, "went": went, "lacks": lacks, "models": models, "chosen": chosen, "right": right,
                  "said": said.getvalue(), "here": short_rows.is_for(torch.device("cpu"))}))
"""


@pytest.fixture(scope="module")
def told(inside, tmp_path_factory):
    """Every case above, from one child."""
    return inside(tmp_path_factory.mktemp("short"), SHORT)


def test_tiles_are_laid_longest_row_first(told):
    """Where the row begins, its length, where the tile begins; what fills a line up to 72 tokens is a row of 4."""
    table = told["table"]
    longest = [[135, 130, 128], [135, 130, 64], [135, 130, 0]]

    assert [*longest, [70, 65, 64], [70, 65, 0], [6, 64, 0], [1, 5, 0], [0, 1, 0]] == table["rows"]
    assert [[0, 65, 64], [0, 65, 0], [68, 4, 0], [65, 3, 0]] == table["line"]
    assert "torch.int32" == table["type"]


def test_lines_have_tiles_where_they_are_asked_for_and_no_row_is_long(told):
    """1,024 tokens and not 1,025; a line cut in two as if each half had been laid by itself; packs and lines alike."""
    table = told["table"]

    assert [False, True, True] == table["without"]
    assert [True, True] == table["halves"]
    assert [[64], [64]] == table["laid"]
    assert [None] == table["flat"]


def test_short_rows_are_attended_to_by_tiles_and_others_as_before(told):
    """No window that is shorter than the longest row; long rows of one length go to cuDNN, with tiles or without."""
    assert {
        "tiles": "short",
        "no tiles": "varlen",
        "shorter window": "varlen",
        "window as long as the longest": "short",
        "equal rows": "equal",
        "equal rows of any length": "varlen",
        "equal short rows": "short",
    } == told["went"]


def test_what_the_kernels_lack_is_said(told):
    """16 bits, heads of 64 or 128 numbers, queries' heads that share keys' evenly; and no GPU is none of theirs."""
    assert [
        "",
        "",
        "no kernel in torch.float32",
        "no kernel for heads of 96 numbers",
        "no kernel for heads of 256 numbers",
        "6 heads of queries do not share 4 of keys",
    ] == told["lacks"]
    assert not told["here"]


def test_the_table_reaches_every_layer(told):
    """Loss and gradients of single rows; once more where a layer is computed again; a window leaves rows to torch's."""
    models = told["models"]

    assert {} == {name: apart for name, (apart, *_) in models.items() if max(apart) > 3e-6}
    assert ([6] * 2, []) == tuple(models["llama"][1:])
    assert ([6] * 4, []) == tuple(models["checkpointed"][1:])
    assert ([], [19] * 2) == tuple(models["mistral"][1:])


def test_the_trial_goes_on_to_the_next_form_where_a_kernel_is_wrong(told):
    """Torch's own where ours is wrong; neither where torch's is, to which long rows would go."""
    assert {
        "both right": "short",
        "ours wrong": "varlen",
        "ours fails": "varlen",
        "torch's wrong": "positions",
    } == told["chosen"]


def test_a_wrong_gradient_is_seen_before_the_first_update(told):
    """5% in one gradient; a sentence says which."""
    assert {"right": True, "wrong answer": False, "wrong gradient": False} == told["right"]
    assert told["said"].startswith(
        "note: Attention over short rows is left to torch: envdoc's kernels differ"
    )
    assert ", by 0.0%, 0.0%, 0.0%, 5.0% of the largest number" in told["said"]
