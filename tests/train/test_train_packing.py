"""Packing: no row sees another, proved on models of many kinds.

With `data.packing: auto` the rows of an update are those of a padded run, and so are loss and gradients.
"""

import pytest

MODELS = r"""
import contextlib, io, types
import torch, transformers
from envdoc.train import packed, pipeline
from envdoc.train.batches import answer_tokens, halve, lay_flat, lay_packs, pad, useful_tokens
from envdoc.train.config import Data, Run
from envdoc.train.errors import ModelError
from envdoc.train.feed import Laying, loader
from envdoc.train.answers import answer_loss
from envdoc.train.turns import MASKED, Tokens
from envdoc.train.units import Units

WINDOW = 6
small = dict(vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
one_head = {**small, "num_key_value_heads": 4}
T = transformers
KINDS = {
    "llama": T.LlamaConfig(**small),
    "qwen2": T.Qwen2Config(**small),
    "mistral": T.MistralConfig(**small, sliding_window=WINDOW),
    "gemma2": T.Gemma2Config(**small, head_dim=8, sliding_window=WINDOW),
    "phi": T.PhiConfig(**one_head),
    "phi3": T.Phi3Config(**small, sliding_window=WINDOW),
    "gpt2": T.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "neox": T.GPTNeoXConfig(**{k: v for k, v in small.items() if k != "num_key_value_heads"}),
    "falcon": T.FalconConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
    "bloom": T.BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4),
}
if hasattr(T, "Qwen3Config"):
    KINDS["qwen3"] = T.Qwen3Config(**small, head_dim=8)
if hasattr(T, "Gemma3TextConfig"):
    KINDS["gemma3"] = T.Gemma3TextConfig(**small, head_dim=8, sliding_window=WINDOW,
                                         layer_types=["sliding_attention", "full_attention", "sliding_attention"])

def rows_of(lengths):
    made = []
    for number, length in enumerate(lengths, 1):
        ids = torch.randint(3, 97, (length,)).tolist()
        made.append(Tokens(number, ids, [MASKED] * (length // 3) + ids[length // 3:]))
    return made

def through(model, batches, form):
    model.zero_grad()
    total = 0.0
    for batch in batches:
        batch = form(dict(batch))
        labels = batch.pop("labels")
        loss = answer_loss(model(**batch).logits, labels)
        loss.backward()
        total += float(loss.detach())
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

def apart(one, other):
    return [abs(one[0] - other[0]) / other[0], float((one[1] - other[1]).abs().max() / other[1].abs().max())]

torch.manual_seed(0)
rows = rows_of([19, 13, 7, 11, 5, 9])
packs = [rows[:2], rows[2:]]  # 32 tokens each, and no padding but in the second
naive = [{**lay_packs([part], 0)} for part in packs]
for batch in naive:
    del batch["position_ids"]
found = {}
for name, config in KINDS.items():
    torch.manual_seed(0)
    model = T.AutoModelForCausalLM.from_config(config)
    model.config.use_cache = False
    for parameter in model.parameters():  # else attention is so flat that mixing rows hardly shows
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.eval()
    try:
        form = packed.choose(model, 32)
    except ModelError as error:
        found[name] = error.message
        continue
    single = through(model, [pad([row], 0) for row in rows], packed.PADDED)
    in_packs = through(model, [lay_packs(packs, 0)], form)
    update = [[row] for row in rows]
    auto = through(model, Laying(2, 0, form.layout, False, 32)(update), form)
    shared = through(model, Laying(2, 0, form.layout, False, 32, share=3)(update), form)
    halves = through(model, halve(lay_packs(packs, 0)), form)
    quarters = through(model, [h for p in packs for h in halve(lay_packs([p], 0))], form)
    found[name] = {"form": form.name, "packed": apart(in_packs, single), "halved": apart(halves, single),
                   "auto": apart(auto, single) + apart(shared, single),
                   "split": apart(quarters, single), "naive": apart(through(model, naive, packed.PADDED), single)}

# One line of all rows, and how it is cut.
line = lay_flat(rows, 9)
def told(batch):
    return {"cu_seqlens": batch["cu_seqlens"].tolist(), "max_seqlen": batch["max_seqlen"],
            "positions": batch["position_ids"][0].tolist(), "useful": useful_tokens(batch),
            "learnt": answer_tokens(batch), "shapes": [list(batch[n].shape) for n in ("input_ids", "labels")],
            "types": [str(batch[n].dtype) for n in ("input_ids", "cu_seqlens")] + [type(batch["max_seqlen"]).__name__]}
def same(one, other):
    return all(torch.equal(one[n], other[n]) if torch.is_tensor(one[n]) else one[n] == other[n] for n in one)
llama = T.AutoModelForCausalLM.from_config(KINDS["llama"])
alone = through(llama, [pad([row], 0) for row in rows], packed.PADDED)
flat_form = packed.Form("flat", packed._flat, "flat")
flat = {
    "line": told(line), "padded": [useful_tokens(pad(rows, 0)), answer_tokens(pad(rows, 0))],
    "halves": [same(half, lay_flat(part, 0)) for half, part in zip(halve(line), (rows[:2], rows[2:]))],
    "one row": halve(lay_flat(rows[:1], 0)) is None,
    "losses": [apart(through(llama, batches, flat_form), alone)
               for batches in ([line], halve(line), Laying(2, 0, "flat", False, 32)([[row] for row in rows]),
                               Laying(2, 0, "flat", True)(packs))],
    "passes": [b["input_ids"].shape[1] for b in Laying(2, 0, "flat", False, 32)([[row] for row in rows])],
}

class Stranger(torch.nn.Module):  # as a model's own code may be: it knows no positions
    def __init__(self, inner):
        super().__init__()
        self.inner, self.config = inner, inner.config
    def get_input_embeddings(self):
        return self.inner.get_input_embeddings()
    def forward(self, input_ids, attention_mask=None):
        return self.inner(input_ids=input_ids)
try:
    stranger = packed.choose(Stranger(llama), 32).name
except ModelError as error:
    stranger = error.message

# By default such a model is trained padded.
told = io.StringIO()
precision = types.SimpleNamespace(dtype="fp32", torch_dtype=torch.float32)
bloom = T.AutoModelForCausalLM.from_config(KINDS["bloom"])
with contextlib.redirect_stderr(told):
    forms = [pipeline._form(Run(data=Data(**packing)), model, precision).name
             for packing in ({}, {"packing": False}) for model in (llama, bloom)]
by_default = [forms, told.getvalue()]

# Order: the loader of a packed epoch, begun twice, and of rows of like length.
many = rows_of([5 + (7 * n) % 23 for n in range(203)])
lengths = [len(row.input_ids) for row in many]
def batches_of(units, epoch=0, accumulation=2):
    packs = units.data.packing is True
    laying = Laying(3, 0, "lines" if packs else "padded", packs)
    return loader(many, units, accumulation, laying, lambda: epoch)
def numbers(units, epoch, accumulation=2):
    seen = []
    for update in batches_of(units, epoch, accumulation):
        seen.append([b["input_ids"][:, :3].tolist() for b in update["micro_batches"]])
    return seen
packing = Units(lengths, Data(packing=True, max_length=64), 7, 3)
again = Units(lengths, Data(packing=True, max_length=64), 7, 3)
plain, grouped = Units(lengths, Data(), 7, 3), Units(lengths, Data(group_by_length=True), 7, 3)
def padding(units):
    batches = [b for u in batches_of(units) for b in u["micro_batches"]]
    return sum(b["input_ids"].numel() for b in batches) - sum(useful_tokens(b) for b in batches)
print(json.dumps({
    "models": found, "stranger": stranger, "by default": by_default, "flat": flat,
    "order": {
        "same": numbers(packing, 3) == numbers(again, 3),
        "counts": [len(packing.order(e)) for e in (0, 1, 2)] + [len(packing)],
        "differ": packing.order(0) != packing.order(1),
        "every row": [sorted(r for u in units.order(1) for r in u) == list(range(203)) for units in (packing, grouped)],
        "grouped": [grouped.order(4) == Units(lengths, Data(group_by_length=True), 7, 3).order(4),
                    grouped.order(4) != grouped.order(5)],
        "padding": [padding(plain), padding(grouped)],
        "tokens": [sum(lengths), sum(u["tokens"] for u in batches_of(packing))],
        "as before": [row for (row,) in plain.order(2)]
                     == torch.randperm(203, generator=torch.Generator().manual_seed(7 + 2)).tolist(),
    },
}))
"""


@pytest.fixture(scope="module")
def packed(inside, tmp_path_factory):
    """Every case above, from one child."""
    return inside(tmp_path_factory.mktemp("packed"), MODELS)


def test_packed_rows_give_the_loss_and_gradients_of_single_rows(packed):
    """To the rounding of fp32, in models with and without windows, with absolute and with rotary positions."""
    models = {name: told for name, told in packed["models"].items() if name != "bloom"}

    assert {"llama", "qwen2", "mistral", "gemma2", "phi", "gpt2", "neox", "falcon"} <= set(models)
    assert {} == {name: told for name, told in models.items() if max(told["packed"]) > 3e-6}
    assert {} == {name: told for name, told in models.items() if max(told["halved"] + told["split"]) > 3e-6}
    assert {} == {name: told for name, told in models.items() if max(told["auto"]) > 3e-6}


def test_a_flat_line_tells_where_its_rows_begin(packed):
    """Positions, the ends of rows, the longest one: known on the CPU; 64 tokens need no filling, their halves do."""
    flat = packed["flat"]
    ends = [0, 19, 32, 39, 50, 55, 64]

    assert ends == flat["line"]["cu_seqlens"] and 19 == flat["line"]["max_seqlen"]
    assert [place - start for start, stop in zip(ends, ends[1:]) for place in range(start, stop)] == flat[
        "line"
    ]["positions"]
    assert flat["padded"] == [flat["line"]["useful"], flat["line"]["learnt"]] and 64 == flat["padded"][0]
    assert ["torch.int64", "torch.int32", "int"] == flat["line"]["types"]
    assert [[1, 64]] * 2 == flat["line"]["shapes"]


def test_a_flat_line_is_cut_at_a_row_and_has_the_same_loss(packed):
    """Each half as if it had been laid by itself, byte for byte; a single row is not cut."""
    flat = packed["flat"]

    assert [True, True] == flat["halves"] and flat["one row"]
    assert max(value for pair in flat["losses"] for value in pair) < 3e-6
    assert [64] == flat["passes"]


def test_rows_that_are_only_laid_end_to_end_give_others(packed):
    """The same rows without positions and mask: what the test above would see if rows saw each other."""
    models = {name: told for name, told in packed["models"].items() if name != "bloom"}

    assert {} == {name: told for name, told in models.items() if min(told["naive"]) < 5e-5}


def test_a_model_that_mixes_packed_rows_is_refused(packed):
    """Bloom makes its mask from the 2-D one alone, and a model's own code may know no positions: a sentence each."""
    for told, kind in ((packed["models"]["bloom"], "bloom"), (packed["stranger"], "llama")):
        assert told.startswith(
            f"`data.packing` is on, and this model ({kind}) does not keep packed rows apart: as "
        )
    assert "it fails with TypeError" in packed["stranger"]


def test_a_model_that_mixes_rows_is_trained_padded_unless_packing_is_asked_for(packed):
    """Llama keeps rows apart, Bloom does not: one note, and no refusal."""
    forms, told = packed["by default"]

    assert ["positions", "padded", "padded", "padded"] == forms
    (line,) = told.splitlines()
    assert line.startswith(
        "note: Rows are padded: this model (bloom) does not keep packed rows apart: as positions, "
    )


def test_the_order_of_packs_and_groups_follows_from_seed_and_epoch(packed):
    """Begun anew at any epoch: the same batches; every row once; as many units in each epoch."""
    order = packed["order"]

    assert order["same"] and order["differ"]
    assert 1 == len(set(order["counts"]))
    assert [True, True] == order["every row"] == order["grouped"]
    assert order["as before"]  # without packing and grouping runs go on as they were begun


def test_like_lengths_in_a_batch_save_padding(packed):
    """Less than half the padding of shuffled rows; packs count each token once."""
    shuffled, grouped = packed["order"]["padding"]

    assert grouped < shuffled / 2
    assert packed["order"]["tokens"][0] == packed["order"]["tokens"][1]
