"""The fast path on a CPU: the loss by pieces, attention row by row, checkpointing; each equal to the plain way."""

import pytest
from train_children import losses, receipt

PIECES = r"""
import collections, torch, transformers as T
from peft import LoraConfig, get_peft_model
from envdoc.train import packed
from envdoc.train.batches import lay_flat, pad
from envdoc.train.fast import attention, checkpointing, chunks, fuse, head, loss, varlen
from envdoc.train.turns import MASKED, Tokens

torch.set_num_threads(1)
WINDOW, WORDS = 6, 97
small = dict(vocab_size=WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
KINDS = {
    "llama": T.LlamaConfig(**small),
    "mistral": T.MistralConfig(**small, sliding_window=WINDOW),
    "gemma2": T.Gemma2Config(**small, head_dim=8, sliding_window=WINDOW),
    "granite": T.GraniteConfig(**small, logits_scaling=3.0),
    "cohere": T.CohereConfig(**small, logit_scale=0.25),
    "phi": T.PhiConfig(**{**small, "num_key_value_heads": 4}),
    "opt": T.OPTConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
                       word_embed_proj_dim=16, max_position_embeddings=64),
    "gpt2": T.GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=64),
}

def made(kind):
    torch.manual_seed(0)
    model = T.AutoModelForCausalLM.from_config(KINDS[kind])
    model.config.use_cache = False
    for parameter in model.parameters():  # else attention is so flat that mixing rows hardly shows
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    for parameter in model.get_output_embeddings().parameters():
        parameter.requires_grad_(False)
    return model.eval()

def rows_of(lengths):
    ids = [torch.randint(3, WORDS, (length,)).tolist() for length in lengths]
    return [Tokens(n, one, [MASKED] * (len(one) // 3) + one[len(one) // 3:]) for n, one in enumerate(ids)]

def through(model, batches, form, own_head):
    model.zero_grad()
    total = 0.0
    for batch in batches:
        with form.around(model):
            part = loss.summed_loss(model, form(form.ahead(dict(batch))), own_head)
            part.backward()
        total += float(part.detach())
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

def apart(one, other):
    return [abs(one[0] - other[0]) / other[0], float((one[1] - other[1]).abs().max() / other[1].abs().max())]

torch.manual_seed(0)
rows = rows_of([19, 13, 7, 11, 5, 9])
chunks.CHUNK_BYTES = 4 * WORDS * 5  # five tokens at a time
attention.register()
by_row = attention.form("rows", "envdoc_rows")
told = {}
for kind in KINDS:
    model = made(kind)
    before = model.config._attn_implementation
    own_head, why = head.find(model)
    single = [pad([row], 0) for row in rows]
    whole = through(model, single, packed.PADDED, None)
    mixes = packed._mixes(model, by_row, noisy=False)
    told[kind] = {
        "why": why, "pieces": apart(through(model, single, packed.PADDED, own_head), whole), "mixes": mixes,
        "flat": None if mixes else apart(through(model, [lay_flat(rows, 0)], by_row, own_head), whole),
        "same after": model.config._attn_implementation == before,
    }

# A head that is none of ours.
llama = made("llama")
llama.lm_head.requires_grad_(True)
trains = head.find(llama)[1]
llama = get_peft_model(made("llama"), LoraConfig(r=2, target_modules=["lm_head"]))
adapted = head.find(llama)[1]
class Twice(T.LlamaForCausalLM):
    def forward(self, *inputs, **named):
        found = super().forward(*inputs, **named)
        found.logits = found.logits * 2
        return found
stranger = Twice(KINDS["llama"])
stranger.requires_grad_(False)
strange = head.find(stranger)[1]

# torch's kernel as each version has it: what it is called with, computed row by row.
def kernel_of(**extra):
    def rowwise(q, k, v, ends, longest, window, scale):
        q, k, v = (x.transpose(0, 1)[None].split((ends[1:] - ends[:-1]).tolist(), dim=2) for x in (q, k, v))
        parts = [varlen.row(*one, scale or one[0].shape[-1] ** -0.5, 0.0, window) for one in zip(q, k, v)]
        return torch.cat(parts, dim=2)[0].transpose(0, 1)
    def torch_2_10(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False):
        if not is_causal or key.shape[1] != query.shape[1]:
            raise RuntimeError("neither groups of heads nor attention to what comes")
        return rowwise(query, key, value, cu_seq_q, max_q, None, None)
    def torch_2_11(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)):
        assert window_size[1] == 0
        window = None if window_size[0] == -1 else window_size[0] + 1
        return rowwise(query, key, value, cu_seq_q, max_q, window, scale)
    def torch_2_13(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1),
                   enable_gqa=False):
        if not enable_gqa and key.shape[1] != query.shape[1]:
            raise ValueError("Try setting enable_gqa=True for GQA.")
        return torch_2_11(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size)
    return {"2.10": torch_2_10, "2.11": torch_2_11, "2.13": torch_2_13}
kernels = {}
for version, kernel in kernel_of().items():
    varlen.torch_kernel = lambda kernel=kernel: kernel
    varlen._groups.cache_clear()
    form = attention.form("varlen", "envdoc_varlen")
    for kind in ("llama", "mistral"):
        model = made(kind)
        own_head, _ = head.find(model)
        mixes = packed._mixes(model, form, noisy=False)
        whole = through(model, [pad([row], 0) for row in rows], packed.PADDED, None)
        kernels[f"{kind} {version}"] = mixes or apart(through(model, [lay_flat(rows, 0)], form, own_head), whole)

# Checkpointing with dropout, with peft's layers and with fused ones: how often attention ran, and how far apart.
IDS = torch.randint(0, WORDS, (2, 12), generator=torch.Generator().manual_seed(1))
checkpointed = {}
for kind in ("llama", "phi"):
    for fused in (False, True):
        plain = None
        for form in (False, True, "selective", "offload"):
            base = made(kind)
            base.requires_grad_(False)
            notes = checkpointing.enable(base, form)
            model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.1,
                                                    target_modules="all-linear"))
            torch.manual_seed(1)
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weight, std=0.05)
            if fused:
                fuse.fuse(model)
            ran = collections.Counter()
            for name, module in model.named_modules():
                if name.endswith("self_attn"):
                    module.register_forward_hook(lambda *_: ran.update(["times"]))
            model.train()
            torch.manual_seed(3)
            value = model(input_ids=IDS, labels=IDS).loss
            value.backward()
            now = float(value), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
            plain = plain or now
            checkpointed[f"{kind} {fused} {form}"] = [ran["times"], *apart(now, plain), list(notes)]
print(json.dumps({"kinds": told, "trains": trains, "adapted": adapted, "strange": strange, "kernels": kernels,
                  "checkpointed": checkpointed}))
"""


@pytest.fixture(scope="module")
def told(inside, tmp_path_factory):
    """Every case above, from one child."""
    return inside(tmp_path_factory.mktemp("fast"), PIECES)


def test_the_loss_by_pieces_is_that_of_whole_logits(told):
    """Value and gradients to the rounding of fp32: with soft caps, scales, biases, and a decoder within a decoder."""
    kinds = told["kinds"]

    assert {kind: "" for kind in kinds} == {kind: one["why"] for kind, one in kinds.items()}
    assert {} == {kind: one for kind, one in kinds.items() if max(one["pieces"]) > 3e-6}


def test_a_head_that_does_more_is_left_alone(told):
    """One that trains, one that carries an adapter, and a model that changes its logits afterwards."""
    assert "its head trains" == told["trains"]
    assert told["adapted"].startswith("its head is no plain linear layer")
    assert "its logits are not the product of its hidden states and its head alone" == told["strange"]


def test_rows_on_a_flat_line_give_the_loss_and_gradients_of_single_rows(told):
    """Row by row, with windows too; Gemma 2's soft caps are refused; the model is itself again afterwards."""
    kinds = told["kinds"]

    assert "it fails with Unfit" == kinds["gemma2"]["mixes"]
    flat = {kind: one["flat"] for kind, one in kinds.items() if one["flat"]}
    assert {"llama", "mistral", "granite", "cohere", "phi"} <= set(flat)
    assert {} == {kind: apart for kind, apart in flat.items() if max(apart) > 3e-6}
    assert {True} == {one["same after"] for one in kinds.values()}


def test_each_version_of_torchs_kernel_is_called_as_it_asks(told):
    """2.10 has no windows and no groups of heads, 2.11 no word for groups, 2.13 `enable_gqa`."""
    kernels = told["kernels"]

    assert "it fails with Unfit" == kernels.pop("mistral 2.10")
    assert {} == {
        name: apart for name, apart in kernels.items() if isinstance(apart, str) or max(apart) > 3e-6
    }


def test_checkpointing_changes_no_gradient(told):
    """To the last bit, with dropout; all four layers are computed again, or every second one."""
    ran = {"False": 4, "True": 8, "selective": 6, "offload": 8}

    for name, (times, *apart, notes) in told["checkpointed"].items():
        assert (ran[name.split()[-1]], [0.0, 0.0], []) == (times, apart, notes), name


def test_switched_off_the_run_is_the_same_but_for_rounding(launch_many, tmp_path):
    """`train.fused`: what `model.preparation` became stands in the receipt, and the fresh process agrees to the bit."""
    run = ["train", "train.steps=3", "proof=fresh"]
    done = launch_many(tmp_path, [*run, "output=fast"], [*run, "output=off", "train.fused=off"])

    assert [0, 0] == [one["code"] for one in done], done
    fast, off = (losses(tmp_path / name) for name in ("fast", "off"))
    assert max(abs(one[1] - other[1]) for one, other in zip(fast, off)) < 1e-5
    for name in ("fast", "off"):
        made = receipt(tmp_path / name)
        assert "full" == made["run"]["model.preparation"]
        (fresh,) = [check for check in made["proof"]["checks"] if check["name"] == "fresh process"]
        assert "equal the trained model's bit for bit" in fresh["detail"]
