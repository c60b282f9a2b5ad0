"""Secrets and names go, versions stay, and a second pass changes nothing."""

import json
import os
import subprocess
import time

import pytest

from envdoc.doctor.redact import (
    redact,
    redact_command,
    redact_value,
    without_credentials,
    without_secret_values,
    without_secrets,
)

NAMES = {"home": "/home/alice", "user": "alice", "host": "gpu-box-7.lab.example"}


def clean(text):
    return redact(text, **NAMES)


SECRETS = [
    ("token hf_" + "a1B2" * 8 + " here", "token <token> here"),
    ("ghp_" + "x" * 36, "<token>"),
    ("github_pat_" + "1" * 22 + "_abc", "<token>"),
    ("key: sk-" + "proj-" + "Z" * 40, "key: <token>"),
    ("AKIA" + "ABCDEFGHIJKLMNOP", "<token>"),
    ("xoxb-" + "123456789012-abc", "<token>"),
    ("glpat-" + "a" * 20, "<token>"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlIGhlcmU", "<token>"),
    ("https://me:pass@mirror.example/simple", "https://<redacted>@mirror.example/simple"),
    ("git+https://tok@host.example/x.git", "git+https://<redacted>@host.example/x.git"),
    (
        "https://x.example/f?a=1&X-Amz-Signature=abc%2F&b=2",
        "https://x.example/f?a=1&X-Amz-Signature=<redacted>&b=2",
    ),
    ("https://x.example/f?access_token=abc", "https://x.example/f?access_token=<redacted>"),
    ("Authorization: Bearer abcdef123456", "Authorization: <redacted>"),
    ("{'Authorization': 'Basic dXNlcjpwYXNz', 'x': 1}", "{'Authorization': '<redacted>', 'x': 1}"),
    ("Cookie: session=abc; other=def\nnext", "Cookie: <redacted>\nnext"),
    ("curl -H 'authorization: bearer abcdefghijklmnop'", "curl -H 'authorization: <redacted>'"),
    ("sent Bearer abcdefghijklmnopq to it", "sent Bearer <redacted> to it"),
    ("HF_TOKEN=abc123", "HF_TOKEN=<redacted>"),
    ("export WANDB_API_KEY='abc 123'; x", "export WANDB_API_KEY=<redacted>; x"),
    ('"OPENAI_API_KEY": "abc"', '"OPENAI_API_KEY": <redacted>'),
    ("DB_PASSWORD = hunter2", "DB_PASSWORD = <redacted>"),
    ("MYSQL_PASSWD=hunter2", "MYSQL_PASSWD=<redacted>"),
    ("AWS_SECRET_ACCESS_KEY=abc/def+g", "AWS_SECRET_ACCESS_KEY=<redacted>"),
    ("api_key=abc, model=x", "api_key=<redacted>, model=x"),
    ("login(hf_token='abc')", "login(hf_token=<redacted>)"),
    ("password: hunter2", "password: <redacted>"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nafter",
        "<private key>\nafter",
    ),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "<private key>"),
    ("mail alice.b+c@example.org now", "mail <e-mail> now"),
    ("GPU-8f2b4c1d-0a1b-2c3d-4e5f-60718293a4b5", "<GPU UUID>"),
    ("MIG-8f2b4c1d-0a1b-2c3d-4e5f-60718293a4b5", "<GPU UUID>"),
    ("MIG-GPU-8f2b4c1d-0a1b-2c3d-4e5f-60718293a4b5/1/0", "<GPU UUID>/1/0"),
    ("MASTER_ADDR=10.0.12.7", "MASTER_ADDR=<IP address>"),
    ("connect to 192.168.1.20:29500 failed", "connect to <IP address>:29500 failed"),
    ("http://172.16.0.3/simple", "http://<IP address>/simple"),
    ("tcp://[fe80::1ff:fe23:4567:890a%eth0]:80", "tcp://[<IP address>]:80"),
    ("2001:db8:85a3:0:0:8a2e:370:7334", "<IP address>"),
    ("/home/alice/.cache/huggingface", "~/.cache/huggingface"),
    ("file:///home/alice/x", "file://~/x"),
    ("/home/bob/models and /Users/carol/x", "/home/<user>/models and /Users/<user>/x"),
    ("/scratch/alice/run and /data/alice", "/scratch/<user>/run and /data/<user>"),
    ("user=alice", "user=<user>"),
    ("alice@gpu-box-7:~$", "<user>@<host>:~$"),
    ("on gpu-box-7.lab.example and gpu-box-7", "on <host> and <host>"),
    ("ASIA" + "Q" * 16, "<token>"),
    ("sk-ant-" + "api03-" + "a" * 80, "<token>"),
    ("sk_" + "live_" + "a1" * 12, "<token>"),
    ("AIza" + "b" * 35, "<token>"),
    ("npm_" + "c" * 36 + " nvapi-" + "d" * 60 + " r8_" + "e" * 37, "<token> <token> <token>"),
    ("rpa_" + "F" * 40, "<token>"),
    ("wandb login " + "0123456789abcdef" * 2 + "01234567", "wandb login <token>"),
    (
        "machine api.x.example login me password hunter2",
        "machine api.x.example login <user> password <redacted>",
    ),
    ("huggingface-cli login --token abc --x", "huggingface-cli login --token <redacted> --x"),
    ("mysql --password 'a b' run", "mysql --password <redacted> run"),
    ("http://localhost:8888/lab?token=0123456789abcdef", "http://localhost:8888/lab?token=<redacted>"),
    ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "g" * 43 + " me@box", "<ssh key>"),
    ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB" + "h" * 80 + "==", "<ssh key>"),
    ("link/ether 02:42:ac:11:00:02 brd", "link/ether <MAC address> brd"),
    ("HWaddr 02-42-AC-11-00-02", "HWaddr <MAC address>"),
    ("::ffff:10.0.0.1", "::ffff:<IP address>"),
    ("MASTER_ADDR: 10.0.0.1 -> 10.0.0.2", "MASTER_ADDR: <IP address> -> <IP address>"),
    (r"C:\Users\carol\x and C:/Users/carol/y", r"C:\Users\<user>\x and C:/Users/<user>/y"),
    ("/mnt/c/Users/carol/x", "/mnt/c/Users/<user>/x"),
    ("/var/home/bob/x /nfs/home/bob/y", "/var/home/<user>/x /nfs/home/<user>/y"),
    ("machine-id: " + "0123456789abcdef" * 2, "machine-id: <id>"),
    ("Serial Number: 1560822000123", "Serial Number: <id>"),
    ("trainer-0.trainers.team-a.svc.cluster.local:29500", "<host>:29500"),
    ("ip-10-0-3-7.ec2.internal", "<host>"),
    ("arn:aws:iam::123456789012:role/x", "arn:aws:iam::<account>:role/x"),
]


@pytest.mark.parametrize(("text", "expected"), SECRETS)
def test_what_must_go(text, expected):
    """Each kind of secret or name is replaced, and nothing around it."""
    assert expected == clean(text)


SURVIVORS = [
    "nvidia-cublas 12.8.4.1",
    "nvidia-cublas-cu12==12.8.4.1",
    "nvidia-cufft-cu11 10.9.0.58 and nvidia-curand-cu11 10.2.10.91",
    "nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl",
    "Requires-Dist: nvidia-cudnn-cu13 (==9.20.0.48) ; platform_system == 'Linux'",
    "nvidia-nccl-cu12>=2.21.5,<2.21.5.1",
    "opencv-python 4.8.0.76 and types-requests 2.31.0.6",
    "cuDNN 8.9.2.26 is loaded",
    '"version": "12.8.4.1"',
    "Version: 12.8.90.0",
    "driver 525.60.13, needs >= 450.80.02",
    "535.104.05.12",
    "torch 2.13.0+cu130, CUDA 12.8, glibc 2.36, kernel 6.1.0-18-amd64",
    "libcudart.so.11.0.221.1",
    "v10.2.89.1",
    "pad_token=0, bos_token: <s>, eos_token_id=2, tokenizer: LlamaTokenizer",
    'DEFAULT_PAD_TOKEN = "[PAD]"; DEFAULT_EOS_TOKEN = "</s>"',
    "TOKENIZERS_PARALLELISM=false MAX_TOKENS=512",
    "KeyError: 'lora_A.default.weight'",
    "HF_TOKEN is set, WANDB_API_KEY=<set>",
    "127.0.0.1:8888 and 0.0.0.0",
    "0000:3b:00.0 and 00000000:3B:00.0",
    "12:34:56 on 2026-11-24T02:18:11Z",
    "std::vector<int> c10::Error at::native x[::2] [::]",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "git+https://mirror.example/peft@v0.21.2",
    "peft@0.21.2 torch @ file:///wheels/torch.whl",
    "_ZN3c10ltERKNS_6SymIntEi undefined symbol",
    "/homeless/x /usr/home /home/",
    "sm_80 sm_90 compute_90",
    "uv pip install 'torch==2.13.0' --torch-backend=cu130",
    "Do this: `pip install 'numpy<2'`",
    "key: value, keys: 3, monkey=1",
    "nvidia-nccl-cu12: found 2.29.7.1, wants 2.27.3.1 or 2.27.5.1",
    "packages.nvidia-cudnn-cu12: 9.1.0.70 -> 9.20.0.48",
    "torch 2.11.0+git" + "0123456789abcdef" * 2 + "01234567",
    "peft @ git+https://host.example/x/peft@" + "0123456789abcdef" * 2 + "01234567",
    "revision " + "0123456789abcdef" * 2 + "01234567",
    "scikit-learn is sk-learn-contrib-foo-bar-baz-x",
    "use_auth_token=True hf_token=None",
    "train --max-tokens 512 --pad-token x --tokenizer y --use-token-types z",
    "/opt/env/lib/python3.11/site-packages/home/utils.py",
    "3b:00.0 de:ad:be:ef 00:1f.2",
    "4.0.1.dev0+cu128 and 12.8.93",
    "GPU serial is not told",
]


@pytest.mark.parametrize("text", SURVIVORS)
def test_what_must_stay(text):
    """No false alarm: a report without its versions is worth nothing."""
    assert text == clean(text)


@pytest.mark.parametrize("text", [text for text, _ in SECRETS] + SURVIVORS)
def test_a_second_pass_changes_nothing(text):
    """What is redacted may be redacted again on its way out."""
    assert clean(text) == clean(clean(text))


def test_all_at_once():
    """A long text with everything in it keeps none of the secrets."""
    text = clean("\n".join(text for text, _ in SECRETS))
    for secret in (
        "hunter2",
        "abc123",
        "alice",
        "gpu-box",
        "bob",
        "carol",
        "10.0.12.7",
        "MIIE",
        "AKIAABC",
        "dXNlc",
    ):
        assert secret not in text, secret


@pytest.mark.parametrize(
    ("home", "text", "expected"),
    [
        ("/root", "/root/.cache /rootfs /mnt/root/x /root", "~/.cache /rootfs /mnt/root/x ~"),
        ("/root/", "/root/x", "~/x"),
        ("/", "/usr/bin", "/usr/bin"),
        ("", "/usr/bin", "/usr/bin"),
        ("/home/al", "/home/al/x /home/alice/x", "~/x /home/<user>/x"),
    ],
)
def test_the_home_folder_is_a_whole_path(home, text, expected):
    """Neither a longer name nor the middle of a path is taken for it."""
    assert expected == redact(text, home=home, user="root", host="")


def test_common_names_are_no_names():
    """On a machine called ubuntu, with a user called torch, the report still says torch and ubuntu."""
    text = "torch 2.13 in /opt/torch/lib on ubuntu; root owns /var/root"
    assert text == redact(text, home="/home/torch", user="torch", host="ubuntu")
    assert text == redact(text, home="/root", user="root", host="localhost")


def test_defaults_are_this_machines():
    """Without names, the home folder and the host of the machine are used."""
    host = os.uname().nodename
    text = redact(f"{os.environ['HOME']}/models on {host}-x")
    assert text.startswith("~/models")


def test_nested_values():
    """Dictionaries, lists and tuples keep their shape; secrets go by their key; versions stay by theirs."""
    value = {
        "packages": [{"name": "nvidia-cublas", "version": "12.8.4.1", "location": "/home/alice/venv"}],
        "driver": {"kernel_module_version": "10.9.0.58"},
        "environment": {"HF_TOKEN": "abc", "api_key": "x", "note": "<set>", "count": 3, "nothing": None},
        "pair": ("/home/alice", 1.5, True),
        "bos_token": "<s>",
        "addresses": ["10.0.0.5"],
    }
    assert {
        "packages": [{"name": "nvidia-cublas", "version": "12.8.4.1", "location": "~/venv"}],
        "driver": {"kernel_module_version": "10.9.0.58"},
        "environment": {
            "HF_TOKEN": "<redacted>",
            "api_key": "<redacted>",
            "note": "<set>",
            "count": 3,
            "nothing": None,
        },
        "pair": ("~", 1.5, True),
        "bos_token": "<s>",
        "addresses": ["<IP address>"],
    } == redact_value(value, **NAMES)


def test_a_redacted_snapshot_still_loads(patient):
    """Redaction leaves a snapshot a snapshot, with every version in it as it was."""
    import dataclasses

    from envdoc.doctor.facts.collect import collect
    from envdoc.doctor.facts.snapshot import from_json
    from envdoc.doctor.finding import Target

    snapshot = collect(Target(str(patient), "test"), quick=True)
    loaded = from_json(
        json.dumps(redact_value(dataclasses.asdict(snapshot), home="/home/alice", user="x", host="y"))
    )
    assert [(p.name, p.version, p.requires) for p in snapshot.packages] == [
        (p.name, p.version, p.requires) for p in loaded.packages
    ]
    assert snapshot.torch.version == loaded.torch.version
    assert snapshot.bitsandbytes.libraries == loaded.bitsandbytes.libraries
    assert snapshot.transformers == loaded.transformers
    assert snapshot.host == loaded.host


def test_credentials_alone():
    """For variables: addresses lose credentials, paths and names stay."""
    assert "/home/alice/x" == without_credentials("/home/alice/x")
    assert "https://<redacted>@h.example/s" == without_credentials("https://a:b@h.example/s")


@pytest.mark.parametrize(
    "piece",
    ["A", "a_", "A_", "a-", "A-", "1.", "ab:", "/home/", '"', "x@", "x@a.", "key=", "TOKEN = ", "?token_", "://",
     "eyJ-", "sk-", "x-", "A1_KEY_", "Authorization:", "-----BEGIN PRIVATE KEY-----", "version ", "a-token-", " ",
     "\n", "::1", "wandb ", "nvidia 1.1.1.1 ", "1.1.1.1 ", "--token ", "02:", "02-", "ip-1-", "a.svc.",
     "machine a login b ", "ssh-rsa AAAA", "/mnt/c", "serial:A1", "sk-", "arn:aws:", "found ", "nvidia found "],
)  # fmt: skip
def test_no_text_takes_long(piece):
    """A log of 200 kB that repeats any piece is done in seconds: no pattern tries every start with every end."""
    text = (piece * 200_000)[:200_000]
    started = time.process_time()
    clean(text)
    assert time.process_time() - started < 5


COMMANDS = [
    "rm -r /home/alice/x",
    "rm -r '/home/alice/x y' \"/home/alice/z y\"",
    "pip install --target=/home/alice/x -r /home/alice/r.txt",
    "python -c \"open('/home/alice/x')\"",
    "echo 'first:/home/alice/b c'; cd /home/alice",
    "cd '/home/alice'",
    "cp /scratch/alice/x '/scratch/alice/y z' \"/scratch/alice/w\"",
    "echo it\\'s /home/alice/x && (cd /home/alice/y)",
    "LD_LIBRARY_PATH=/home/alice/lib python x.py",
    "echo /mnt/data/alice/x ~/z",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_still_be_pasted(command):
    """A shell of that user reads the redacted command as the same words, and the name is in it no more."""
    redacted = redact_command(command, **NAMES)

    assert "alice" not in redacted
    assert redacted == redact_command(redacted, **NAMES) == clean(redacted)
    assert _traced(command) == _traced(redacted)


def _traced(command):
    """What bash would run, word by word, without running anything: every program is a function that prints."""
    programs = "".join(
        f'{name}() {{ printf \'<%s>\' {name} "$L" "$@"; }}; ' for name in ("rm", "pip", "python")
    )
    programs += 'cp() { rm "$@"; }; cd() { rm "$@"; }; echo() { rm "$@"; }; '
    script = programs.replace("$L", "$LD_LIBRARY_PATH") + command
    environ = {"PATH": "/usr/bin:/bin", "HOME": NAMES["home"], "USER": NAMES["user"]}
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def test_another_persons_folder_in_a_command():
    """It has no form that leads there and names nobody: the placeholder says what to fill in."""
    assert "cp /home/<user>/x ~/y" == redact_command("cp /home/bob/x /home/alice/y", **NAMES)
    assert "pip install -i https://<redacted>@m.example x" == redact_command(
        "pip install -i https://me:pass@m.example x", **NAMES
    )


def test_secrets_alone():
    """Without redaction of names, paths, addresses and people stay; tokens and passwords do not."""
    kept = "/home/alice/x 10.0.12.7 alice@gpu-box-7 a@b.example GPU-8f2b4c1d-0a1b-2c3d-4e5f-60718293a4b5"

    assert kept == without_secrets(kept)
    assert "HF_TOKEN=<redacted> https://<redacted>@m.example" == without_secrets(
        "HF_TOKEN=abc https://me:pass@m.example"
    )
    assert {"api_key": "<redacted>", "paths": ["/home/alice"]} == without_secret_values(
        {"api_key": "x", "paths": ["/home/alice"]}
    )
