"""Rules about values that a library cannot read: numbers, addresses, names of interfaces, literal quotes, switches."""

import re
from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_gpu, require_torch, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule

# Read with int() without a guard: huggingface_hub 2.4.0 constants.py (at import); accelerate 1.15.0 state.py and
# utils/environment.py (when an Accelerator is made). An empty value is no number either.
INTEGERS = (
    ("HF_HUB_DOWNLOAD_TIMEOUT", "huggingface-hub"),
    ("HF_HUB_ETAG_TIMEOUT", "huggingface-hub"),
    ("LOCAL_RANK", "accelerate"),
    ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "accelerate"),
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Threads beyond so many times the processors only wait for each other. Our judgement.
TIMES = 4
INTERFACES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
WANDB_MODES = ("online", "offline", "disabled", "dryrun", "run", "shared")  # wandb, Settings.mode
# Values of these are lists, commands or addresses, in which quotes and dollars have a meaning or another rule looks.
_NOT_LITERAL = re.compile(
    r"^(?:PIP_|UV_|LD_|PATH$|CC$|CXX$|TORCH_LOGS$|HF_ENDPOINT$|CUDA_VISIBLE)", re.IGNORECASE
)


@rule("CFG080")
def interface_missing(machine: Snapshot) -> List[Problem]:
    """NCCL or Gloo is told a network interface that is not there."""
    present = machine.system.network_interfaces
    if not present:
        raise Skip("the network interfaces were not told")
    problems = []
    for name in INTERFACES:
        value = machine.variables.get(name, "").strip()
        if not value or value.startswith("^"):  # a list of those that are not to be used
            continue
        exact = value.startswith("=") or name != "NCCL_SOCKET_IFNAME"  # NCCL takes the beginning of a name
        wanted = [entry.strip() for entry in value.lstrip("=").split(",") if entry.strip()]
        if any(own == want if exact else own.startswith(want) for own in present for want in wanted):
            continue
        problems.append(
            Problem(
                {"name": name, "value": shorten(value, 20), "present": ", ".join(present[:6])},
                evidence=(f"{name}={value}", f"there are {', '.join(present[:12])}"),
                affects=("torch.distributed",),
                severity=None if len(machine.gpus) > 1 else Severity.INFO,
                commands=(f"unset {name}",),
            )
        )
    return problems


@rule("CFG081")
def no_number(machine: Snapshot) -> List[Problem]:
    """A variable that a library reads as a whole number, and that is none: the import ends with a ValueError."""
    problems = []
    for name, package in INTEGERS:
        value = machine.variables.get(name)
        installed = version_of(machine, package)
        if value is None or installed is None or re.fullmatch(r"\s*[+-]?\d+(?:_\d+)*\s*", value):
            continue
        said = f"={shorten(value, 14)}" if value else " is empty, and"
        problems.append(
            Problem(
                {"name": name, "said": said, "package": f"{package} {installed}"},
                evidence=(f"{name}={value!r}",),
                affects=(package,),
                commands=(f"unset {name}",),
            )
        )
    return problems


@rule("CFG082")
def thread_counts(machine: Snapshot) -> List[Problem]:
    """OMP_NUM_THREADS that is no number, or many times the processors."""
    problems = []
    granted = min(float(machine.host.cpu_count), machine.host.cpu_limit or float(machine.host.cpu_count))
    for name in THREADS:
        value = machine.variables.get(name, "").strip()
        if not value:
            continue
        first = value.split(",")[0].strip()  # OpenMP takes a list, one entry a level
        if not first.isdecimal() or int(first) < 1:
            effect, severity = "is no count of threads, and is ignored", Severity.WARNING
        elif granted and int(first) > TIMES * granted and int(first) > 16:
            effect, severity = f"is many times the {granted:g} processors here", Severity.WARNING
        else:
            continue
        values = {"name": name, "value": shorten(value, 14), "effect": effect}
        problems.append(
            Problem(values, (f"{name}={value}",), ("training speed",), severity, (f"unset {name}",))
        )
    return problems


@rule("CFG083")
def endpoint(machine: Snapshot) -> List[Problem]:
    """HF_ENDPOINT that is no address."""
    value = machine.variables.get("HF_ENDPOINT")
    if not value:
        return []
    if value[:1] in "'\"" or value[-1:] in "'\"":
        what = "has quotes in it"
    elif value != value.strip() or re.search(r"\s", value):
        what = "has blanks in it"
    elif not re.match(r"https?://", value, re.IGNORECASE):
        what = "does not begin with https://"
    elif not re.match(r"https?://[^/\s?#]+", value, re.IGNORECASE):
        what = "names no server"
    else:
        return []
    values = {"value": shorten(value.strip(), 30), "what": what}
    return [Problem(values, (f"HF_ENDPOINT={value!r}",), ("downloads",), commands=("unset HF_ENDPOINT",))]


@rule("CFG084")
def token_shape(machine: Snapshot) -> List[Problem]:
    """A token that no server can take, by its form; it is never kept nor shown."""
    words = {
        "quoted": "stands in quotes, which are sent with it",
        "bearer": "begins with `Bearer`, which is added anyway",
        "placeholder": "is a placeholder and not a token",
        "whitespace": "has blanks within it",
        "not ASCII": "holds characters that no header may",
        "path": "is the path of a file; HF_TOKEN_PATH takes that",
    }
    return [
        Problem({"name": name, "what": words[shape]}, affects=("downloads",), commands=(f"unset {name}",))
        for name, shape in machine.named.token_shapes
        if shape in words
    ]


@rule("CFG087")
def literal_quotes(machine: Snapshot) -> List[Problem]:
    """A value with the quotes or the dollar that a shell would have taken away: `docker --env-file` does not."""
    problems = []
    for name, value in sorted(machine.variables.items()):
        if _NOT_LITERAL.match(name) or len(value) < 2:
            continue
        if value[0] == value[-1] and value[0] in "'\"":
            what = "has its quotes as part of it"
        elif re.match(r"^\$(?:\{\w+\}|[A-Za-z_]\w*)(?:/|$)", value):
            what = "has a variable's name for its value"
        else:
            continue
        problems.append(
            Problem(
                {"name": name, "value": shorten(value, 12), "what": what},
                evidence=(f"{name}={value!r}",),
                commands=(f"unset {name}",),
            )
        )
    return problems


@rule("CFG106")
def links_switched_off(machine: Snapshot) -> List[Problem]:
    """Peer-to-peer or shared memory is off on several cards that are built with links."""
    if len(machine.gpus) < 2:
        raise Skip("there are fewer than two GPUs")
    linked = re.search(r"\b(?:A100|H100|H200|B200|B300|GB\d00|V100)\b", machine.gpus[0].name)
    names = [n for n in ("NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE") if machine.variables.get(n) == "1"]
    if not linked or not names:
        return []
    values = {"name": names[0], "value": "1", "count": len(machine.gpus), "gpu": linked.group()}
    evidence = tuple(f"{name}=1" for name in names)
    return [Problem(values, evidence, ("training speed",), commands=("unset " + " ".join(names),))]


@rule("CFG098")
def wandb_mode(machine: Snapshot) -> List[Problem]:
    """WANDB_MODE with a word that wandb does not take."""
    wandb, value = version_of(machine, "wandb"), machine.variables.get("WANDB_MODE", "")
    if wandb is None:
        raise Skip("wandb is not installed")
    if not value or value.lower() in WANDB_MODES:
        return []
    values = {"value": shorten(value, 16), "wandb": wandb, "modes": ", ".join(WANDB_MODES[:3])}
    return [Problem(values, (f"WANDB_MODE={value}",), ("wandb",))]


@rule("CFG099")
def variables_of_amd(machine: Snapshot) -> List[Problem]:
    """HIP_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES on a machine with NVIDIA GPUs: they choose nothing there."""
    require_gpu(machine)
    torch = require_torch(machine)
    if torch.hip:
        raise Skip("torch is built for ROCm")
    names = [name for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES") if machine.variables.get(name)]
    if not names or "CUDA_VISIBLE_DEVICES" in machine.variables:
        return []
    evidence = tuple(f"{name}={machine.variables[name]}" for name in names)
    return [Problem({"name": names[0]}, evidence, commands=("unset " + " ".join(names),))]
