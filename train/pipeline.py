"""One training run, from the run file to the proved adapter. Reads top to bottom.

runs/NAME/
├── base/            the tiny model, where that is the base
├── checkpoint-N/    see checkpoint.py
├── adapter/         adapter_model.safetensors, adapter_config.json, envdoc-receipt.json
└── loss.png
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from envdoc.train import runfile
from envdoc.train.config import TINY, Run, flat
from envdoc.train.data import Row, read_rows
from envdoc.train.errors import ConfigError, ResumeError, SaveError
from envdoc.train.labels import Corpus, encode
from envdoc.train.libraries import load_libraries
from envdoc.train.progress import say

# What may differ between a run and its resumption: where things lie, and how often something is said or saved.
FREE_TO_CHANGE = {
    "name",
    "output",
    "overwrite",
    "model.path",
    "model.trust_remote_code",
    "model.revision",
    "model.dtype",  # what `auto` became is compared instead
    "data.path",
    "train.save_every",
    "train.keep",
    "train.log_every",
}


def run(
    config_file: Optional[str],
    overrides: Sequence[str],
    context_file: Optional[str],
    dry_run: bool,
    resume: bool,
) -> int:
    """Train as the run file says; 0 where the adapter is proved real, 1 where it is not. Raises TrainError."""
    settings, source = runfile.load(config_file, overrides)
    print(f"Run       {settings.folder}, from {source}.", flush=True)
    folder = settings.folder.absolute()
    _check_place(settings, folder, dry_run, resume)
    rows = read_rows(settings.data)

    say("Loading torch, transformers and peft ...")
    load_libraries()
    from envdoc.train import model as models
    from envdoc.train import receipt

    try:
        context = receipt.read_context(context_file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The context file `{context_file}` cannot be read: {error}.") from None
    precision = models.choose_precision(settings.model)
    if settings.model.quantization != "none":
        models.check_quantisation(settings.model.quantization, precision)
    if settings.model.path == TINY:
        import torch

        # Its matrices are so small that on a busy machine two threads, which wait for each other in a loop, were
        # 15 times slower than one (2 cores, load 5, 2026-11-24).
        torch.set_num_threads(1)
    if not dry_run:
        _make_folder(folder)
    with tempfile.TemporaryDirectory(prefix="envdoc-dry-run-") as scratch:
        base_folder = _base_folder(settings, rows, Path(scratch) if dry_run else folder, resume)
        tokenizer = models.load_tokenizer(base_folder, settings.model)
        corpus = encode(rows, tokenizer, settings.data)
        return _train(
            settings, source, context, folder, base_folder, tokenizer, corpus, precision, dry_run, resume
        )


def _train(
    settings: Run,
    source: str,
    context: Dict[str, Any],
    folder: Path,
    base_folder: Path,
    tokenizer: Any,
    corpus: Corpus,
    precision: Any,
    dry_run: bool,
    resume: bool,
) -> int:
    from safetensors import SafetensorError
    from transformers import set_seed

    from envdoc.train import checkpoint, curve, receipt
    from envdoc.train import model as models
    from envdoc.train.fingerprint import adapter_sha256, base_fingerprint
    from envdoc.train.trainer import AdapterTrainer, fit, steps_per_epoch, total_steps
    from envdoc.train.verify import PROBE_TOKENS, adapter_tensors, prove_saved

    fingerprint = base_fingerprint(base_folder)
    identity = _identity(settings, corpus, fingerprint, precision)
    start = _checkpoint_to_resume(folder, identity) if resume else None

    say(f"Loading the base model from {base_folder} ...")
    base = models.load_base(base_folder, settings.model, precision)
    set_seed(settings.train.seed)  # the random half of a fresh adapter
    quantised = settings.model.quantization != "none"
    model = models.lay_adapter(base, settings.lora, quantised, settings.train.gradient_checkpointing)
    model.peft_config[models.ADAPTER].base_model_name_or_path = str(base_folder)
    steps = total_steps(len(corpus.rows), settings.train)
    per_epoch = steps_per_epoch(len(corpus.rows), settings.train)
    for line in _plan(settings, corpus, base_folder, model, precision, steps, per_epoch):
        print(line, flush=True)
    if dry_run:
        print("Nothing was trained (--dry-run).")
        return 0

    _clear(folder, resume)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    trainer = AdapterTrainer(model, corpus, pad_id, settings.train, precision, folder, identity)
    done = fit(trainer, start)

    adapter = folder / "adapter"
    partial = folder / f"{checkpoint.PARTIAL}adapter"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        checkpoint.check_finite(model)
        checkpoint.save_adapter(model, partial)
        for path in partial.iterdir():
            checkpoint.flush(path)
        checkpoint.replace_folder(partial, adapter)
        probe = corpus.rows[0].input_ids[:PROBE_TOKENS]
        proof = prove_saved(model, adapter, probe)
        measured = receipt.training(done, precision)
        base_facts = {"path": str(base_folder), "fingerprint": fingerprint}
        hashed = adapter_sha256(adapter_tensors(model))
        made = receipt.make(
            settings, source, context, corpus, base_facts, adapter, hashed, probe, measured, proof
        )
        receipt.write(made, adapter)
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"The adapter could not be written to `{adapter}`: {checkpoint.reason(error)}.",
            "Make room, then finish with the same command and --resume: the last checkpoint is whole.",
        ) from None
    no_curve = curve.draw(done.losses, folder / "loss.png", f"{folder.name}: {len(corpus.rows)} rows")

    for line in receipt.lines(measured):
        print(line)
    for check in proof.checks:
        print(check.line())
    print(
        f"No loss curve was drawn: {no_curve}." if no_curve else f"Loss curve: {_shown(folder / 'loss.png')}"
    )
    if not proof.real:
        failed = ", ".join(check.name for check in proof.checks if check.ok is False)
        print(f"The adapter in {_shown(adapter)} is NOT real: {failed} failed.")
        return 1
    print(
        "Proved: read back from disk, the adapter equals the weights in memory and changes the model's output."
    )
    print(f"Adapter: {_shown(adapter)} (with its receipt, {receipt.NAME})")
    return 0


def _check_place(settings: Run, folder: Path, dry_run: bool, resume: bool) -> None:
    """Raises ConfigError before a run that is there could be lost."""
    if resume and settings.overwrite:
        raise ConfigError("`overwrite=true` throws away what --resume would go on from.", "Leave one out.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`{folder}` is a file; a run needs a folder.")
    if dry_run or resume or settings.overwrite or not folder.is_dir():
        return
    finished = (folder / "adapter").exists()
    if finished or any(folder.glob("checkpoint-*")):
        raise ConfigError(
            f"`{settings.folder}` holds {'a finished' if finished else 'an unfinished'} run already.",
            "Take another `name=...`, replace it with `overwrite=true`"
            + (", or go on with --resume." if not finished else "."),
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"The run's folder `{folder}` cannot be made: {error.strerror}.") from None


def _base_folder(settings: Run, rows: Sequence[Row], place: Path, resume: bool) -> Path:
    """The base's folder; the tiny model is made in the run's own, so that the adapter's base stays there."""
    from envdoc.train.checkpoint import PARTIAL, replace_folder
    from envdoc.train.model import check_folder
    from envdoc.train.tiny import make_tiny

    if settings.model.path != TINY:
        return check_folder(settings.model)
    base = place / "base"
    if resume and base.is_dir():
        return base
    partial = place / f"{PARTIAL}base"
    shutil.rmtree(partial, ignore_errors=True)
    make_tiny(partial, (turn["content"] for row in rows for turn in row.messages), settings.train.seed)
    try:
        replace_folder(partial, base)
    except OSError as error:
        raise SaveError(f"`{base}` cannot be written: {error.strerror}.") from None
    return base


def _identity(settings: Run, corpus: Corpus, fingerprint: str, precision: Any) -> Dict[str, Any]:
    """What must be equal for a resumed run to be the same run."""
    values = {key: value for key, value in flat(settings).items() if key not in FREE_TO_CHANGE}
    values["the data's hash"] = corpus.sha256
    values["the hash of the encoded rows"] = corpus.encoded_sha256
    values["the base model's fingerprint"] = fingerprint
    values["the dtype"] = precision.dtype
    values["the kind of device"] = precision.device.type
    return values


def _checkpoint_to_resume(folder: Path, identity: Dict[str, Any]) -> Path:
    from envdoc.train import checkpoint

    found = checkpoint.newest(folder)
    if found is None:
        raise ResumeError(
            f"`{folder}` holds no whole checkpoint to go on from.", "Start the run without --resume."
        )
    checkpoint.check_identity(found, identity)
    print(f"Resume    {found.name}, whole and of this very run.", flush=True)
    return found


def _clear(folder: Path, resume: bool) -> None:
    """Remove what an earlier run of this folder left, and nothing that is not ours."""
    from envdoc.train.checkpoint import PARTIAL, PREFIX

    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)
    if not resume:
        for path in [*folder.glob(f"{PREFIX}*"), folder / "adapter"]:
            shutil.rmtree(path, ignore_errors=True)
        if (folder / "loss.png").exists():
            (folder / "loss.png").unlink()


def _plan(
    settings: Run,
    corpus: Corpus,
    base_folder: Path,
    model: Any,
    precision: Any,
    steps: int,
    per_epoch: int,
) -> List[str]:
    from envdoc.train import model as models

    trained, whole = models.trainable(model)
    lora, train = settings.lora, settings.train
    quantisation = settings.model.quantization
    targets = ", ".join(sorted(model.peft_config[models.ADAPTER].target_modules))
    tiny = " (tiny, with random weights, made on the spot)" if settings.model.path == TINY else ""
    return [
        f"Data      {len(corpus.rows)} rows of {corpus.path}: {corpus.tokens:,} tokens, of which "
        f"{corpus.answer_tokens:,} are learnt; template: {corpus.template}.",
        *[f"          {note}" for note in corpus.notes],
        f"Model     {_shown(base_folder)}{tiny}; {precision.dtype} on {precision.device}"
        + (f", base in {quantisation}." if quantisation != "none" else "."),
        f"Adapter   LoRA r={lora.r}, alpha={lora.alpha} on {targets}: {trained:,} of {whole:,} parameters train "
        f"({100 * trained / whole:.2f}%).",
        f"Training  {steps} steps of {train.batch_size} x {train.accumulation} rows ({per_epoch} an epoch), "
        f"learning rate {train.learning_rate:g} ({train.schedule}), gradient checkpointing "
        f"{'on' if train.gradient_checkpointing else 'off'}, a checkpoint every {train.save_every}.",
    ]


def _shown(path: Path) -> str:
    """The path as short as it can be said from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
