"""The closed form against what autograd really keeps, and what bitsandbytes really holds, on small models."""

from envdoc.train.estimate.memory import Pass, peak_bytes, trained_numbers
from envdoc.train.estimate.saved import Way
from envdoc.train.estimate.shape import shape_of
from envdoc.train.fast import chunks

LLAMA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
LLAMA_8B = {**LLAMA_7B, "intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128256}
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# A model, how it is computed, and more of its config; `wide` has other proportions.
KEPT = """
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from envdoc.train import adapters, config
from envdoc.train.estimate import saved
from envdoc.train.estimate.asked import targets_of
from envdoc.train.estimate.memory import kept_layers
from envdoc.train.estimate.saved import Way
from envdoc.train.estimate.shape import shape_of
from envdoc.train.fast.fuse import fuse

torch.set_num_threads(1)
SMALL = {"hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4, "num_key_value_heads": 2,
         "vocab_size": 96, "pad_token_id": 0}
WIDE = {**SMALL, "hidden_size": 128, "intermediate_size": 224, "num_key_value_heads": 4}
CASES = [
    ("llama plain", "llama", SMALL, False, torch.bfloat16, 0.0, "all"),
    ("llama plain, wide", "llama", WIDE, False, torch.bfloat16, 0.0, "all"),
    ("llama fused", "llama", SMALL, True, torch.bfloat16, 0.0, "all"),
    ("llama fused, wide", "llama", WIDE, True, torch.bfloat16, 0.0, "all"),
    ("llama fused, dropout", "llama", SMALL, True, torch.bfloat16, 0.1, "all"),
    ("llama plain, two layers", "llama", SMALL, False, torch.bfloat16, 0.0, ("q_proj", "v_proj")),
    ("llama plain, fp32", "llama", SMALL, False, torch.float32, 0.0, "all"),
    ("qwen2 fused", "qwen2", SMALL, True, torch.bfloat16, 0.0, "all"),
    ("qwen3 plain", "qwen3", {**SMALL, "head_dim": 16}, False, torch.bfloat16, 0.0, "all"),
    ("qwen3 fused", "qwen3", {**SMALL, "head_dim": 16}, True, torch.bfloat16, 0.0, "all"),
    ("gemma fused", "gemma", {**SMALL, "head_dim": 16}, True, torch.bfloat16, 0.0, "all"),
    ("mistral fused", "mistral", SMALL, True, torch.bfloat16, 0.0, "all"),
    ("gemma plain", "gemma", {**SMALL, "head_dim": 16}, False, torch.bfloat16, 0.0, "all"),
    ("phi3 plain", "phi3", SMALL, False, torch.bfloat16, 0.0, "all"),
    ("glm plain", "glm", {**SMALL, "head_dim": 16}, False, torch.bfloat16, 0.0, "all"),
]


def kept(model, length, autocast):
    "Bytes of the unique storages that a forward pass saves, weights left out."
    own = {part.untyped_storage().data_ptr() for part in [*model.parameters(), *model.buffers()]}
    seen = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    ids = torch.arange(2 * length).reshape(2, length) % 96
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(input_ids=ids).logits
    return sum(storage.nbytes() for storage in seen.values())


def of_a_layer(kind, more, fused, dtype, dropout, targets):
    "Bytes a token that one layer more keeps, as measured and by the table."
    grid = []
    for layers in (1, 3):
        described = AutoConfig.for_model(kind, num_hidden_layers=layers, **more)
        base = AutoModelForCausalLM.from_config(described, dtype=dtype)
        base.config.use_cache = False
        run = config.Run(
            lora=config.Lora(r=4, dropout=dropout, targets=targets), train=config.Train(gradient_checkpointing=False)
        )
        model = adapters.lay_adapter(base, run)
        if fused:
            fuse(model)
        autocast = not fused and dtype != torch.float32
        grid.append([kept(model, length, autocast) for length in (32, 96)])
    measured = ((grid[1][1] - grid[0][1]) - (grid[1][0] - grid[0][0])) / (2 * (2 * 96 - 2 * 32))
    shape = shape_of(described.to_dict())
    way = Way(fused=fused, activation_bytes=dtype.itemsize, autocast=autocast, r=4,
              targets=targets_of(run, shape), dropout=dropout > 0)
    return measured, saved.total(saved.layer(shape, way))


def of_two_layers(kind):
    "Bytes a token that two fused layers more keep with that checkpointing, as measured and by the formula."
    grid = []
    for layers in (2, 4):
        described = AutoConfig.for_model("llama", num_hidden_layers=layers, **SMALL)
        base = AutoModelForCausalLM.from_config(described, dtype=torch.bfloat16)
        base.config.use_cache = False
        run = config.Run(lora=config.Lora(r=4, dropout=0.0), train=config.Train(gradient_checkpointing=kind))
        model = adapters.lay_adapter(base, run)
        fuse(model)
        grid.append([kept(model, length, False) for length in (32, 96)])
    measured = ((grid[1][1] - grid[0][1]) - (grid[1][0] - grid[0][0])) / (2 * 96 - 2 * 32)
    shape = shape_of(described.to_dict())
    way = Way(r=4, targets=targets_of(run, shape))
    whole, inputs = (more - less for more, less in zip(kept_layers(4, kind), kept_layers(2, kind)))
    return measured, whole * saved.total(saved.layer(shape, way)) + inputs * 2 * 64


found = {name: of_a_layer(*case) for name, *case in CASES}
found.update({f"checkpointing {kind}": of_two_layers(kind) for kind in (True, "selective")})
print(json.dumps(found))
"""

HELD = """
import torch
from pathlib import Path
from envdoc.train import config
from envdoc.train.estimate import drawn
from envdoc.train.estimate.memory import Pass, weight_bytes
from envdoc.train.estimate.saved import Way
from envdoc.train.estimate.shape import read_shape
from envdoc.train.model import Precision

described = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
             "num_hidden_layers": 6, "num_attention_heads": 4, "vocab_size": 512, "tie_word_embeddings": False}
Path("config.json").write_text(json.dumps(described))
precision = Precision(torch.device("cpu"), "bf16")
found = {}
for kind in ("none", "8bit", "4bit"):
    model = config.Model(path=".", quantization=kind)
    base = drawn.draw(drawn.config_of(Path("config.json").absolute(), 6, model), model, precision)
    parts = [parameter.data for parameter in base.parameters()]
    for module in base.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            parts += [state.absmax, state.state2.absmax]
        scales = getattr(getattr(module, "weight", None), "SCB", None)
        parts += [scales] if scales is not None else []
    held = sum(part.numel() * part.element_size() for part in parts)
    found[kind] = [held, weight_bytes(read_shape(Path(".")), Pass(Way(), 1, quantization=kind))]

# Of weights ten times as large: the columns of each layer's input that LLM.int8() would take out.
Path("config.json").write_text(json.dumps({**described, "initializer_range": 0.2}))
for name, calm in (("drawn", drawn.CALM), ("as they are", 0.2 * 256**0.5)):
    drawn.CALM = calm
    model = config.Model(path=".", quantization="8bit")
    base = drawn.draw(drawn.config_of(Path("config.json").absolute(), 6, model), model, precision)
    columns = []
    for module in base.modules():
        if type(module).__name__ == "Linear8bitLt":
            module.register_forward_pre_hook(
                lambda _, given: columns.append(int((given[0].abs() >= drawn.THRESHOLD).any(dim=1).sum())))
    with torch.no_grad():
        base(input_ids=torch.arange(3, 200)[None])
    found[f"outliers, {name}"] = sum(columns)
print(json.dumps(found))
"""

LOSS = """
import torch
from envdoc.train.estimate import memory
from envdoc.train.fast import chunks, loss

torch.set_num_threads(1)
chunks.CHUNK_BYTES = 2**22
found = {}
for words, learnt in ((2048, 300), (2048, 1500)):
    head = loss.Head(torch.nn.Identity(), torch.nn.Linear(64, words, bias=False, dtype=torch.bfloat16))
    head.linear.requires_grad_(False)
    hidden = torch.randn(2000, 64, dtype=torch.bfloat16, requires_grad=True)
    places, answers = torch.arange(learnt), torch.arange(learnt) % words
    with torch.profiler.profile(profile_memory=True) as seen:
        head.loss(hidden, places, answers).backward()
    now = top = 0
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        top = max(top, now)
    most = chunks.CHUNK_BYTES // (4 * words)
    times = memory.CHUNK_TIMES + (memory.AFTER_ANOTHER if learnt > most else 0)
    found[learnt] = [top - hidden.numel() * 2, min(learnt, most) * words * 4 * times]
print(json.dumps(found))
"""


def test_the_loss_takes_what_the_formula_says(inside, tmp_path):
    """The most that the allocator gave out at once, with one chunk and with several: within a fiftieth."""
    for measured, told in inside(tmp_path, LOSS).values():
        assert abs(told / measured - 1) < 0.02, (measured, told)


def test_a_layer_keeps_what_the_table_says(inside, tmp_path):
    """For fifteen ways of computing and two of checkpointing, at two depths and lengths: within a hundredth."""
    found = inside(tmp_path, KEPT)

    off = {name: round(table / measured - 1, 4) for name, (measured, table) in found.items()}
    assert {} == {name: share for name, share in off.items() if abs(share) > 0.01}


def test_a_base_takes_what_the_formula_says(inside, tmp_path):
    """bf16, LLM.int8 with its scales, NF4 with double quantisation: within a thousandth of what lies in memory.

    A drawn 8-bit base has no column that LLM.int8() would keep in 16 bits, as its weights would make many.
    """
    found = inside(tmp_path, HELD)
    drawn, as_they_are = (found.pop(f"outliers, {name}") for name in ("drawn", "as they are"))

    assert 0 == drawn and as_they_are > 500, (drawn, as_they_are)
    assert {"none", "8bit", "4bit"} == set(found)
    for held, told in found.values():
        assert abs(told / held - 1) < 0.001, found


def test_the_closed_form_is_near_what_an_h200_took():
    """Six measurements of 2026-11-23 (research: probes with packed rows, bf16, r = 8, max_memory_allocated in GiB)."""
    seven, eight = shape_of(LLAMA_7B), shape_of(LLAMA_8B)
    measured = [
        (seven, 8, 8192, "none", False, 45.3),
        (seven, 8, 8192, "4bit", True, 7.1),
        (seven, 8, 8192, "4bit", False, 36.3),
        (seven, 8, 8192, "none", True, 16.1),
        (seven, 8, 16384, "none", False, 77.8),
        (eight, 16, 8192, "none", False, 52.8),
    ]
    off = []
    for shape, r, tokens, base, checkpointing, gib in measured:
        one = Pass(Way(r=r, targets=ALL), tokens, quantization=base, checkpointing=checkpointing)
        off.append(abs(peak_bytes(shape, one).total / 2**30 / gib - 1))

    assert max(off) < 0.06 and sorted(off)[len(off) // 2] < 0.03, off


def test_every_part_of_the_peak_moves_with_what_it_depends_on():
    """Rank, optimizer, base, checkpointing, tokens, whole logits: each changes its own term and not the others."""
    shape = shape_of(LLAMA_7B)
    plain = Pass(Way(r=8, targets=ALL), 4096)
    base = peak_bytes(shape, plain)

    assert 19_988_480 == trained_numbers(shape, plain.way)
    assert 2 * base.of("adapter") == peak_bytes(shape, Pass(Way(r=16, targets=ALL), 4096)).of("adapter")
    eight = peak_bytes(shape, Pass(plain.way, 4096, optimizer="paged_adamw_8bit"))
    assert 0 == eight.of("optimizer") and base.total - base.of("optimizer") == eight.total
    four = peak_bytes(shape, Pass(plain.way, 4096, quantization="4bit"))
    assert 0.25 < four.of("base, linear layers") / base.of("base, linear layers") < 0.26
    again = peak_bytes(shape, Pass(plain.way, 4096, checkpointing=True))
    assert 32 * 4096 * 4096 * 2 == again.of("between layers") and again.total < base.total / 1.5
    half = peak_bytes(shape, Pass(plain.way, 4096, checkpointing="selective"))
    assert 16 * 4096 * 4096 * 2 == half.of("between layers") and 2 * half.of("kept, MLP") == base.of(
        "kept, MLP"
    )
    away = peak_bytes(shape, Pass(plain.way, 4096, checkpointing="offload"))
    assert 2 * 4096 * 4096 * 2 == away.of("between layers")
    assert base.total > half.total > again.total > away.total
    whole = peak_bytes(shape, Pass(plain.way, 4096, chunked_loss=False))
    assert whole.of("loss") > 4096 * 32000 * 12 > base.of("loss")
    judged = peak_bytes(shape, Pass(plain.way, 16, judged_tokens=8 * 4096))
    assert judged.of("judging") > 8 * 4096 * 32000 * 10


def test_a_chunk_of_logits_fills_the_matrix_units_and_stays_small():
    """At least 1,024 rows for every vocabulary in use, whole steps, and never more than 512 MiB of 16-bit logits."""
    rows = {words: chunks.rows(words, by_kernel=True) for words in (1000, 32000, 128256, 152064, 262144)}

    assert {1000: 67072, 32000: 2048, 128256: 2048, 152064: 1536, 262144: 1024} == rows
    assert all(2 * words * count <= 512 * 2**20 for words, count in rows.items())
    assert [2097, 523] == [chunks.rows(words, by_kernel=False) for words in (32000, 128256)]
