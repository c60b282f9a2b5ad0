"""What a run is made of: frozen dataclasses whose comments give the reason for each value.

The same keys, nested, are those of a run file (runfile.py reads it):

    name: my-run
    model: /models/Llama-3-8B        # short for model.path
    data: rows.jsonl                 # short for data.path
    lora: {r: 16}
    train: {epochs: 3, learning_rate: 2.0e-4}

Any key can be replaced on the command line: `train.epochs=1 lora.targets=q_proj,v_proj`. Relative paths are
relative to the working directory, as on the command line.
"""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Literal, Optional, Tuple, Union

TINY = "tiny"
BUNDLED = "bundled"
PLAIN_STARTS = ("default", "gaussian", "orthogonal")
TRACKERS = ("tensorboard", "wandb", "mlflow", "swanlab")


@dataclass(frozen=True)
class Model:
    """The frozen base."""

    path: str = TINY  # a folder with config.json; `tiny` makes a small Llama with random weights on the spot
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"  # bf16 from sm_80 on, fp16 below, fp32 on a CPU
    quantization: Literal["none", "8bit", "4bit", "auto"] = (
        "none"  # 4bit is NF4 with double quantisation (QLoRA); auto: none where it fits, else 4bit (estimate/plan.py)
    )
    trust_remote_code: bool = False  # running a stranger's code needs a decision, never a default
    revision: Optional[str] = None  # the hash of the code that you read; any other code is refused
    preparation: Literal["auto", "full", "lean"] = (
        "auto"  # of a quantised base: what is 16-bit in fp32 (full), or left as it is (lean); auto: lean where
    )
    # `train.fused` is used, full elsewhere as the recipes of 2023 have it
    tf32: Literal["auto", "on", "off"] = (
        "auto"  # fp32 products with 10 bits of fraction; auto leaves torch's choice
    )


@dataclass(frozen=True)
class Data:
    """The training rows."""

    path: str = (
        BUNDLED  # a file or a folder (train/readers); `bundled` is the small set that comes with envdoc
    )
    split: Optional[str] = None  # of a folder with several; `train` is taken where none is named
    format: Literal["auto", "messages", "alpaca", "sharegpt", "pairs", "tokens"] = (
        "auto"  # auto looks at the first row
    )
    streaming: bool = (
        False  # read the rows again for each pass instead of holding them: for files of gigabytes
    )
    template: Literal[
        "auto",
        "plain",
        "alpaca",
        "vicuna",
        "zephyr",
        "chatml",
        "qwen",
        "llama2",
        "llama3",
        "mistral",
        "gemma",
        "phi",
        "glm",
        "deepseek",
    ] = "auto"  # the tokenizer's own template: a foreign one costs accuracy; a base model may be taught any
    train_on: Literal["answers", "last", "all"] = "answers"  # all learns questions too, as in pretraining
    max_length: int = 1024  # tokens; activations, and logits above all, grow with the longest row
    too_long: Literal["error", "drop", "cut"] = "error"  # a cut answer teaches the model never to stop
    packing: Union[bool, Literal["auto"]] = (
        "auto"  # the rows of an update without padding between them, none seeing another; true: packs of `max_length`
    )
    # are the units, which makes fewer steps of more rows; false: padded
    group_by_length: bool = (
        False  # rows of like length in a batch: less padding, at the price of less even batches
    )
    eval_path: Optional[str] = None  # rows to judge the adapter by, in the same format; never trained on
    eval_split: Optional[str] = None  # of a folder with several
    eval_fraction: float = 0.0  # or this part of `path`, chosen by `train.seed`; 0 holds nothing out

    @property
    def held_out(self) -> bool:
        """True where rows are kept to be judged by."""
        return bool(self.eval_path) or self.eval_fraction > 0


@dataclass(frozen=True)
class Lora:
    """The trained part."""

    r: int = 16  # 8 to 16 is enough for instructions; memory and file grow with it
    alpha: int = 32  # twice r: the scale alpha / r = 2 of most published recipes
    dropout: float = 0.05  # a small set is soon learnt by heart; 0 for speed
    targets: Union[Literal["auto", "all"], Tuple[str, ...]] = (
        "auto"  # all linear layers but the head, as QLoRA did;
    )
    # ChatGLM's `query_key_value` and GPT-2's `c_attn` alone, as their published recipes did, where `all` is every one
    dora: bool = (
        False  # a length apart from the direction (DoRA): closer to full training at low r, and slower
    )
    rslora: bool = False  # scale alpha / sqrt(r): a large r then really learns more (rsLoRA)
    init: str = (
        "default"  # or gaussian, orthogonal; pissa, pissa_niter_16, olora: the base's own largest components
    )
    plus_ratio: float = (
        0.0  # LoRA+: B learns this many times faster than A; 16 is its authors' value, 0 is off
    )

    @property
    def from_base(self) -> bool:
        """True for a start that takes part of the base's weights into the adapter (PiSSA, OLoRA)."""
        return re.fullmatch(r"pissa(_niter_[1-9]\d*)?|olora", self.init) is not None


@dataclass(frozen=True)
class Train:
    """How it is trained."""

    epochs: int = 3  # instructions are usually learnt in one to three passes
    steps: int = 0  # above 0 it replaces `epochs`
    batch_size: Union[int, Literal["auto"]] = (
        4  # rows in one forward pass: the knob for memory; auto packs, and fills the GPU (estimate/plan.py)
    )
    accumulation: int = 4  # passes an update: a larger batch without more memory
    learning_rate: float = 2e-4  # ten times what full fine-tuning takes, since only the adapter moves
    optimizer: Literal[
        "adamw",
        "adamw_fused",
        "adamw_8bit",
        "paged_adamw",
        "paged_adamw_8bit",
        "lion",
        "lion_8bit",
        "paged_lion_8bit",
        "adafactor",
    ] = "adamw"  # its state is 8 bytes a trained number: little, so the 8-bit ones pay off at a large r only
    schedule: Literal[
        "cosine",
        "linear",
        "constant",
        "constant_with_warmup",
        "cosine_with_restarts",
        "cosine_with_min_lr",
        "polynomial",
        "inverse_sqrt",
        "warmup_stable_decay",
    ] = "cosine"  # ends slowly
    min_lr_fraction: float = 0.1  # where cosine_with_min_lr, polynomial and warmup_stable_decay end
    cycles: int = 3  # of cosine_with_restarts
    decay_fraction: float = 0.1  # the last part of the run, in which warmup_stable_decay falls
    warmup_fraction: float = 0.03  # Adam's second moments are poor in the first steps
    weight_decay: float = 0.0  # B starts at zero and is small; decay only pulls it back
    max_grad_norm: float = 1.0  # one strange row must not undo an epoch; 0 is off
    stop_when_diverging: bool = True  # hours of a lost run cost money; divergence.py has the rule
    gradient_checkpointing: Union[bool, Literal["auto", "selective", "offload"]] = (
        "auto"  # a second forward pass for a fraction of the memory: on a GPU only where the run does not fit without
    )
    fused: Literal["auto", "off"] = (
        "auto"  # layers computed together and the loss in pieces (train/fast), where hardware and model allow
    )
    cuda_graphs: Union[bool, Literal["auto"]] = (
        "auto"  # passes recorded once and replayed, where the host would take longer to start them than the GPU
    )
    neftune_alpha: float = (
        0.0  # noise on the embeddings, which helped chat answers on small sets; 5 is usual, 0 is off
    )
    seed: int = 42  # order of the rows, start of A, dropout
    save_every: int = 200  # updates between checkpoints: what a crash may cost
    keep: int = 2  # checkpoints kept; the newest may be the one being written when the disk fills
    log_every: int = 10  # updates between lines; every loss goes into the receipt all the same
    workers: Union[int, Literal["auto"]] = (
        "auto"  # processes that encode rows: as many as there are cores where it pays; the result is the same
    )


@dataclass(frozen=True)
class Eval:
    """How the adapter is judged on the way. Judging changes nothing in the training but where it ends."""

    every: int = 100  # updates; the last update is judged in any case
    batch_size: int = 8  # rows in one forward pass: without gradients more fit than in training
    patience: int = (
        0  # judgements without a better loss that end the run, whose adapter is then the best; 0 never
    )
    samples: Union[
        str, Tuple[str, ...]
    ] = ()  # questions to answer each time: a list, or a file with one a line
    sample_tokens: int = 64  # of an answer at most


@dataclass(frozen=True)
class Report:
    """Who else is told. None of them by default: nothing leaves the machine unless it is asked for."""

    to: Tuple[
        str, ...
    ] = ()  # tensorboard, wandb, mlflow, swanlab: transformers' own callbacks; each has its own login


@dataclass(frozen=True)
class Parallel:
    """Several processes (`--nproc`, `--nnodes`); an update is the same rows however many processes share them."""

    strategy: Literal["auto", "ddp", "fsdp", "deepspeed"] = (
        "auto"  # ddp: a whole base a GPU, the fastest where it fits
    )
    deepspeed: Optional[str] = None  # DeepSpeed's own JSON, for that strategy; handed to it as it is
    join_seconds: int = (
        600  # a node that is not there by then will not come; queues start nodes minutes apart
    )
    allow_mixed: bool = False  # True lets GPUs and drivers differ between nodes; versions never may


@dataclass(frozen=True)
class Run:
    """One training run."""

    name: Optional[str] = None  # the folder under runs/; by default from the model and the data
    output: Optional[str] = None  # the run's folder itself, in place of runs/NAME
    overwrite: bool = False  # a finished run is never lost by accident
    proof: Literal["fresh", "same"] = (
        "fresh"  # at the end a fresh process loads base and adapter from disk; `same`
    )
    # leaves that out and saves reading the base once more
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    lora: Lora = field(default_factory=Lora)
    train: Train = field(default_factory=Train)
    eval: Eval = field(default_factory=Eval)
    report: Report = field(default_factory=Report)
    parallel: Parallel = field(default_factory=Parallel)

    @property
    def folder(self) -> Path:
        """Where the run lives: `output`, else runs/NAME."""
        if self.output:
            return Path(self.output).expanduser()
        model = Path(self.model.path).expanduser().absolute().name  # of `.` too
        return Path("runs") / (self.name or f"{model}-{Path(self.data.path).stem}")


def flat(run: Run) -> Dict[str, Any]:
    """The run as dotted keys: {"lora.r": 16, ...}; tuples become lists, so that it goes through JSON unchanged."""
    values: Dict[str, Any] = {}
    for item in dataclasses.fields(run):
        value = getattr(run, item.name)
        if dataclasses.is_dataclass(value):
            for inner in dataclasses.fields(value):
                content = getattr(value, inner.name)
                key = f"{item.name}.{inner.name}"
                values[key] = list(content) if isinstance(content, tuple) else content
        else:
            values[item.name] = value
    return values
