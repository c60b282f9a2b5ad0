"""What is going to be trained, in lines: printed before the first update, and kept in the report of the run."""

from typing import List

from envdoc.train.config import TINY
from envdoc.train.parallel import world
from envdoc.train.ready import Ready
from envdoc.train.run_folder import shown

CHECKPOINTING = {True: "on", False: "off"}


def lines(ready: Ready) -> List[str]:
    """The plan, a line or more for each section of the run file."""
    return [
        *_data(ready),
        *_model(ready),
        *_adapter(ready),
        *_training(ready),
        *_processes(ready),
        *_judging(ready),
    ]


def _judging(ready: Ready) -> List[str]:
    from envdoc.train import held_out

    return [held_out.line(ready.held_out, ready.settings)] if ready.held_out else []


def _data(ready: Ready) -> List[str]:
    corpus = ready.corpus
    return [
        f"Data      {len(corpus.rows)} rows of {corpus.path}: {corpus.tokens:,} tokens, of which "
        f"{corpus.answer_tokens:,} are learnt; template: {corpus.template}.",
        *[f"          {note}" for note in [*_unusual(ready), *corpus.notes]],
    ]


def _unusual(ready: Ready) -> List[str]:
    """Sentences on what differs from row after row, freshly encoded."""
    data, corpus, count = ready.settings.data, ready.corpus, len(ready.units)
    said = [
        "Encoded by an earlier run with the same data, tokenizer and settings; looked through."
    ] * corpus.stored
    if data.packing is True:
        said.append(
            f"Packed into {count} {'pack' if count == 1 else 'packs'} of {data.max_length} tokens, "
            f"{100 * corpus.tokens / (count * data.max_length):.1f}% full; rows do not see each other "
            f"(form `{ready.form.name}`, tried on this model)."
        )
    elif ready.form.layout != "padded":
        passes = ready.settings.train.batch_size * data.max_length
        said.append(
            f"Laid without padding, at most {passes:,} tokens a pass; rows do not see each other "
            f"(form `{ready.form.name}`, tried on this model)."
        )
    return said


def _model(ready: Ready) -> List[str]:
    quantisation = ready.settings.model.quantization
    tiny = " (tiny, with random weights, made on the spot)" if ready.settings.model.path == TINY else ""
    return [
        f"Model     {shown(ready.base_folder)}{tiny}; {ready.precision.dtype} on {ready.precision.device}"
        + (f", base in {quantisation}." if quantisation != "none" else "."),
    ]


def _adapter(ready: Ready) -> List[str]:
    from envdoc.train import adapters

    trained, whole = adapters.trainable(ready.model)
    return [
        f"Adapter   {adapters.described(ready.model, ready.settings.lora)}: {trained:,} of {whole:,} parameters train "
        f"({100 * trained / whole:.2f}%).",
        *[f"          {note}" for note in adapters.notes(ready.model)],
    ]


def _training(ready: Ready) -> List[str]:
    from envdoc.train.fast import apply
    from envdoc.train.trainer import steps_per_epoch, total_steps

    train, units = ready.settings.train, len(ready.units)
    kind = "packs" if ready.settings.data.packing is True else "rows"
    total = total_steps(units, train)
    return [
        f"Training  {total} step{'s' if total != 1 else ''} of {train.batch_size} x {train.accumulation} {kind} "
        f"({steps_per_epoch(units, train)} an epoch), "
        f"learning rate {train.learning_rate:g} ({train.schedule}), gradient checkpointing "
        f"{CHECKPOINTING.get(train.gradient_checkpointing, train.gradient_checkpointing)}, "
        f"a checkpoint every {train.save_every}.",
        *[f"          {sentence}" for sentence in ready.chosen],
        *apply.lines(ready.model, ready.form.name),
    ]


def _processes(ready: Ready) -> List[str]:
    here = world.here()
    if here.size == 1:
        return []
    train = ready.settings.train
    nodes = f" on {here.nodes} nodes" if here.nodes > 1 else ""
    how = f"DeepSpeed, ZeRO-{here.stage}" if here.stage else "FSDP" if world.sharded() else "DDP"
    held = f"{'a shard of the base' if world.sharded() else 'a whole base'} each ({how})"
    return [
        f"Processes {here.size}{nodes}, {held}; each takes {train.accumulation // here.size} of the "
        f"{train.accumulation} micro-batches of an update."
    ]
