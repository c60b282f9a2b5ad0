"""The end of a run: the adapter saved, read back and judged, once more in a fresh process, and what is said of it."""

import shutil
from typing import Any, Dict

from envdoc.train import page, usage
from envdoc.train.errors import SaveError
from envdoc.train.events import Events
from envdoc.train.progress import say
from envdoc.train.ready import Ready
from envdoc.train.run_folder import shown


def save_and_prove(ready: Ready, done: Any) -> Dict[str, Any]:
    """Save the adapter, read it back, judge it; returns the receipt that then lies beside it."""
    from safetensors import SafetensorError

    from envdoc.train import checkpoint, compat, receipt, templates
    from envdoc.train.fast import apply
    from envdoc.train.fingerprint import adapter_sha256
    from envdoc.train.verify import PROBE_TOKENS, adapter_tensors, prove_saved

    adapter = ready.adapter_folder
    partial = ready.folder / f"{checkpoint.PARTIAL}adapter"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        compat.undo_autocast(ready.model)
        apply.undo(ready.model)
        checkpoint.check_finite(ready.model)
        checkpoint.save_adapter(ready.model, partial)
        templates.save(ready.tokenizer, partial)
        for path in partial.iterdir():
            checkpoint.flush(path)
        checkpoint.replace_folder(partial, adapter)
        probe = ready.corpus.rows[0].input_ids[:PROBE_TOKENS]
        proof, answers = prove_saved(ready.model, adapter, probe)
        hashed = adapter_sha256(adapter_tensors(ready.model))
        made = receipt.make(ready, done, hashed, probe, answers, proof)
        receipt.write(made, adapter)
        return made
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"The adapter could not be written to `{adapter}`: {checkpoint.reason(error)}.",
            "Make room, then finish with the same command and --resume: the last checkpoint is whole.",
        ) from None


def prove_fresh(ready: Ready, made: Dict[str, Any], events: Events) -> None:
    """Have a process that knows nothing of this one load what was saved; its verdict goes into the receipt `made`."""
    from envdoc.train import checkpoint, fresh, receipt

    if ready.settings.proof != "fresh" or not made["proof"]["real"]:
        return
    held_bytes = fresh.free_memory()
    say("Loading base and adapter once more, in a fresh process ...")
    check = fresh.prove_fresh(ready.adapter_folder)
    events.write("proof", **check, gpu_bytes_held=held_bytes)
    receipt.add_check(made, check)
    try:
        receipt.write(made, ready.adapter_folder)
    except OSError as error:
        raise SaveError(
            f"The receipt of `{ready.adapter_folder}` could not be written: {checkpoint.reason(error)}.",
            "The adapter itself is whole; `envdoc verify` judges it again.",
        ) from None


def conclude(ready: Ready, made: Dict[str, Any], events: Events) -> int:
    """Draw, say and write down how it ended; the exit code."""
    from envdoc.train import curve, receipt

    training, proof = made["training"], made["proof"]
    title = f"{ready.folder.name}: {len(ready.corpus.rows)} rows"
    picture, note = curve.draw(training["losses"], ready.folder, title)
    failed = [check["name"] for check in proof["checks"] if check["ok"] is False]
    events.write(
        "end",
        outcome="not real" if failed else "proved",
        steps=training["steps"],
        message=f"The adapter is not real: {', '.join(failed)} failed." if failed else receipt.verdict(made),
    )
    for line in [*receipt.lines(training), *receipt.proof_lines(made)]:
        print(line)
    if note:
        print(f"The loss curve: {note}.")
    try:
        report = f"Report: {shown(page.write(ready.folder))}"
    except OSError as error:  # of a full disk, say: the adapter is whole all the same
        report = f"No report was written: {error.strerror}"
    print(report + (f"; loss curve: {shown(picture)}" if picture else ""))
    adapter = shown(ready.adapter_folder)
    if failed:
        print(f"The adapter in {adapter} is NOT real: {', '.join(failed)} failed.")
        return 1
    print(receipt.verdict(made))
    print(f"Adapter: {adapter} (with its receipt, {receipt.NAME})")
    for command, purpose in usage.commands(adapter):
        print(f"         {command}    # {purpose}")
    return 0
