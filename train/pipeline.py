"""One training run, from the run file to the proved adapter. Reads top to bottom; each step is a file of its own.

runs/NAME/
├── run.yaml, environment.json, events.jsonl    what was asked for, with what it ran, what happened (docs/runs.md)
├── base/            the tiny model, where that is the base
├── checkpoint-N/    see checkpoint.py
├── adapter/         adapter_model.safetensors, adapter_config.json, envdoc-receipt.json
└── loss.png, report.html
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

from envdoc.train import (
    conclusion,
    held_out,
    plan,
    preview,
    recording,
    run_folder,
    runfile,
    samples,
    tiny,
    trackers,
)
from envdoc.train.config import TINY, Run
from envdoc.train.data import Row, read_rows
from envdoc.train.errors import ConfigError
from envdoc.train.events import Events
from envdoc.train.libraries import load_libraries
from envdoc.train.parallel import own_files, world
from envdoc.train.parallel.join import join
from envdoc.train.progress import say
from envdoc.train.ready import Asked, Ready


def run(
    config_file: Optional[str],
    overrides: Sequence[str],
    context_file: Optional[str],
    dry_run: bool,
    resume: bool,
) -> int:
    """Train as the run file says; 0 where the adapter is proved real, 1 where it is not. Raises TrainError."""
    asked = _ask(config_file, overrides, context_file, dry_run, resume)
    rows = read_rows(asked.settings.data)
    say("Loading torch, transformers and peft ...")
    load_libraries()
    with tempfile.TemporaryDirectory(prefix="envdoc-dry-run-") as scratch:
        # transformers 5 saves a model in rank 0 alone, so that all of them read the one that is made there
        ready = _prepare(asked, rows, Path(world.from_main(scratch)) if dry_run else asked.folder)
        for line in [
            *plan.lines(ready),
            *preview.lines(ready.corpus.rows, ready.tokenizer, preview.in_colour()),
        ]:
            print(line, flush=True)
        if dry_run:
            return _rehearse(ready, Path(scratch))
        with recording.recorded(asked) as events:
            recording.begin(ready, events)
            if world.splits_optimizer():
                from envdoc.train.parallel import shards

                ready = shards.sharded(ready)
            done = _train(ready, events)
            if world.splits_optimizer():
                ready = shards.unsharded(
                    ready, done, lambda precision: _model(ready.asked, ready.base_folder, precision)
                )
            if not world.is_main():
                return int(world.from_main(None))
            made = conclusion.save_and_prove(ready, done)
            ready = ready.without_model()  # the process that comes next wants its memory
            conclusion.prove_fresh(ready, made, events)
            return int(world.from_main(conclusion.conclude(ready, made, events)))


def _ask(
    config_file: Optional[str],
    overrides: Sequence[str],
    context_file: Optional[str],
    dry_run: bool,
    resume: bool,
) -> Asked:
    """What the user wants, read and checked as far as that goes without a library."""
    from envdoc.train.context import read_context

    settings, source = runfile.load(config_file, overrides)
    trackers.check(settings.report.to)
    samples.questions(settings.eval)
    print(f"Run       {settings.folder}, from {source}.", flush=True)
    try:
        context = read_context(context_file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The context file `{context_file}` cannot be read: {error}.") from None
    if join(settings, resume, context) and not resume:  # started again after a rank was lost
        settings, resume = dataclasses.replace(settings, overwrite=False), True
    asked = Asked(settings, source, context, settings.folder.absolute(), dry_run, resume)
    run_folder.check_place(asked)
    return asked


def _prepare(asked: Asked, rows: Sequence[Row], place: Path) -> Ready:
    """Everything up to the model with its adapter; `place` is where the tiny model is made."""
    from envdoc.train import model as models
    from envdoc.train import optimizers
    from envdoc.train.base_folder import folder_of
    from envdoc.train.estimate.settle import settle
    from envdoc.train.fast.precision import settled
    from envdoc.train.fingerprint import base_fingerprint
    from envdoc.train.labels import encode
    from envdoc.train.units import Units

    precision = models.choose_precision(asked.settings.model)
    asked = settled(asked, precision)
    settings = asked.settings
    if settings.model.quantization in ("8bit", "4bit"):
        models.check_quantisation(settings.model.quantization, precision)
    optimizers.check(settings.train.optimizer, precision)
    models.set_tf32(settings.model, precision)
    if settings.model.path == TINY:
        tiny.one_thread()
    if not asked.dry_run:
        with world.main_first():
            run_folder.make_folder(asked.folder)
            if world.is_main():
                run_folder.hold(asked.folder)
        own_files.check_shared(asked.folder)
    with world.main_first():
        base_folder = folder_of(asked, rows, place)
        tokenizer = models.load_tokenizer(base_folder, settings.model)
        rows, apart = held_out.split(rows, settings)
        corpus = encode(rows, tokenizer, settings.data, settings.train.workers)
        judged = held_out.encode(apart, rows, tokenizer, settings)
    learnt = corpus.answer_tokens / max(1, corpus.tokens)
    asked, chosen = settle(asked, corpus.lengths, learnt, base_folder, precision)
    settings = asked.settings
    if corpus.chat_template is not None:
        tokenizer.chat_template = corpus.chat_template  # for samples, and for chat: saved with the adapter
    fingerprint = base_fingerprint(base_folder)
    identity = run_folder.identity_of(settings, corpus, fingerprint, precision)
    if judged is not None:
        identity["the hash of the rows to judge by"] = judged.corpus.encoded_sha256
    checkpoint = run_folder.checkpoint_to_resume(asked.folder, identity) if asked.resume else None
    model = _model(asked, base_folder, precision)
    units = Units(corpus.lengths, settings.data, settings.train.seed, settings.train.batch_size)
    return Ready(
        asked=asked,
        precision=precision,
        base_folder=base_folder,
        fingerprint=fingerprint,
        tokenizer=tokenizer,
        corpus=corpus,
        identity=identity,
        checkpoint=checkpoint,
        model=model,
        units=units,
        form=_form(settings, model, precision),
        held_out=judged,
        chosen=chosen,
    )


def _model(asked: Asked, base_folder: Path, precision: Any, base: Any = None) -> Any:
    """The base with a fresh adapter on it; `base` where it is there already."""
    from transformers import set_seed

    from envdoc.train import adapters
    from envdoc.train import model as models
    from envdoc.train.fast import apply

    settings = asked.settings
    if base is None:
        say(f"Loading the base model from {base_folder} ...")
        base = models.load_base(base_folder, settings.model, precision)
    set_seed(settings.train.seed)  # the random half of a fresh adapter
    model = adapters.lay_adapter(base, settings, asked.resume)
    model.peft_config[models.ADAPTER].base_model_name_or_path = str(base_folder)
    apply.make_fast(model, settings, precision)
    return model


def _form(settings: Run, model: Any, precision: Any) -> Any:
    """How rows are laid and given to the model: padded, or so many a line that none sees another."""
    from envdoc.train import packed
    from envdoc.train.fast import apply

    # On a CPU too: forward and backward of five shapes took 1.3 to 2.5 times as long padded (2026-11-30, torch 2.13).
    packing = settings.data.packing
    if packing is False:
        return packed.PADDED
    autocast = precision.torch_dtype if precision.dtype != "fp32" and apply.of(model).autocast else None
    asked = (model, settings.data.max_length, settings.model.quantization, autocast)
    if packing is True:
        return packed.choose(*asked)
    form, why = packed.find(*asked)
    if form is None:
        say(f"note: Rows are padded: {why}")
    return form or packed.PADDED


def _rehearse(ready: Ready, scratch: Path) -> int:
    """The end of a dry run: a few updates whose result is thrown away, and what they tell of time and memory."""
    from envdoc.train import checkpoint, rehearsal
    from envdoc.train.trainer import total_steps

    updates = total_steps(len(ready.units), ready.settings.train)
    if ready.checkpoint:
        updates -= checkpoint.step_of(ready.checkpoint)
    if world.splits_optimizer():
        from envdoc.train.parallel import shards

        ready = shards.sharded(ready)
    if updates > 0:
        say(f"Rehearsing {rehearsal.UPDATES} updates, of which nothing is kept ...")
        trainer = _trainer(
            ready, scratch, Events(None), kind=rehearsal.Rehearsal, arguments=rehearsal.arguments()
        )
        seen, measured = rehearsal.rehearse(trainer, updates)
        for line in measured.lines(seen, updates):
            print(line)
    print("Nothing was trained (--dry-run).")
    return 0


def _train(ready: Ready, events: Events) -> Any:
    """Every update; returns the Outcome."""
    from envdoc.train import evaluation, starts
    from envdoc.train.fit import fit

    trainer = _trainer(ready, ready.folder, events)
    over = evaluation.is_over_at(ready.checkpoint, ready.settings.eval.patience)
    done = fit(trainer, ready.checkpoint, _callbacks(ready, trainer, events), over)
    done = evaluation.conclude(ready, trainer, done)
    starts.settle(ready.model)
    return done


def _trainer(
    ready: Ready,
    folder: Path,
    events: Events,
    kind: Any = None,
    arguments: Optional[Mapping[str, Any]] = None,
) -> Any:
    """The run's trainer, or one of another `kind`; `arguments` replace those of transformers' Trainer."""
    from envdoc.train import optimizers
    from envdoc.train.fast import apply
    from envdoc.train.trainer import AdapterTrainer, total_steps

    total = total_steps(len(ready.units), ready.settings.train)
    fast = apply.of(ready.model)
    own = {
        "run_name": ready.folder.name,
        "bf16": ready.precision.dtype == "bf16" and fast.autocast,
        **optimizers.arguments(ready.settings, total, ready.precision),
    }
    trainer = (kind or AdapterTrainer)(
        ready.model,
        ready.corpus,
        ready.pad_id,
        ready.settings.train,
        ready.precision,
        folder,
        ready.identity,
        events,
        {**own, **(arguments or {})},
        units=ready.units,
        form=ready.form,
        head=fast.head,
    )
    if world.here().stage:
        from envdoc.train.parallel import zero

        trainer.zero_config = zero.config_of(ready.settings, ready.model, ready.precision.dtype)
    if ready.settings.lora.plus_ratio:
        trainer.optimizer = optimizers.make_loraplus(trainer, ready.settings)
    return trainer


def _callbacks(ready: Ready, trainer: Any, events: Events) -> List[Any]:
    """transformers' TrainerCallbacks that go along: evaluation, samples, trackers."""
    from envdoc.train.evaluation import Judge

    callbacks: List[Any] = []
    if ready.held_out is not None or ready.settings.eval.samples:
        callbacks.append(Judge(ready, trainer, events))
    if ready.settings.report.to and world.is_main():
        callbacks.append(trackers.make(ready.settings.report.to, trainer, ready.folder))
    return callbacks
