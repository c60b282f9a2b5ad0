"""Disks that fill and disks that lie: the last good checkpoint stays, and the run can be finished."""

import json

import pytest

# A disk of its own in a mount namespace of its own, of so many KiB; launch.py twice: on the small disk, on a larger.
ON_A_SMALL_DISK = """
import contextlib, ctypes, io, runpy
libc = ctypes.CDLL(None, use_errno=True)
disk, kib = os.path.abspath("disk"), {kib}
os.mkdir(disk)
MS_REC, MS_PRIVATE, MS_REMOUNT, CLONE_NEWNS, CLONE_NEWUSER = 1 << 14, 1 << 18, 32, 0x20000, 0x10000000
def mount(flags, kib):
    return libc.mount(b"none", disk.encode(), b"tmpfs", flags, f"size={{kib}}k".encode())
alone = libc.unshare(CLONE_NEWNS) == 0 or libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0
alone = alone and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
if not alone or mount(0, kib) != 0:
    print(json.dumps(None))
    sys.exit(0)
main = runpy.run_path(sys.argv[0])["main"]
told = []
def attempt(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words, *sys.argv[1:]])
    run = disk + "/run"
    told.append([code, err.getvalue(), sorted(os.listdir(run)), out.getvalue()])
{first}
attempt("train", f"output={{disk}}/run")
mount(MS_REMOUNT, 65536)
attempt("train", f"output={{disk}}/run", "--resume")
print(json.dumps(told))
"""

# The disk is filled up when the last checkpoint lies on it: the adapter's own file is the first that does not fit.
FILL_AT_THE_END = """
from envdoc.train import checkpoint
whole = checkpoint.write
def last(folder, moment, keep, spared=None):
    written = whole(folder, moment, keep, spared)
    if moment.step == 6 and not os.path.exists("full"):
        open("full", "w").close()
        free = os.statvfs(disk)
        with open(disk + "/filler", "wb", buffering=0) as filler:
            filler.write(bytes(max(0, (free.f_bavail - 20) * free.f_bsize)))
    return written
checkpoint.write = last
"""


def on_disk(forked, folder, kib, first=""):
    done = forked.finish(
        ["train.steps=6", "train.save_every=2", "train.batch_size=2", "train.keep=2"],
        folder,
        text=ON_A_SMALL_DISK.format(kib=kib, first=first),
    )
    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    if told is None:
        pytest.skip("this machine lets nobody mount a tmpfs")
    return told


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(forked, tmp_path):
    """A real file system of 5.3 MB: base and a checkpoint fit; one sentence, exit 2; with more room it goes on."""
    (code, told, left, _), (again, error, after, _) = on_disk(forked, tmp_path, 5200)

    assert 2 == code, told
    message, hint = told.splitlines()[-2:]
    assert "could not be written to `" in message and message.endswith(": No space left on device.")
    assert hint.startswith("hint: Make room; --resume goes on from checkpoint-")
    assert "Traceback" not in told
    assert [] == [name for name in left if name.startswith(".partial")]
    assert 0 == again, error
    assert {"adapter", "checkpoint-6"} <= set(after)


@pytest.mark.slow
def test_an_adapter_that_does_not_fit_is_finished_later(forked, tmp_path):
    """The disk fills between the last checkpoint and the adapter: nothing trained is lost, and --resume finishes."""
    (code, told, left, _), (again, error, after, out) = on_disk(forked, tmp_path, 32768, FILL_AT_THE_END)

    assert 2 == code, told
    message, hint = told.splitlines()[-2:]
    assert message.startswith("error: The adapter could not be written to `") and "No space left" in message
    assert (
        "hint: Make room, then finish with the same command and --resume: the last checkpoint is whole."
        == hint
    )
    assert "checkpoint-6" in left
    assert 0 == again, error
    assert "Proved: " in out and "adapter" in after


def test_a_checkpoint_is_read_back_before_an_older_one_goes(inside, tmp_path):
    """alpaca-lora's `state_dict` override makes peft save nothing: the empty file is seen, the checkpoint before stays.

    Also a file whose bytes differ from memory, of another dtype, or torn, is told with the tensor's name.
    """
    told = inside(
        tmp_path,
        """
import torch
from safetensors.torch import save_file
from envdoc.train import reread
from pathlib import Path
memory = {"a.lora_A": torch.arange(6.0).reshape(2, 3), "a.lora_B": torch.zeros(3, 2)}
path = Path("adapter_model.safetensors")
def of(tensors, cut=0):
    save_file(tensors, str(path))
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    try:
        reread.check_file(path, memory)
    except reread.Unfaithful as error:
        return str(error)
changed = memory["a.lora_A"].clone()
changed[1, 2] = 5.000001
print(json.dumps([
    of(memory),
    of({}),
    of({"a.lora_A": memory["a.lora_A"]}),
    of({**memory, "a.lora_A": changed}),
    of({**memory, "a.lora_B": memory["a.lora_B"].half()}),
    of(memory, 1)[:51],
]))
""",
    )

    assert [
        None,
        "adapter_model.safetensors holds 0 tensors in place of 2; a.lora_A is missing",
        "adapter_model.safetensors holds 1 tensors in place of 2; a.lora_B is missing",
        "a.lora_A in adapter_model.safetensors reads back with other values than were written",
        "a.lora_B in adapter_model.safetensors is torch.float16 (3, 2) in place of torch.float32 (3, 2)",
        "adapter_model.safetensors cannot be read back (Erro",
    ] == told


def test_an_empty_save_stops_the_run(forked, tmp_path):
    """The override of `state_dict` that emptied so many adapters: the third save is not believed, the second stays."""
    done = forked.finish(
        ["train", "train.steps=6", "train.save_every=2", "train.batch_size=2"],
        tmp_path,
        text="""
import runpy
from envdoc.train import checkpoint
save, saved = checkpoint.save_adapter, []
def emptied(model, folder):
    saved.append(folder)
    if len(saved) == 3:
        model.state_dict = lambda *args, **kwargs: {}
    save(model, folder)
checkpoint.save_adapter = emptied
sys.exit(runpy.run_path(sys.argv[0])["main"](sys.argv[1:]))
""",
    )

    assert 2 == done.returncode, done.stderr
    message, hint = done.stderr.splitlines()[-2:]
    assert message.startswith("error: Checkpoint 6 could not be written to `")
    assert "; --resume goes on from checkpoint-4, which is whole." in hint
    left = sorted(path.name for path in (tmp_path / "runs/default").glob("*checkpoint-*"))
    assert ["checkpoint-2", "checkpoint-4"] == left
