"""Signals that ask a run to stop, and a terminal that goes away: a checkpoint first, and how to go on."""

import os
import pty
import signal
import time

import pytest
from test_train_exact import step_of, wait_until

from envdoc.train.signals import ECHO_SECONDS, StopRequest

RUN = ["train", "train.steps=40", "train.batch_size=2"]

# Takes the terminal that the first word names for its own, then runs launch.py on it, as a login shell's child does.
ON_A_TERMINAL = """
import fcntl, runpy, termios
os.setsid()
terminal = os.open(sys.argv.pop(1), os.O_RDWR)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
for number in range(3):
    os.dup2(terminal, number)
os.close(terminal)
sys.exit(runpy.run_path(sys.argv[0])["main"](sys.argv[1:]))
"""


def test_the_signals_of_batch_systems_save_first(forked, tmp_path):
    """SIGTERM (systemd, Kubernetes, scancel), SIGUSR1 (Slurm, before the time is up), Ctrl-C: each sent twice at once.

    The report tells where it stopped, with the losses so far, and claims neither an adapter nor a proof.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        folder = tmp_path / str(int(number))
        folder.mkdir()
        run = forked.start(RUN, folder)
        wait_until(lambda folder=folder: step_of(folder) >= 3, run)
        run.send_signal(number)
        run.send_signal(number)

        assert 128 + number == run.wait(), run.stderr
        message, hint = run.stderr.splitlines()[-2:]
        assert message.startswith("error: Stopped at step ") and message.endswith("is whole.")
        assert "hint: Go on with the same command and --resume." == hint
        assert (
            "press Ctrl-C again" if number == signal.SIGINT else "a second signal stops it at once"
        ) in run.stderr
        (saved,) = (folder / "runs/default").glob("checkpoint-*")
        assert f"checkpoint-{step_of(folder)}" == saved.name
        report = (folder / "runs/default/report.html").read_text(encoding="utf-8")
        assert '<span class="verdict open">stopped</span>' in report
        for part in (
            f"Stopped at step {step_of(folder)} of 40",
            "of 40</strong>",
            "<polyline",
            "What was trained",
        ):
            assert part in report, part
        assert "How to use it" not in report and "Proof that" not in report


@pytest.mark.slow
def test_a_terminal_that_closes_costs_nothing(forked, tmp_path):
    """The ssh session ends: SIGHUP, and every later write to the terminal fails: saved, exit 129, and it goes on."""
    leader, follower = pty.openpty()
    run = forked.start([os.ttyname(follower), *RUN], tmp_path, text=ON_A_TERMINAL)
    wait_until(lambda: step_of(tmp_path) >= 3, run)
    os.close(follower)
    os.close(leader)

    assert 129 == run.wait(), run.stderr
    assert 1 == len(list((tmp_path / "runs/default").glob("checkpoint-*")))
    resumed = forked.finish(["train", "--resume", *RUN[1:]], tmp_path)
    assert 0 == resumed.returncode, resumed.stderr
    assert 40 == step_of(tmp_path)


def test_a_second_signal_stops_at_once_and_an_echo_does_not():
    """Within a second it is the same wish (a launcher hands it on); later it is impatience; nohup stays nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number is None
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            assert (signal.SIGTERM, 143) == (stop.number, stop.exit_code)
            time.sleep(ECHO_SECONDS + 0.05)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)
        assert signal.SIG_IGN == signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
