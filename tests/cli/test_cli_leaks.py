"""No secret and no personal name leaves by any door: every format, every command, every error line."""

import json
import os
import shutil
import subprocess
import sys

import fakes
import pytest

from envdoc.doctor.report import FORMATS

TOKEN = "hf_" + "Zq7" * 11
PASSWORD = "hunter2-of-the-mirror"
UUID = "GPU-8f2b4c1d-0a1b-2c3d-4e5f-60718293a4b5"
USER = "zaphodb"
E_MAIL = f"{USER}@corp.example"
ADDRESS = "10.77.12.34"
WANDB = "0123456789abcdef" * 2 + "89abcdef"
SSH = "AAAAC3NzaC1lZDI1NTE5AAAAI" + "Q7" * 21
OTHERS = ("AKIA" + "Q7" * 8, "ghp_" + "Zq7" * 12, "glpat-" + "Zq7" * 7, "sk-proj-" + "Zq7" * 12, WANDB, SSH)
SECRETS = (TOKEN, PASSWORD, *OTHERS)
MAC, LONG_ADDRESS, HOST = (
    "02:42:ac:1b:4d:9e",
    "2001:db8:85a3::8a2e:370:7334",
    "trainer-0.team-q.svc.cluster.local",
)
NAMES = (UUID, USER, E_MAIL, ADDRESS, MAC, LONG_ADDRESS, HOST, "friend-of-mine")
# All of it as it may stand in a path or a log, the keys where their forms tell them.
EVERYTHING = (
    f"{' '.join(OTHERS[:4])} wandb {WANDB} ssh-ed25519 {SSH} {MAC} {LONG_ADDRESS} {HOST} /home/friend-of-mine"
)
COMMANDS = {
    **{f"check --format {name}": ("check", "--quick", "-v", "--format", name) for name in FORMATS},
    "facts": ("facts",),
    "report": ("report",),
    "fix": ("fix",),
    "fix --format json": ("fix", "--format", "json"),
}


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A home folder named after its owner, with an environment, a pip configuration and a log full of secrets in it.

    Returns the folder, the interpreter and the variables of a shell of that owner.
    """
    home = tmp_path_factory.mktemp("machine") / "home" / USER
    (home / ".config" / "pip").mkdir(parents=True)
    (home / "lib").mkdir()
    shutil.copy2(fakes.library("nvml"), home / "lib" / "preloaded.so")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True)
    site = next((home / "env").glob("lib/python*/site-packages"))
    index = f"https://{USER}:{PASSWORD}@mirror.example/simple"
    (home / ".config" / "pip" / "pip.conf").write_text(f"[global]\nindex-url = {index}\n", encoding="utf-8")
    gone = site / "mine-1.0.dist-info"
    gone.mkdir()
    (gone / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: mine\nVersion: 1.0\nAuthor-email: {E_MAIL}\n"
        f"Requires-Dist: other @ {index}/other.whl\nRequires-Dist: absent>=2\n",
        encoding="utf-8",
    )
    (gone / "RECORD").write_text(f"{home}/lib/mine.py,,\n", encoding="utf-8")
    (gone / "direct_url.json").write_text(
        json.dumps({"url": f"file://{home}/mine", "dir_info": {"editable": True}}), encoding="utf-8"
    )
    (site / "mine.pth").write_text(f"{home}/gone\n/home/friend-of-mine/src\n", encoding="utf-8")
    hidden = site / f"{OTHERS[0]}-1.0.dist-info"
    hidden.mkdir()
    (hidden / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: x\nRequires-Dist: {EVERYTHING}\n", encoding="utf-8"
    )
    (home / "run.log").write_text(
        f'Traceback (most recent call last):\n  File "{home}/train.py", line 3, in <module>\n'
        f"HF_TOKEN={TOKEN} {index} {E_MAIL} {UUID} {ADDRESS}\n"
        f"{EVERYTHING} RuntimeError: CUDA error: no kernel image is available for execution on the device\n",
        encoding="utf-8",
    )
    variables = {
        **os.environ,
        **fakes.driver_variables(),
        "HOME": str(home),
        "USER": USER,
        "LOGNAME": USER,
        "ENVDOC_HOME": str(home / ".envdoc"),
        "HF_TOKEN": TOKEN,
        "WANDB_API_KEY": PASSWORD,
        "HF_ENDPOINT": f"https://{USER}:{PASSWORD}@hub.example",
        "HTTPS_PROXY": f"http://{USER}:{PASSWORD}@{ADDRESS}:3128",
        "PIP_INDEX_URL": index,
        "UV_INDEX_URL": index,
        "CUDA_VISIBLE_DEVICES": UUID,
        "MASTER_ADDR": ADDRESS,
        "NCCL_SOCKET_IFNAME": f"{MAC} {LONG_ADDRESS}",
        "TORCH_HOME": f"/no/{EVERYTHING}",
        "TRITON_CACHE_DIR": "/home/friend-of-mine/triton",
        "HF_HOME": f"{home}/models of {E_MAIL}",
        "PYTHONPATH": f"{home}/lib:/data/{E_MAIL}/lib",
        "LD_LIBRARY_PATH": f"/scratch/{USER}/cuda/lib64",
        "LD_PRELOAD": f"{home}/lib/preloaded.so",
    }  # fmt: skip
    return home, home / "env" / "bin" / "python", variables


def leaks(done, secrets):
    """Those of the secrets that are in anything that a command printed."""
    return [secret for secret in secrets if secret in done.stdout + done.stderr]


def host_name():
    """This machine's name where it is one that names anything."""
    name = os.uname().nodename
    return (name,) if len(name) > 8 else ()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_tells_a_secret_or_a_name(name, private, envdoc):
    """Tokens, passwords, the owner, the home folder, addresses, GPUs and the machine are all left out."""
    home, python, variables = private

    done = envdoc(*COMMANDS[name], "--python", python, env=variables)

    assert done.returncode in (0, 1), done.stderr
    assert len(done.stdout) > 100
    assert [] == leaks(done, (*SECRETS, *NAMES, str(home), *host_name()))


@pytest.mark.parametrize("name", ["check --format json", "check --format text", "facts"])
def test_without_redaction_names_stay_and_secrets_go(name, private, envdoc):
    """`--no-redact` is for reading one's own paths, never for printing a token."""
    home, python, variables = private

    done = envdoc(*COMMANDS[name], "--no-redact", "--python", python, env=variables)

    assert str(home) in done.stdout
    assert [] == leaks(done, SECRETS)


@pytest.mark.parametrize("format", ["text", "json"])
def test_why_quotes_no_secret(format, private, envdoc):
    """The lines of a log that are quoted as evidence are redacted."""
    home, _, variables = private

    done = envdoc("why", home / "run.log", "--format", format, env=variables)

    assert "no kernel image" in done.stdout
    assert [] == leaks(done, (*SECRETS, *NAMES, str(home)))


def test_a_difference_is_redacted(private, envdoc, tmp_path):
    """Two snapshots that were written whole are told apart without a name."""
    home, python, variables = private
    for name, extra in (("a", {}), ("b", {"HF_HOME": f"{home}/other", "HF_ENDPOINT": "https://hub.example"})):
        made = envdoc(
            "facts", "--no-redact", "-o", tmp_path / name, "--python", python, env={**variables, **extra}
        )
        assert 0 == made.returncode, made.stderr

    done = envdoc("diff", tmp_path / "a", tmp_path / "b", env=variables)

    told = envdoc("diff", tmp_path / "a", tmp_path / "b", "--format", "json", env=variables)

    assert "HF_HOME" in done.stdout and "HF_HOME" in told.stdout
    assert [] == leaks(done, (*SECRETS, *NAMES, str(home))) + leaks(told, (*SECRETS, *NAMES, str(home)))


ERRORS = {
    "no interpreter": ("check", "--python", "{home}/no/python"),
    "no snapshot": ("check", "--facts", "{home}/{email}.json"),
    "no log": ("why", "{home}/no.log"),
    "no run file": ("train", "{home}/no.yaml"),
    "no code": ("explain", TOKEN),
    "no folder to write to": ("facts", "--quick-no-such-option={home}"),
    "an index as an option": ("check", "--format", f"https://{USER}:{PASSWORD}@mirror.example"),
    "no adapter": ("verify", "{home}/no-adapter"),
    "no wheelhouse": ("fix", "--wheelhouse", "{home}/wheels"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_lines_are_redacted(name, private, envdoc):
    """What a user typed is quoted without what must not be shown on a shared screen or in a CI log."""
    home, _, variables = private
    arguments = [word.format(home=home, email=E_MAIL) for word in ERRORS[name]]

    done = envdoc(*arguments, env=variables)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("error: ")
    assert [] == leaks(done, (*SECRETS, *NAMES, str(home)))
