"""Data never waits: updates laid ahead by a thread, the same ones at any beginning; waiting and idle time measured."""

import json
import signal
import time
from pathlib import Path

import pytest
from train_children import LIMIT_SECONDS, receipt

WAITING = r"""
import threading, time
from dataclasses import dataclass
from envdoc.train import idle
from envdoc.train.config import Data
from envdoc.train.feed import AHEAD, Laying, loader
from envdoc.train.turns import Tokens
from envdoc.train.units import Units
from accelerate.data_loader import skip_first_batches

rows = [Tokens(n, list(range(3, 6 + n % 40)), list(range(3, 6 + n % 40))) for n in range(200)]
lengths = [len(row.input_ids) for row in rows]
laid = []

@dataclass(frozen=True)
class Slow(Laying):
    seconds: float = 0.0
    fails: int = -1
    def __call__(self, units):
        laid.append(threading.current_thread().name)
        if len(laid) - 1 == self.fails:
            raise OSError("the disk is gone")
        time.sleep(self.seconds)
        return super().__call__(units)

def epoch(seconds=0.0, fails=-1, number=3):
    del laid[:]
    laying = Slow(2, 0, "lines", False, 64, 1, seconds=seconds, fails=fails)
    return loader(rows, Units(lengths, Data(), 7), 4, laying, lambda: number)

def content(update):
    return [[part["input_ids"].tolist(), part["labels"].tolist()] for part in update["micro_batches"]]

whole = [content(update) for update in epoch()]
laid_by = sorted(set(laid))
direct = epoch().dataset
direct.begin(3)
later = [content(update) for update in skip_first_batches(epoch(), 17)]
laid_later = len(laid)
waited = []
for update in epoch(seconds=0.03):
    waited.append(update["data_wait_seconds"])
    time.sleep(0.04)  # what the GPU takes
beginning = iter(epoch())
for _ in range(3):
    next(beginning)
time.sleep(0.2)
in_advance = len(laid)
try:
    list(epoch(fails=5))
    failed = None
except OSError as error:
    failed = str(error)

def event(cat, ts, dur, name="x"):
    return {"ph": "X", "cat": cat, "name": name, "pid": 0, "tid": 7, "ts": ts, "dur": dur}
marks = [event("kernel", ts, 1.0, "at::cuda::(anonymous namespace)::spin_kernel(long)") for ts in (60.0, 459.0)]
trace = {"traceEvents": [
    event("kernel", 0.0, 20.0), event("kernel", 900.0, 20.0), *marks[::-1],  # the first two lie outside
    event("kernel", 100.0, 50.0), event("kernel", 140.0, 30.0), event("kernel", 145.0, 5.0),  # two streams at once
    event("gpu_memcpy", 200.0, 10.0), event("gpu_memset", 210.0, 1.0), {"ph": "M", "name": "process_name"},
    event("gpu_user_annotation", 0.0, 1000.0), event("cpu_op", 0.0, 1000.0), event("kernel", 300.0, 100.0),
]}
work = idle.work_between(trace)
found = idle.idle(work, idle.gaps(work), 4)
unmarked = idle.work_between({"traceEvents": [event("kernel", 0.0, 20.0), marks[0]]})
print(json.dumps({
    "same": [content(direct.lay(place)) for place in range(len(whole))] == whole, "count": len(whole),
    "another epoch": [content(update) for update in epoch(number=4)] != whole,
    "later": later == whole[17:], "laid later": laid_later, "by": laid_by, "waited": waited,
    "in advance": in_advance, "ahead": AHEAD, "failed": failed,
    "work": [each["ts"] for each in work], "share": found.share, "seconds": found.seconds,
    "gap": found.longest_gap_seconds, "line": found.line(), "unmarked": unmarked,
}))
"""


@pytest.fixture(scope="module")
def told(inside, tmp_path_factory):
    """Every case above, from one child."""
    return inside(tmp_path_factory.mktemp("waiting"), WAITING)


def test_updates_are_the_same_laid_ahead_or_not_and_from_any_beginning(told):
    """25 updates of 8 rows; a resumed epoch begins in its middle and lays nothing of what was done before."""
    assert 25 == told["count"] and told["same"] and told["another epoch"]
    assert told["later"] and 25 - 17 == told["laid later"]


def test_a_thread_lays_the_next_updates_while_one_is_computed(told):
    """30 ms to lay and 40 to compute: the first is waited for, and hardly any later one; never more than two ahead."""
    first, *rest = told["waited"]

    assert ["envdoc-lay_0"] == told["by"]
    assert first >= 0.03 and sorted(rest)[len(rest) // 2] < 0.01
    assert 3 + told["ahead"] == told["in advance"]


def test_what_fails_in_the_thread_fails_in_the_run(told):
    """The error itself, where the update is asked for; it neither hangs nor is passed over."""
    assert "the disk is gone" == told["failed"]


ENCODING = """
import time
from pathlib import Path
from envdoc.train import encoders
def work(rows):
    Path(f"worker-{os.getpid()}").touch()
    time.sleep(60)
list(encoders.parts(range(5000), work, 2))
"""


def test_no_process_that_encodes_outlives_a_killed_run(forked, tmp_path):
    """SIGKILL, of which nobody is told: both processes are gone at once, in the middle of their work."""
    run = forked.start([], tmp_path, text=ENCODING)
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(workers := list(tmp_path.glob("worker-*"))) < 2:
        assert run.poll() is None and time.monotonic() < deadline, run.stderr
        time.sleep(0.02)

    run.send_signal(signal.SIGKILL)

    assert -signal.SIGKILL == run.wait()
    while alive := [path.name for path in workers if is_alive(int(path.name.split("-")[1]))]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.02)


def is_alive(pid):
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_idle_time_is_what_kernels_and_copies_leave(told):
    """Streams that run at once count once; ranges that only name kernels do not count, nor what lies outside the marks:
    183 of 400 microseconds, marks and all. Without two marks nothing is measured."""
    assert [60, 100, 140, 145, 200, 210, 300, 459] == told["work"]
    assert 1 - 183 / 400 == pytest.approx(told["share"]) and 400e-6 == pytest.approx(told["seconds"])
    assert 89e-6 == pytest.approx(told["gap"])
    assert told["line"].startswith("GPU idle 54.25% of the time: 0.000 s of work in 0.000 s, 4 updates;")
    assert [] == told["unmarked"]


def test_a_run_tells_how_long_it_waited_for_data(finished):
    """In each update's event, and summed up in the receipt and in the last words."""
    run = finished / "runs/default"
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    waited = [event["data_wait_seconds"] for event in events if event["kind"] == "step"]
    training = receipt(run)["training"]

    assert 12 == len(waited) and all(0 < seconds < 5 for seconds in waited)
    assert sum(waited) == pytest.approx(training["data_wait_seconds"])
    assert training["data_wait_share"] == pytest.approx(training["data_wait_seconds"] / training["seconds"])
    assert (
        f"{100 * training['data_wait_share']:.1f}% of them waiting for data; loss "
        in (finished / "stdout").read_text()
    )
    assert "waiting for data</span>" in (run / "report.html").read_text()


QUEUED = r"""
import torch
from envdoc.train.on_the_way import Gradient, OnTheWay
from envdoc.train.queued_step import QueuedStep, can_be_queued

class Wrapped:  # as accelerate's AcceleratedOptimizer
    def __init__(self, optimizer):
        self.optimizer = optimizer
    def step(self, closure=None):
        self.optimizer.step(closure)

def trained(queued, norms, scheduled=True):
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(4))]
    inner = torch.optim.AdamW(weights, lr=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(inner, lambda step: 1 / (1 + step))
    outer = Wrapped(inner)
    queue = QueuedStep(outer) if queued else None
    for norm in norms:
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        if queue:
            queue.take(torch.tensor([1.0, norm]))
        outer.step()
        schedule.step()
    state = [inner.state[weight] for weight in weights]
    return [*weights, *(part[name] for part in state for name in ("exp_avg", "exp_avg_sq", "step"))]

def equal(ones, others):
    return all(torch.equal(one, other) for one, other in zip(ones, others))

weight = torch.nn.Parameter(torch.ones(2))
kinds = [torch.optim.AdamW([weight], fused=True), torch.optim.AdamW([weight]), torch.optim.SGD([weight], 0.1)]
two, three = trained(False, [1.0] * 2), trained(True, [1.0, 2.0, 3.0])
print(json.dumps({
    "same": equal(trained(False, [1.0] * 3), three),
    "left out": [equal(two, trained(True, [1.0, 1.0, bad])) for bad in (float("nan"), float("inf"))],
    "moved": not equal(two, three),
    "kinds": [can_be_queued(Wrapped(kind)) for kind in kinds],
    "numbers": OnTheWay(torch.tensor([1.5, 2.5])).wait(),
    "fault": Gradient(torch.tensor(float("nan")), "abc", torch.tensor([1.0, float("inf"), 2.0])).first_fault(None),
}))
"""


def test_a_queued_step_is_the_same_step_or_none(inside, tmp_path):
    """Queued, an update is the same to the last bit; beside a number that is none, weights, state and count stay."""
    told = inside(tmp_path, QUEUED)

    assert {
        "same": True,
        "left out": [True, True],
        "moved": True,
        "kinds": [True, False, False],
        "numbers": [1.5, 2.5],
        "fault": "b",
    } == told


# Runs launch.py with the norm of an update known late, as on a GPU; what each update was begun with goes into a file.
LATE = """
import runpy, envdoc.train.on_the_way as way
from envdoc.train.trainer import AdapterTrainer
way.Instant.is_there = lambda self: False
plain, known = AdapterTrainer.training_step, []
def training_step(self, *given):
    known.append([self.state.global_step, len(self.history.losses)])
    return plain(self, *given)
AdapterTrainer.training_step = training_step
code = runpy.run_path(sys.argv[0])["main"](sys.argv[1:])
open("known", "w").write(json.dumps(known))
sys.exit(code)
"""


def test_a_run_with_the_step_queued_learns_the_same(forked, inside, tmp_path):
    """Losses, norms and the adapter's bytes equal those of a run whose step waits; losses are peft's.

    So do those of a run that learns each norm one update later. An update that is said (1, 4 and 8) or saved (6) is
    waited for, any other is written down with the next.
    """
    words = [
        "train.optimizer=adamw_fused",
        "train.steps=8",
        "train.warmup_fraction=0.34",
        "train.learning_rate=0.01",
        "train.log_every=4",
        "train.save_every=6",
    ]
    run = """
import runpy, envdoc.train.queued_step as q
plain, taken = q.QueuedStep.take, []
q.QueuedStep.take = lambda self, numbers: (taken.append(1), plain(self, numbers))
{}
code = runpy.run_path(sys.argv[0])["main"](sys.argv[1:])
open("taken", "a").write(f"{{len(taken)}} ")
sys.exit(code)
"""
    never = "q.can_be_queued = lambda optimizer: False"
    queued = forked.finish(["train", *words, "name=queued"], tmp_path, text=run.format(""))
    plain = forked.finish(["train", *words, "name=plain"], tmp_path, text=run.format(never))
    late = forked.finish(["train", *words, "name=late"], tmp_path, text=LATE)
    alone = forked.finish(["train", *words, "name=alone", "train.fused=off"], tmp_path)
    told = inside(
        tmp_path,
        """
from pathlib import Path
def of(name):
    steps = [json.loads(line) for line in (Path("runs") / name / "steps.jsonl").read_text().splitlines()]
    adapter = (Path("runs") / name / "adapter" / "adapter_model.safetensors").read_bytes()
    return [[(step["step"], step["loss"], step["grad_norm"], step["learning_rate"]) for step in steps], adapter.hex()]
one, other, late, alone = of("queued"), of("plain"), of("late"), of("alone")
apart = max(abs(a[1] - b[1]) for a, b in zip(one[0], alone[0]))
print(json.dumps([len(one[0]), one == other, one == late, apart < 1e-4, apart]))
""",
    )

    assert [0] * 4 == [done.returncode for done in (queued, plain, late, alone)], queued.stderr + late.stderr
    assert [8, True, True, True] == told[:4], told
    assert "8 0 " == (tmp_path / "taken").read_text()
    known = json.loads((tmp_path / "known").read_text())
    assert [[0, 0], [1, 1], [2, 1], [3, 2], [4, 4], [5, 4], [6, 6], [7, 6]] == known
    said = [
        [line for line in done.stderr.splitlines() if line.startswith("step ")] for done in (queued, late)
    ]
    assert [["1/8", "4/8", "8/8"]] * 2 == [[line.split()[1] for line in lines] for lines in said]


def test_a_gradient_known_late_stops_the_run_all_the_same(forked, tmp_path):
    """The same step, weight and last good adapter as where it is known at once; nothing later is written down."""
    words = ["train", "train.optimizer=adamw_fused", "train.steps=30", "train.batch_size=2", "overwrite=true"]
    words += ["train.learning_rate=9", "train.max_grad_norm=0", "train.schedule=constant"]
    at_once = forked.finish([*words, "name=at_once"], tmp_path)
    late = forked.finish([*words, "name=late"], tmp_path, text=LATE)
    ones, others = [
        [
            (event["kind"], event.get("step"), event.get("module"))
            for event in map(json.loads, (tmp_path / "runs" / name / "events.jsonl").read_text().splitlines())
            if event["kind"] in ("step", "diverged")
        ]
        for name in ("at_once", "late")
    ]
    adapters = [
        tmp_path / "runs" / name / "last-good/adapter_model.safetensors" for name in ("at_once", "late")
    ]

    assert [1, 1] == [done.returncode for done in (at_once, late)], at_once.stderr + late.stderr
    assert at_once.stderr.splitlines()[-2].startswith("error: The gradient at step ")
    assert at_once.stderr.splitlines()[-2:] == late.stderr.splitlines()[-2:]
    assert ones == others and "diverged" == ones[-1][0] and "lora_" in ones[-1][2]
    assert [True, True] == [path.is_file() for path in adapters]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()
