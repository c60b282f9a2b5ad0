"""`check --online` measures; without it no part of a check touches the network."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "facts"))
from network_server import closed_port, serving

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
    assert "MB/s (answer after" in text.stdout and "of 3 GB takes" in text.stdout
    assert {"ok", "skipped"} == {check["status"] for check in document["checks"]}
    assert ["index", "hub", "git"] == [server["purpose"] for server in facts["network"]["servers"]]


def test_without_online_the_rules_say_how_to_get_an_answer(envdoc):
    """No answer is "not judged", never a fault."""
    done = envdoc("check", "--quick", "--select", "NET", "-v", "--python", sys.executable)
    assert 13 == done.stdout.count("not judged: run with --online")
    assert "rented machine" not in done.stdout


@pytest.fixture
def hub():
    """An index, and a hub with one gated model."""
    with serving() as server:
        files = {"config.json": 600, "model.safetensors": 1_000_000_000_000}
        server.models["org/large"] = {"files": files, "gated": "auto", "config": {"model_type": "unheard"}}
        yield server


def variables(server, **more):
    """A machine that knows that server alone."""
    told = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{server.url}/simple"}
    return {**told, "HF_ENDPOINT": server.url, "NO_COLOR": "1", **more}


def section(text):
    """label → line of the section about the rented machine."""
    lines = text.partition("rented machine\n")[2].partition("\n\n")[0].splitlines()
    return {line[6:24].split("  ")[0].strip(): line.strip() for line in lines}


def test_the_section_says_what_was_measured_without_v(envdoc, hub):
    """A line each with its number and verdict, also where all is well; the same from the recorded facts."""
    done = envdoc("check", "--quick", "--online", "--python", sys.executable, env=variables(hub))
    told = section(done.stdout)
    expected = ("room for models", "checkpoints", "disk speed", "package index", "model hub", "git", "clock")
    expected += ("processors", "host memory", "GPU memory", "/dev/shm", "Jupyter", "connections")
    assert [] == [label for label in expected if label not in told], done.stdout
    assert "MB/s" in told["package index"] and "MB/s" in told["model hub"] and "GB" in done.stdout
    assert "token" not in told and "proxy" not in told  # nothing to judge, and of lesser interest
    assert [] == [line for line in told.values() if "fail" in line]


def test_facts_carry_it_and_are_judged_elsewhere(envdoc, hub, tmp_path):
    """`facts --online --model`, then `check --facts`: the same lines."""
    command = ("facts", "--online", "--model", "org/large", "--python", sys.executable, "-o", "facts.json")
    envdoc(*command, env=variables(hub))
    assert 1 == len(json.loads((tmp_path / "facts.json").read_text())["disk_speeds"])
    hub_requests = len(hub.seen)
    done = envdoc("check", "--facts", "facts.json")
    told = section(done.stdout)
    assert "The model org/large is gated" in told["model access"]
    assert "large is a download of 1000.0 GB" in done.stdout
    assert "MB/s" in told["disk speed"] and hub_requests == len(hub.seen)


def test_no_network_at_all_is_skipped_with_the_reason(envdoc):
    """Nothing failed: the section says which server gave no answer, why, and what else can be done."""
    closed = f"http://127.0.0.1:{closed_port()}"
    environ = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{closed}/simple"}
    command = ("check", "--quick", "--online", "--select", "NET", "--python", sys.executable)
    done = envdoc(*command, env={**environ, "HF_ENDPOINT": closed, "HF_TOKEN": "hf_" + "t" * 34})
    told = section(done.stdout)
    assert 0 == done.returncode
    assert "not judged: no answer from the package index" in told["package index"]
    assert "Connection refused" in told["model hub"] and "HF_ENDPOINT=https://MIRROR" in told["model hub"]
    assert "No problem found in 13 checks: 0 ok, 13 not judged" in done.stdout


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_it_ends_whatever_the_servers_do(envdoc, behaviour):
    """The servers are given 15 s together: one that says nothing, and one that sends a byte a second for ever."""
    with serving(behaviour) as server:
        environ = variables(server, HF_TOKEN="hf_" + "t" * 34, PIP_EXTRA_INDEX_URL=f"{server.url}/more")
        command = ("check", "--quick", "--online", "--model", "org/model", "--select", "NET", "--python")
        started = time.monotonic()
        done = envdoc(*command, sys.executable, env=environ)
        seconds = time.monotonic() - started
    assert (0, "") == (done.returncode, done.stderr)
    assert seconds < 15 + 5  # the rest of the check, on a busy machine
    assert "no answer from the package index" in done.stdout


def test_no_token_in_any_output(envdoc, hub):
    """Accepted or refused; in the text, the JSON and the facts, redacted or not."""
    secret = "hf_" + "q" * 34
    environ = variables(hub, HF_TOKEN=secret)
    check = (
        "check",
        "--quick",
        "--online",
        "--model",
        "org/large",
        "--python",
        sys.executable,
        "--no-redact",
    )
    for command in (check, (*check, "--format", "json"), ("facts", "--online", "--no-redact")):
        done = envdoc(*command, env=environ)
        assert secret not in done.stdout + done.stderr and done.stdout
    assert any(secret in headers.get("Authorization", "") for _, headers in hub.seen)


def test_a_model_is_judged_without_a_network_too(envdoc, tmp_path):
    """A folder's own files; a name that is neither is misuse."""
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "model.safetensors").open("wb") as file:
        file.truncate(9 * 10**12)
    command = ("check", "--quick", "--select", "SYS04", "--python", sys.executable)
    done = envdoc(*command, "--model", "model", "--format", "json")
    by_code = {check["code"]: check for check in json.loads(done.stdout)["checks"]}
    assert "lies here already (9000.0 GB)" in by_code["SYS042"]["title"]
    assert ("fail", "9000.0 GB") == (
        by_code["SYS044"]["status"],
        by_code["SYS044"]["title"].split(" is ")[1].partition(",")[0],
    )
    wrong = envdoc("check", "--model", "/no/such/folder")
    assert (2, "") == (wrong.returncode, wrong.stdout)
    assert "`--model /no/such/folder` is no folder" in wrong.stderr
    both = envdoc("check", "--model", "gpt2", "--facts", "facts.json")
    assert 2 == both.returncode and "`--facts` judges a recorded one" in both.stderr


def test_online_and_a_recorded_snapshot_exclude_each_other(envdoc, tmp_path):
    """The recorded machine is not this one."""
    done = envdoc("check", "--online", "--facts", tmp_path / "facts.json")
    assert (2, "") == (done.returncode, done.stdout)
    assert "`--online` measures this machine" in done.stderr
