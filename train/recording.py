"""A run's folder as a record of it: what is written before the first update, and whatever way it ends."""

import contextlib
from typing import Iterator

from envdoc.train import page, plan, run_files, run_folder, usage
from envdoc.train.errors import SaveError
from envdoc.train.events import NAME as EVENTS
from envdoc.train.events import Events
from envdoc.train.parallel import world
from envdoc.train.ready import Asked, Ready
from envdoc.train.run_folder import shown


@contextlib.contextmanager
def recorded(asked: Asked) -> Iterator[Events]:
    """The run's folder as a record of whatever happens in it: events, their end, and the report.

    Takes no Ready: this frame outlives the model.
    """
    if not world.is_main():  # rank 0 keeps the record for all
        yield Events(None)
        return
    run_folder.clear(asked.folder, asked.resume)
    events = Events(asked.folder / EVENTS)
    try:
        yield events
    except BaseException as error:
        events.write("end", outcome=type(error).__name__, message=getattr(error, "message", str(error)))
        with contextlib.suppress(OSError, ValueError):  # the error itself is what must be told
            page.write(asked.folder)
        raise
    finally:
        events.close()


def begin(ready: Ready, events: Events) -> None:
    """What is written before the first update."""
    from envdoc.train import checkpoint, receipt
    from envdoc.train.trainer import total_steps

    if not world.is_main():
        return
    libraries = receipt.environment()
    try:
        run_files.write(ready, run_files.environment(ready, libraries))
    except OSError as error:
        raise SaveError(f"`{ready.folder}` cannot be written: {checkpoint.reason(error)}.") from None
    events.write(
        "start",
        attempt="resumed" if ready.checkpoint else "fresh",
        step=checkpoint.step_of(ready.checkpoint) if ready.checkpoint else 0,
        steps=total_steps(len(ready.units), ready.settings.train),
        source=ready.asked.source,
        plan=plan.lines(ready),
        data={"sha256": ready.corpus.sha256, "encoded_sha256": ready.corpus.encoded_sha256},
        base={"fingerprint": ready.fingerprint},
        libraries=libraries["libraries"],
        gpu=libraries["gpu"],
        adapter=shown(ready.adapter_folder),
        again=usage.again(shown(ready.folder / run_files.RUN), bool(ready.settings.output)),
    )
    if ready.checkpoint:
        events.write("resume", step=checkpoint.step_of(ready.checkpoint), checkpoint=ready.checkpoint.name)
