"""For each rule about a rented machine beside its servers: machines that fail it, that pass, and that tell nothing."""

from dataclasses import replace

from cases_network import GIT, HUB, INDEX, online, silent
from rule_machines import H100, RTX_4090, machine

from envdoc.doctor.facts.snapshot import DiskSpeed, Jupyter, Kernel, Question, WantedModel

# Sizes as the hub lists them for Llama-2-7B and Llama-3-70B; layers by their config.json.
SEVEN = WantedModel(
    "meta-llama/Llama-2-7b-hf",
    "hub",
    model_type="llama",
    parameters=6_738_415_616,
    linear_parameters=6_476_005_376,
    lora_parameters_per_rank=2_498_560,
    download_bytes=13_479_000_000,
    repository_bytes=26_950_000_000,
    largest_file_bytes=9_976_576_152,
    weight_bytes=13_476_839_424,
)
SEVENTY = WantedModel(
    "meta-llama/Meta-Llama-3-70B",
    "hub",
    model_type="llama",
    parameters=70_553_706_496,
    linear_parameters=68_451_041_280,
    lora_parameters_per_rank=12_943_360,
    download_bytes=141_120_000_000,
    largest_file_bytes=4_976_834_376,
    weight_bytes=141_107_412_992,
)
NAMED = WantedModel(
    "org/Model-70B", "name", parameters=70 * 10**9, download_bytes=14 * 10**10, weight_bytes=14 * 10**10
)
UNKNOWN = WantedModel("org/model", problem="its name tells no size; with --online the hub is asked for it")
TOKEN = Question("token", "https://hub.example", "answered", http_status=200, seconds=0.08)
MODEL = replace(TOKEN, purpose="model", told="gated: manual")
CATALOGUE = replace(TOKEN, purpose="catalogue")
EXTRA = replace(TOKEN, purpose="extra index", url="https://wheels.example/cu130")
FAST = (DiskSpeed("work", "/home/user/work", 1.2e9, 256_000_000),)
REFUSED = "it answers with HTTP status 401"


def asked(*questions, **network):
    """The healthy machine online, with these questions."""
    found = online()
    return found.but(network=replace(found.snapshot.network, questions=questions, **network))


def refused(question, status, told=""):
    """That question, refused with that status and code."""
    error = f"it answers with HTTP status {status}"
    return replace(question, status="failed", stage="http", error=error, http_status=status, told=told)


def free(**bytes_free):
    """The healthy machine with that much free, by purpose."""
    found = machine()
    for purpose, count in bytes_free.items():
        found = found.with_storage(purpose, free_bytes=count)
    return found


def skewed(*seconds):
    """The machine with servers whose clocks differ by that much."""
    servers = (replace(server, skew_seconds=s) for server, s in zip((INDEX, HUB), seconds))
    return online(*servers)


def with_jupyter(version="4.4.0", kernels=(), inside=False, **installed):
    """The machine online, with that Jupyter."""
    found = online().installed(**installed) if installed else online()
    return found.but(jupyter=Jupyter(version, inside, kernels))


OWN = Kernel("python3", "/home/user/env/bin/python3")
OTHER = Kernel("base", "/opt/conda/bin/python")

FAILING = {
    "NET010": [skewed(900.0, 901.0), skewed(-86400.0 * 400)],
    "NET011": [asked(refused(TOKEN, 401))],
    "NET012": [
        asked(refused(MODEL, 401, "GatedRepo")).but(model=SEVEN),
        asked(refused(MODEL, 403, "GatedRepo")).with_variables(HF_TOKEN="<set>").but(model=SEVEN),
        asked(refused(MODEL, 403)).with_variables(HF_TOKEN="<set>").but(model=SEVEN),
        asked(refused(MODEL, 401, "RepoNotFound")).but(model=UNKNOWN),
        asked(refused(MODEL, 404, "RepoNotFound")).with_variables(HF_TOKEN="<set>").but(model=UNKNOWN),
        asked(refused(MODEL, 403, "GatedRepo")).but(model=replace(SEVEN, source="cache")),
        asked(refused(MODEL, 410)).but(model=replace(UNKNOWN, name="o" * 96 + "/" + "m" * 96)),
    ],
    "NET013": [asked(refused(CATALOGUE, 404)), asked(refused(CATALOGUE, 405))],
    "NET014": [
        online(replace(HUB, fallback_seconds=3.0, fallback_family="IPv6")),
        online(replace(INDEX, resolve_seconds=5.01)),
    ],
    "NET015": [
        asked(refused(EXTRA, 500)),
        asked(replace(EXTRA, status="failed", stage="tls", error="no TLS")),
    ],
    "SYS042": [
        free(cache=10**10).but(model=SEVEN),
        machine().but(model=replace(SEVENTY, download_bytes=10**12)),
        free(cache=10**10).but(model=NAMED),
    ],
    "SYS043": [
        free(work=10**9, cache=10**9).but(model=replace(SEVEN, present_bytes=SEVEN.download_bytes)),
        free(work=14 * 10**9, cache=14 * 10**9).but(model=SEVEN),  # one disk, and the download comes first
    ],
    "SYS044": [
        machine().host(memory_limit_bytes=12 * 10**9).but(model=SEVEN),
        machine().host(memory_bytes=64 << 30).but(model=SEVENTY),
        machine().host(memory_bytes=16 << 30).but(model=replace(SEVENTY, is_pickled=True)),
    ],
    "SYS045": [
        machine().with_gpu(RTX_4090).but(model=SEVENTY),
        machine().with_gpu(RTX_4090, 4).but(model=SEVENTY),
        machine().with_gpu(RTX_4090).but(model=NAMED),
        machine().with_gpu(replace(H100, memory_bytes=12 * 10**9)).but(model=replace(SEVEN, bits=16)),
        machine().with_gpu(RTX_4090).but(model=replace(SEVENTY, is_quantized=True, weight_bytes=4 * 10**10)),
    ],
    "SYS050": [machine().host(cpu_count=64, cpu_limit=4.0), machine().host(cpu_count=8, cpu_limit=0.5)],
    "SYS051": [
        machine().but(disk_speeds=(DiskSpeed("work", "/home/user/work", 60e6, 128_000_000),)),
        machine().but(disk_speeds=(*FAST, DiskSpeed("cache", "/mnt/nfs/hub", 8e6, 16_000_000))),
    ],
    "SYS052": [
        with_jupyter(kernels=(OWN,)),
        with_jupyter(kernels=(OWN,), inside=True),
        with_jupyter("", kernels=(OTHER,)),
    ],
}

PASSING = {
    "NET010": [skewed(0.0, 1.0), skewed(-3600.0, 2.0), skewed(290.0)],  # one server's clock may be wrong
    "NET011": [asked(TOKEN)],
    "NET012": [asked(MODEL).but(model=SEVEN), asked(replace(MODEL, told="")).but(model=SEVEN)],
    "NET013": [asked(CATALOGUE)],
    "NET014": [online(), online(replace(HUB, fallback_seconds=0.002, fallback_family="IPv6"))],
    "NET015": [
        asked(EXTRA),
        asked(EXTRA, replace(EXTRA, status="skipped", stage="timeout", error="no answer")),
    ],
    "SYS042": [
        machine(),
        machine().but(model=SEVEN),
        free(cache=10**9).but(model=replace(SEVEN, source="cache", present_bytes=SEVEN.download_bytes)),
        free(cache=10**9).but(model=replace(SEVEN, source="folder", present_bytes=SEVEN.download_bytes)),
    ],
    "SYS043": [
        machine(),
        machine().but(model=SEVEN),
        free(work=3 * 10**9, cache=3 * 10**9).but(model=replace(SEVEN, present_bytes=SEVEN.download_bytes)),
    ],
    "SYS044": [machine(), machine().but(model=SEVEN)],
    "SYS045": [
        machine(),
        machine().with_gpu(RTX_4090),
        machine().but(model=SEVENTY),
        machine().with_gpu(RTX_4090).but(model=SEVEN),
        machine().with_gpu(RTX_4090).but(model=replace(SEVEN, bits=4)),
        machine().with_gpu(replace(H100, memory_bytes=6 * 10**9)).but(model=SEVEN),
    ],
    "SYS050": [
        machine(),
        machine().host(cpu_count=64, cpu_limit=32.0),
        machine().host(cpu_count=64, cpu_limit=4.0).with_variables(OMP_NUM_THREADS="4"),
    ],
    "SYS051": [machine().but(disk_speeds=FAST)],
    "SYS052": [
        with_jupyter(kernels=(OWN,), ipykernel="6.31.0"),
        with_jupyter(kernels=(Kernel("python3", "python"),), ipykernel="6.31.0"),
        with_jupyter(""),
    ],
}

SKIPPED = {
    "NET010": [online(), machine()],
    "NET011": [online(), asked(replace(TOKEN, status="skipped", stage="timeout", error="no answer"))],
    "NET012": [
        asked(refused(TOKEN, 401), refused(MODEL, 401)).with_variables(HF_TOKEN="<set>").but(model=SEVEN),
        asked(refused(MODEL, 403)).with_variables(HF_HUB_OFFLINE="1").but(model=SEVEN),
        online(),
        asked(refused(MODEL, 503)),
        asked(refused(MODEL, 429)),
    ],
    "NET013": [online(), asked(replace(CATALOGUE, status="skipped", error="the mirror wants a log-in"))],
    "NET014": [
        machine(),
        online(*(replace(silent(s, "name", "?"), connect_seconds=None) for s in (INDEX, HUB, GIT))),
    ],
    "NET015": [online(), asked(replace(EXTRA, status="skipped", stage="connection", error="refused"))],
    "SYS042": [machine().but(model=UNKNOWN), free(cache=10**9), machine().but(storage=())],
    "SYS043": [
        machine().but(model=UNKNOWN),
        free(work=10**8, cache=10**8),
        free(work=10**9, cache=10**9).but(model=SEVEN),  # the download itself does not fit, which SYS042 says
        machine().but(storage=()),
    ],
    "SYS044": [
        machine().but(model=UNKNOWN),
        machine().host(memory_bytes=4 << 30),
        machine().host(memory_bytes=0),
    ],
    "SYS045": [machine().but(model=UNKNOWN), machine().without_gpu()],
    "SYS050": [machine().host(cpu_count=0)],
    "SYS051": [
        machine(),
        machine().but(disk_speeds=(DiskSpeed("work", error="the folder is not writable"),)),
    ],
    "SYS052": [machine(), with_jupyter(kernels=(OTHER,), ipykernel="6.31.0")],  # the second is CFG023's
}
