"""Out of memory for real: the address space of a forked run ends, and the micro-batch is halved in the same process."""

import json
import random

import pytest
from train_children import losses, receipt

# Only as much address space is left, when training begins, as the text says: mapped memory and MIB more.
LIMITED = """
import resource, runpy
from transformers import TrainerCallback
from envdoc.train import fit

class Limit(TrainerCallback):
    def on_train_begin(self, args, state, control, **kwargs):
        import matplotlib.pyplot  # else its libraries would be what no room is left for
        mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ({} << 20),) * 2)

whole = fit.fit
fit.fit = lambda trainer, resume, callbacks=(), over=False: whole(trainer, resume, [*callbacks, Limit()], over)
sys.exit(runpy.run_path(sys.argv[0])["main"](sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Three updates of 8 rows, long and short in turn, without dropout."""
    folder = tmp_path_factory.mktemp("rows")
    chance = random.Random(3)  # hexadecimal digits: no token is longer than a few of them
    rows = [
        {
            "instruction": f"Say {n}",
            "output": "".join(chance.choices("0123456789abcdef", k=600 if n % 2 else 80)),
        }
        for n in range(16)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "train",
        f"data={folder}/rows.jsonl",
        "train.steps=3",
        "train.warmup_fraction=0",
        "overwrite=true",
        "data.packing=false",
    ]


def test_the_micro_batch_is_halved_and_the_losses_stay(forked, words, tmp_path):
    """8 rows do not fit: halved and told, in the same process; the losses are those of a run with that micro-batch."""
    done = forked.finish([*words, "train.batch_size=8"], tmp_path, text=LIMITED.format(62))
    run = tmp_path / "runs/default"
    limited, told = losses(run), receipt(run)["training"]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    full = [event for event in events if event["kind"] == "oom"]
    halved = [(event["micro_batch_was"], event["micro_batch_is"]) for event in full]
    state = json.loads((run / "checkpoint-3/state.json").read_text())
    rows = halved[-1][1]
    plain = forked.finish([*words, f"train.batch_size={rows}", f"train.accumulation={8 // rows}"], tmp_path)

    assert (0, 0) == (done.returncode, plain.returncode), done.stderr + plain.stderr
    assert [(8, 4), (4, 2), (2, 1)][: len(halved)] == halved
    assert (rows, len(halved)) == (told["micro_batch"], state["halvings"])
    for event, (was, now) in zip(full, halved):  # the second time may come at a later update
        assert (
            f"note: Out of memory (this machine) at step {event['step']} with {was} rows in a pass; going on with "
            f"{now}, and as many more passes an update. The update is the same."
        ) in done.stderr.splitlines()
    assert 1 == full[0]["step"]
    assert losses(run) == limited


def test_rows_without_padding_are_halved_between_two_of_them(forked, words, tmp_path):
    """As they are laid by default: cut where a row begins, told in tokens; the losses are those of the whole pass."""
    # All 16 rows in one pass: with 8, whether they had room was a matter of what the process had freed before.
    laid = [*words, "data.packing=auto", "train.batch_size=16", "train.accumulation=1"]
    done = forked.finish(laid, tmp_path, text=LIMITED.format(75))
    limited = losses(tmp_path / "runs/default")
    events = [json.loads(line) for line in (tmp_path / "runs/default/events.jsonl").read_text().splitlines()]
    whole = forked.finish(laid, tmp_path)

    assert (0, 0) == (done.returncode, whole.returncode), done.stderr + whole.stderr
    (first, *_) = [event for event in events if event["kind"] == "oom"]
    was, now = first["micro_batch_was"], first["micro_batch_is"]
    assert was / 2 <= now < was * 0.75
    assert (
        f" with {was} tokens in a pass; going on with {now}, and as many more passes an update."
        in done.stderr
    )
    unlimited = losses(tmp_path / "runs/default")
    assert max(abs(one - two) for (_, one), (_, two) in zip(limited, unlimited)) < 1e-4


def test_what_does_not_fit_at_all_is_one_sentence(forked, words, tmp_path):
    """Not one row fits: exit 2, what ran out of memory and at which step, what helps; no traceback."""
    done = forked.finish([*words, "train.batch_size=2"], tmp_path, text=LIMITED.format(1))

    assert 2 == done.returncode, done.stderr
    message, hint = done.stderr.splitlines()[-2:]
    assert message.startswith("error: This machine ran out of memory ")
    assert "`data.max_length`" in hint and "`train.gradient_checkpointing=true`" in hint
    assert "Traceback" not in done.stderr
