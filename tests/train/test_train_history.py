"""steps.jsonl: a line an update, told once whatever is done twice; a checkpoint remembers how far it reached."""

import json
import resource
import signal

import pytest

from envdoc.train.history import NAME, History


def entry(step, loss=None):
    """One update as fit.py writes it down."""
    told = {"step": step, "loss": loss or 1 / step, "learning_rate": 0.1, "grad_norm": None}
    return {**told, "seconds": 0.5, "tokens": 10, "padded_tokens": 16, "answer_tokens": 4}


def filled(folder, steps):
    history = History(folder)
    for step in steps:
        history.append(entry(step))
    return history


def steps_in(folder):
    return [json.loads(line)["step"] for line in (folder / NAME).read_text().splitlines()]


def test_what_is_done_twice_is_told_once(tmp_path):
    """Back to the mark of step 3, with a torn line at the end of the file: lines, losses and sums go on from there."""
    history = filled(tmp_path, (1, 2, 3))
    mark = json.loads(json.dumps(history.mark()))
    for step in (4, 5):
        history.append(entry(step))
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"step": 6, "lo')

    again = History(tmp_path)
    assert again.restore(mark) is None
    again.append(entry(4, 0.7))

    assert [1, 2, 3, 4] == steps_in(tmp_path)
    assert ((1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.7)) == again.losses
    assert (2.0, 40, 16) == tuple(again.sums[name] for name in ("seconds", "tokens", "answer_tokens"))
    assert 4 == again.last["step"]


@pytest.mark.parametrize("damage", ["gone", "short", "changed"])
def test_a_lost_file_costs_the_losses_and_not_the_sums(tmp_path, damage):
    """Without the file, or with another, restoring says why, keeps the sums and begins the file anew."""
    mark = filled(tmp_path, (1, 2, 3)).mark()
    file = tmp_path / NAME
    content = file.read_bytes()
    {
        "gone": file.unlink,
        "short": lambda: file.write_bytes(content[:-5]),
        "changed": lambda: file.write_bytes(content.replace(b"0.5", b"0.4")),
    }[damage]()

    history = History(tmp_path)
    why = history.restore(mark)
    history.append(entry(4))

    assert f"`{file}` " in why
    assert ("cannot be read" if damage == "gone" else "is not the file that the checkpoint remembers") in why
    assert [4] == steps_in(tmp_path)
    assert 2.0 == history.sums["seconds"]


def test_a_full_disk_holds_no_half_line(tmp_path):
    """Lines that do not fit wait; `mark` says so; when there is room all of them are written."""
    history = filled(tmp_path, (1, 2))
    size = (tmp_path / NAME).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        history.append(entry(3))
        assert [1, 2] == steps_in(tmp_path)
        with pytest.raises(OSError):
            history.mark()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)
    history.append(entry(4))

    assert [1, 2, 3, 4] == steps_in(tmp_path)
    assert (tmp_path / NAME).stat().st_size == history.mark()["bytes"]


def test_the_log_of_an_old_checkpoint_is_taken_over(tmp_path):
    """Before steps.jsonl every update stood in trainer_state.json, between entries of other kinds."""
    history = History(tmp_path)

    history.adopt([{**entry(1), "x": 1}, {"step": 1, "eval_loss": 3.0}, entry(2)])

    assert ((1, 1.0), (2, 0.5)) == history.losses
    assert [1, 2] == steps_in(tmp_path)


def test_a_mark_does_not_grow_with_the_run(tmp_path):
    """After 20,000 updates a checkpoint holds as many bytes of the history as after 10, but for longer numbers."""
    few, many = (tmp_path / name for name in ("few", "many"))
    few.mkdir()
    many.mkdir()
    long = filled(many, range(1, 20001))

    assert 20000 == len(steps_in(many)) == len(long.losses)
    assert abs(len(json.dumps(filled(few, range(1, 11)).mark())) - len(json.dumps(long.mark()))) < 60
