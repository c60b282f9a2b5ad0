"""The recipes that are measured: who trains, on which shape, and with which words.

envdoc's words are those of a run file; a peer's are read in the file of that peer.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple

ALL = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
# Given to every recipe alike, so that losses can be laid side by side.
RATE, SEED, ALPHA = 3e-4, 0, 16


@dataclass(frozen=True)
class Recipe:
    """One row of the table."""

    name: str  # what --only takes
    title: str
    by: str  # the child that runs it: envdoc, trainer, unsloth-bf16, unsloth-nf4
    words: Tuple[str, ...]
    tokens: int  # useful tokens in an update, about: rows are drawn for so many
    rows: int = 0  # or exactly so many rows an update
    fixed: Optional[int] = None  # every row of this length
    shape: str = "7b"
    r: int = 8
    warm: int = 4
    timed: int = 10
    idle: bool = False  # more updates under the profiler: how long the GPU waits


def own(name: str, title: str, tokens: int, words: str, **more: object) -> Recipe:
    """A recipe of envdoc's; packed unless its words say otherwise."""
    return Recipe(f"envdoc-{name}", f"envdoc {title}", "envdoc", tuple(words.split()), tokens, **more)  # type: ignore[arg-type]


def packed(tokens: int) -> str:
    """The words for one pack of so many tokens an update."""
    return f"data.packing=true data.max_length={tokens} train.batch_size=1 train.accumulation=1"


def every(shrink: int = 1) -> List[Recipe]:
    """All of them, the most telling first; `shrink` divides lengths and budgets for a try on a CPU."""
    k2, k4, k8, k16 = (1024 * thousands // shrink for thousands in (2, 4, 8, 16))
    plain, again = "train.gradient_checkpointing=false", "train.gradient_checkpointing=true"
    padded = {"tokens": 0, "rows": 8}
    # As the baselines of 2026-11-23, over the same rows: what share of a padded batch is padding differs much from one
    # to the next (42% useful in updates 4 to 9, 47% in 7 to 24, 46.7% over 4,800 rows).
    baseline = {**padded, "warm": 6, "timed": 18}
    rows8 = f"train.batch_size=8 train.accumulation=1 data.max_length={1024 // shrink}"
    return [
        own("bf16-8k", "bf16, packed 8192", k8, f"{packed(k8)} {plain}", warm=8, idle=True),
        own("bf16-16k", "bf16, packed 16384", k16, f"{packed(k16)} {plain}", warm=3, timed=8),
        own(
            "nf4-8k-ckpt",
            "NF4, packed 8192, checkpointing",
            k8,
            f"{packed(k8)} {again} model.quantization=4bit",
        ),
        own(
            "nf4-8k-offload",
            "NF4, packed 8192, checkpointing offload",
            k8,
            f"{packed(k8)} train.gradient_checkpointing=offload model.quantization=4bit",
        ),
        own(
            "int8-lean",
            "LLM.int8 lean, bf16, q+v, 8 rows an update, checkpointing",
            words=f"{rows8} {again} model.quantization=8bit model.preparation=lean lora.targets=q_proj,v_proj "
            "lora.dropout=0.05",
            warm=3,
            timed=6,
            **padded,
        ),
        own(
            "8b",
            "bf16, Llama-3-8B's shape, 2 x 4096, r=16",
            k8,
            f"data.packing=true data.max_length={k4} train.batch_size=2 train.accumulation=1 {plain}",
            shape="8b",
            r=16,
            fixed=k4,
            idle=True,
        ),
        Recipe(
            "unsloth-bf16-8k",
            "Unsloth bf16, TRL packing 4 x 2048",
            "unsloth-bf16",
            ("batch=4", f"length={k2}", "checkpointing=none"),
            k8,
            warm=6,
        ),
        Recipe(
            "unsloth-nf4-8k",
            "Unsloth NF4, TRL packing 4 x 2048, its checkpointing",
            "unsloth-nf4",
            ("batch=4", f"length={k2}", "checkpointing=unsloth"),
            k8,
            warm=6,
        ),
        Recipe(
            "seed",
            "the seed's: Trainer + peft, LLM.int8 full, fp16, q+v, checkpointing, padded 8",
            "trainer",
            ("quantization=8bit", "dtype=fp16", "targets=q_proj,v_proj", "dropout=0.05"),
            **baseline,
        ),
        own(
            "70b",
            "NF4, Llama-2-70B's shape, packed 4096, checkpointing",
            k4,
            f"{packed(k4)} {again} model.quantization=4bit",
            shape="70b",
            warm=1,
            timed=3,
        ),
        own(
            "nf4-context",
            "NF4, one row of 8192 tokens, checkpointing",
            k8,
            f"{packed(k8)} {again} model.quantization=4bit",
            fixed=k8,
            warm=2,
            timed=5,
        ),
        own(
            "1b",
            "bf16, TinyLlama-1.1B's shape, packed 4096, replayed",
            k4,
            f"{packed(k4)} {plain} train.cuda_graphs=true",
            shape="1b",
            warm=8,
            idle=True,
        ),
        own(
            "1b-started",
            "the same, each kernel started by the host",
            k4,
            f"{packed(k4)} {plain} train.cuda_graphs=false",
            shape="1b",
            warm=8,
        ),
        own(
            "bf16-32k",
            "bf16, 4 packs of 8192 an update",
            4 * k8,
            f"{packed(k8).rsplit(' ', 1)[0]} train.accumulation=4 {plain}",
            warm=2,
            timed=5,
            idle=True,
        ),
        Recipe(
            "trainer-nf4",
            "Trainer + peft, NF4, checkpointing, padded 8",
            "trainer",
            ("quantization=4bit",),
            **baseline,
        ),
        own("nf4-8k", "NF4, packed 8192", k8, f"{packed(k8)} {plain} model.quantization=4bit"),
        Recipe(
            "unsloth-bf16-16k",
            "Unsloth bf16, TRL packing 8 x 2048",
            "unsloth-bf16",
            ("batch=8", f"length={k2}", "checkpointing=none"),
            k16,
            warm=4,
            timed=8,
        ),
        own("bf16-8k-ckpt", "bf16, packed 8192, checkpointing", k8, f"{packed(k8)} {again}"),
        own("default", "bf16, 8 rows an update, all else by default", words=rows8, **padded),
        own(
            "auto",
            "bf16, batch: auto, checkpointing: auto",
            8 * k8,
            "batch=auto checkpointing=auto",
            warm=4,
            timed=12,
        ),
    ]


PACK = 1024  # what a pack holds where a run file says nothing, so that the plan and the grid pack alike
UPDATE_PACKS = 16


def grid(shrink: int = 1) -> List[Recipe]:
    """What --find tries by hand: how many of the sixteen packs of an update go through at once, and what is kept."""
    length = PACK // shrink
    return [
        own(
            f"find-{packs}x{PACK}-{kind}",
            f"{packs} packs of {PACK} a pass, checkpointing {kind}",
            UPDATE_PACKS * length,
            f"data.packing=true data.max_length={length} train.batch_size={packs} "
            f"train.accumulation={UPDATE_PACKS // packs} train.gradient_checkpointing={kind}",
            warm=2,
            timed=4,
        )
        for packs in (16, 8, 4, 2, 1)
        for kind in ("false", "selective", "true", "offload")
    ]
