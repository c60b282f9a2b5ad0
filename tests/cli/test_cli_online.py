"""`check --online` measures; without it no part of a check touches the network."""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "facts"))
from network_server import serving

# Python tells its own audit hooks of every connection and every name that is looked up, and the children of the
# check inherit PYTHONPATH (but for the two that run isolated: one asks the driver's libraries, one prints sys.path).
# A connection is written down and refused.
GUARD = """
import os, sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") or event.startswith("socket.gethostby") \\
            or event == "socket.getaddrinfo":
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {arguments[-1]!r}\\n")
        raise OSError("this test forbids the network")

sys.addaudithook(hook)
"""


@pytest.fixture
def guarded(tmp_path):
    """The variables of a machine that writes every use of the network into `tmp_path/network.log`."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "guard"),
        "NETWORK_LOG": str(tmp_path / "network.log"),
        "PIP_CONFIG_FILE": os.devnull,
    }


def log(environ):
    """What was written down."""
    path = Path(environ["NETWORK_LOG"])
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("arguments", [["--quick"], []])
def test_without_online_no_socket_is_opened(envdoc, guarded, arguments):
    """The whole check, probes and driver query with their children included."""
    with serving() as server:
        variables = {**guarded, "PIP_INDEX_URL": f"{server.url}/simple", "HF_ENDPOINT": server.url}
        done = envdoc("check", *arguments, "--python", sys.executable, "--fail-on", "never", env=variables)
        assert (0, []) == (done.returncode, server.seen)
    assert "" == log(guarded)


@pytest.mark.slow
def test_without_online_no_probe_opens_one_in_a_real_environment(envdoc, guarded, patient):
    """torch, transformers, peft and bitsandbytes are imported and trained with, and nothing is asked of anybody."""
    done = envdoc("check", "--python", patient, "--fail-on", "never", env=guarded)
    assert 0 == done.returncode
    assert "" == log(guarded)


def test_the_guard_sees_what_online_does(envdoc, guarded):
    """The two tests above can fail: with --online the same guard writes something down."""
    variables = {**guarded, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    done = envdoc(
        "check", "--quick", "--online", "--python", sys.executable, "--fail-on", "never", env=variables
    )
    assert 0 == done.returncode
    assert "socket.getaddrinfo" in log(guarded)


def test_online_tells_numbers(envdoc):
    """Under -v a passing check says what was measured, and the JSON report is one document."""
    with serving() as server:
        environ = {
            **os.environ,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{server.url}/simple",
            "HF_ENDPOINT": server.url,
        }
        command = ("check", "--quick", "--online", "--select", "NET", "--python", sys.executable)
        text = envdoc(*command, "-v", env=environ)
        document = json.loads(envdoc(*command, "--format", "json", env=environ).stdout)
        facts = json.loads(envdoc("facts", "--online", "--python", sys.executable, env=environ).stdout)
    assert "MB/s (answer after" in text.stdout and "3 GB take" in text.stdout
    assert {"ok", "skipped"} == {check["status"] for check in document["checks"]}
    assert ["index", "hub", "git"] == [server["purpose"] for server in facts["network"]["servers"]]


def test_without_online_the_rules_say_how_to_get_an_answer(envdoc):
    """No answer is "not judged", never a fault."""
    done = envdoc("check", "--quick", "--select", "NET", "-v", "--python", sys.executable)
    assert 7 == done.stdout.count("not judged: run with --online")


def test_online_and_a_recorded_snapshot_exclude_each_other(envdoc, tmp_path):
    """The recorded machine is not this one."""
    done = envdoc("check", "--online", "--facts", tmp_path / "facts.json")
    assert (2, "") == (done.returncode, done.stdout)
    assert "`--online` measures this machine" in done.stderr
