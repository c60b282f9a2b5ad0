"""Limits, processor, memory that is left, driver files and what variables name, on machines made of files."""

import os
import subprocess
import sys

import fakes
import pytest

from envdoc.doctor.facts import smi
from envdoc.doctor.facts.driver import ask_libraries
from envdoc.doctor.facts.driver_files import driver_files
from envdoc.doctor.facts.gpu import health
from envdoc.doctor.facts.named_things import named_things, token_shape
from envdoc.doctor.facts.snapshot import (
    DriverLibrary,
    GpuHealth,
    Interpreter,
    NamedPath,
    Package,
)
from envdoc.doctor.facts.surrounding_limits import accelerate_config
from envdoc.doctor.facts.system import system

GIB = 1 << 30


def told(environ=None):
    """The system of this machine below ENVDOC_ROOT."""
    return system({"HOME": "/nonexistent", **(environ or {})}, Interpreter())


def test_processor_by_its_first_block(bare_machine):
    """Model and features are told; a processor with none of them is another thing than one that tells nothing."""
    assert ("", None) == (told().cpu_model, told().cpu_flags)
    text = "processor\t: 0\nmodel name\t: QEMU Virtual CPU version 2.5+\nflags\t\t: fpu sse2 avx\nbugs\t:\n"
    fakes.machine(bare_machine, {"/proc/cpuinfo": text})
    assert ("QEMU Virtual CPU version 2.5+", ("avx",)) == (told().cpu_model, told().cpu_flags)
    fakes.machine(bare_machine, {"/proc/cpuinfo": text.replace(" avx", "")})
    assert () == told().cpu_flags


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max\n", "memory.current": f"{GIB}\n"}, 8 * GIB),
        ({"memory.max": f"{4 * GIB}\n", "memory.current": f"{3 * GIB}\n"}, GIB),
        (  # what files are cached with can be had back
            {
                "memory.max": f"{4 * GIB}\n",
                "memory.current": f"{3 * GIB}\n",
                "memory.stat": f"anon 1\ninactive_file {GIB}\nactive_file {GIB // 2}\nslab_reclaimable 0\n",
            },
            2 * GIB + GIB // 2,
        ),
    ],
)
def test_memory_that_is_left(bare_machine, group, expected):
    """Of the machine, or of the control group where that leaves less."""
    files = {f"/sys/fs/cgroup/{name}": text for name, text in group.items()}
    meminfo = f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {8 * GIB // 1024} kB\n"
    fakes.machine(bare_machine, {"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", **files})
    assert expected == told().memory_available_bytes


def test_processes_huge_pages_and_overcommit(bare_machine):
    """Numbers of small files, in bytes where the kernel says kB."""
    files = {
        "/proc/self/cgroup": "0::/a\n",
        "/sys/fs/cgroup/a/pids.max": "100\n",
        "/sys/fs/cgroup/a/pids.current": "30\n",
        "/sys/fs/cgroup/pids.max": "max\n",
        "/proc/sys/vm/overcommit_memory": "2\n",
        "/proc/meminfo": "CommitLimit: 3000 kB\nCommitted_AS: 1000 kB\nHugePages_Total: 5\nHugepagesize: 2048 kB\n",
        "/sys/class/net/lo/mtu": "65536\n",
        "/sys/class/net/eth0/mtu": "1500\n",
    }
    fakes.machine(bare_machine, files)
    found = told()
    assert (70, 2, 2000 * 1024, 5 * 2048 * 1024) == (
        found.processes_left,
        found.overcommit_memory,
        found.commit_left_bytes,
        found.huge_pages_bytes,
    )
    assert ("eth0", "lo") == found.network_interfaces


def test_soft_limits_of_this_process():
    """What `ulimit` sets is told, in bytes and seconds; "unlimited" is not."""
    code = (
        "from envdoc.doctor.facts.system import system; from envdoc.doctor.facts.snapshot import Interpreter; "
        "print(system({}, Interpreter()).limits)"
    )
    command = ["/bin/sh", "-c", 'ulimit -t 1800; ulimit -f 2048; exec "$@"', "sh", sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    limits = eval(output)
    assert (1800, 2048 * 512) == (limits["cpu"], limits["fsize"])
    assert "data" not in limits


def test_driver_libraries_by_their_links(bare_machine):
    """The version is that of the file behind the link; a link that leads nowhere is told as such."""
    folder = bare_machine / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (folder / "libcuda.so.580.95.05").write_text("ELF")
    (folder / "libcuda.so.1").symlink_to("libcuda.so.580.95.05")
    (folder / "libnvidia-ml.so.1").symlink_to("libnvidia-ml.so.535.183.01")
    name = "/usr/lib/x86_64-linux-gnu/"
    assert (
        DriverLibrary(name + "libcuda.so.1", "580.95.05"),
        DriverLibrary(name + "libnvidia-ml.so.1", "535.183.01", False),
    ) == driver_files({}).libraries


def test_an_empty_library_is_none(bare_machine, tmp_path):
    """`docker commit` leaves files of no size where the host's libraries were laid in."""
    (tmp_path / "libcuda.so.1").write_text("")
    found = driver_files({"LD_LIBRARY_PATH": str(tmp_path)}).libraries
    assert (DriverLibrary(f"{tmp_path}/libcuda.so.1", "", False),) == found


def test_modules_on_disk_where_none_is_loaded(bare_machine):
    """Which kernels have the module; with one loaded nobody looks."""
    files = {
        "/proc/sys/kernel/osrelease": "6.8.0-60-generic\n",
        "/lib/modules/6.8.0-60-generic/modules.dep": "kernel/fs/ext4/ext4.ko: x\nkernel/net/nvidiafb.ko:\n",
        "/lib/modules/6.8.0-48-generic/modules.dep": "updates/dkms/nvidia.ko.zst: kernel/video.ko\n",
        "/lib/modules/6.1.0-18-amd64/modules.dep": "updates/dkms/nvidia-current.ko: x\n",
    }
    fakes.machine(bare_machine, files)
    found = driver_files({})
    assert (False, ("6.1.0-18-amd64", "6.8.0-48-generic")) == (found.has_module, found.kernels_with_module)
    fakes.machine(bare_machine, driver="580.95.05")
    assert (None, ()) == (driver_files({}).has_module, driver_files({}).kernels_with_module)


def test_secure_boot_and_the_loaders_cache(bare_machine):
    """The fifth byte of the firmware's variable; names in ldconfig's cache end with a zero."""
    name = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    release = "6.8.0-60-generic"
    fakes.machine(
        bare_machine,
        {"/proc/sys/kernel/osrelease": release, f"/lib/modules/{release}/modules.dep": "x/nvidia.ko: y\n"},
    )
    assert None is driver_files({}).secure_boot
    path = bare_machine / "sys/firmware/efi/efivars" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x06\x00\x00\x00\x01")
    assert (True, True, None) == (
        driver_files({}).secure_boot,
        driver_files({}).has_module,
        driver_files({}).in_loader_cache,
    )
    (bare_machine / "etc/ld.so.cache").write_bytes(
        b"glibc-ld.so.cache1.1\0libcuda.so.1\0/usr/lib/libcuda.so.1\0"
    )
    assert True is driver_files({}).in_loader_cache


def test_health_of_a_gpu_as_nvml_tells_it(bare_machine, monkeypatch):
    """Heat, power, reasons for slowing down, rows that wait; and which names in CUDA_VISIBLE_DEVICES fit no UUID."""
    for name, value in {
        **fakes.driver_variables((fakes.H100, fakes.RTX_4090)),
        "FAKE_THROTTLE": "0x4c",
        "FAKE_TEMPERATURE": "91",
        "FAKE_POWER_LIMIT": "300",
        "FAKE_REMAP_PENDING": "1",
        "CUDA_VISIBLE_DEVICES": "GPU-00000001,GPU-beef",
    }.items():
        monkeypatch.setenv(name, value)
    answers = ask_libraries()
    expected = GpuHealth(0, 91, 87, 300.0, 700.0, ("thermal",), True, False)
    assert expected == health(answers.health)[0]
    assert (1, (1,)) == (health(answers.health)[1].index, answers.values["unmatched"])


def test_mig_instances_are_counted(bare_machine, monkeypatch):
    """Each with its memory; a GPU in MIG mode without any has an empty list, and others have none."""
    row = fakes.H100.replace("|0|1|0|0|", "|1|1|0|0|")
    for name, value in {**fakes.driver_variables((row,)), "FAKE_MIG_SIZES": "9728,19968"}.items():
        monkeypatch.setenv(name, value)
    assert (9728 << 20, 19968 << 20) == health(ask_libraries().health)[0].mig_memory_bytes
    monkeypatch.setenv("FAKE_MIG_SIZES", "")
    assert () == health(ask_libraries().health)[0].mig_memory_bytes
    monkeypatch.setenv("FAKE_GPUS", fakes.H100)
    assert None is health(ask_libraries().health)[0].mig_memory_bytes


def test_an_nvidia_smi_that_prints_its_table_alone(tmp_path):
    """Driver, CUDA and names are read from what people read."""
    body = """cat <<'END'
| NVIDIA-SMI 470.57.02    Driver Version: 470.57.02    CUDA Version: 11.4     |
|   0  Tesla P100-PCIE...  Off  | 00000000:04:00.0 Off |                    0 |
| N/A   34C    P0    26W / 250W |      0MiB / 16280MiB |      0%      Default |
|   1  NVIDIA GeForce RTX 3090          On  | 00000000:05:00.0 Off |     N/A |
END"""
    version, gpus, problem, cuda = smi.ask(str(fakes.program(tmp_path, "nvidia-smi", body)))
    assert ("470.57.02", "11.4", "") == (version, cuda, problem)
    assert ["Tesla P100-PCIE...", "NVIDIA GeForce RTX 3090"] == [gpu.name for gpu in gpus]


def test_an_nvidia_smi_that_tells_nothing(tmp_path):
    """What it said is the problem."""
    body = "echo 'No devices were found'; exit 6"
    version, gpus, problem, cuda = smi.ask(str(fakes.program(tmp_path, "nvidia-smi", body)))
    expected = "`nvidia-smi` ended with exit status 6 and told no GPU: No devices were found"
    assert ("", (), expected, "") == (version, gpus, problem, cuda)


def test_paths_that_variables_name(bare_machine, tmp_path):
    """Only those with a problem; a folder that can be made has none."""
    (tmp_path / "file").write_text("")
    mounts = f"/dev/vda / ext4 rw 0 0\ntmpfs {tmp_path.resolve()}/k tmpfs rw,noexec 0 0\n"
    fakes.machine(bare_machine, {"/proc/self/mounts": mounts})
    (tmp_path / "k").mkdir()
    environ = {
        "HOME": str(tmp_path),
        "SSL_CERT_FILE": str(tmp_path / "gone.pem"),
        "REQUESTS_CA_BUNDLE": str(tmp_path),  # requests takes a folder
        "CURL_CA_BUNDLE": "",
        "PIP_CONSTRAINT": f"{tmp_path}/file https://example.org/constraints.txt",
        "HF_HOME": str(tmp_path / "file"),
        "HF_HUB_CACHE": str(tmp_path / "to" / "be" / "made"),
        "TRITON_CACHE_DIR": str(tmp_path / "k" / "triton"),
    }
    assert (
        NamedPath("SSL_CERT_FILE", "missing", str(tmp_path / "gone.pem")),
        NamedPath("HF_HOME", "not a folder", str(tmp_path / "file")),
        NamedPath("TRITON_CACHE_DIR", "noexec", str(tmp_path / "k" / "triton")),
    ) == named_things(environ).paths


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567", ""),
        (" hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567\n", ""),  # the hub strips these
        ("a-mirror's-own-token", ""),
        ("", ""),
        ('"hf_abcdefgh"', "quoted"),
        ("Bearer hf_abcdefgh", "bearer"),
        ("hf_xxxxxxxxxxxx", "placeholder"),
        ("hf_your_token_here", "placeholder"),
        ("<your token>", "placeholder"),
        ("${HF_TOKEN}", "placeholder"),
        ("None", "placeholder"),
        ("hf_abc def", "whitespace"),
        ("hf_абв", "not ASCII"),
        ("/run/secrets/token", "path"),
    ],
)
def test_tokens_by_their_shape(value, expected):
    """Sound ones have none, whoever issued them."""
    assert expected == token_shape(value)


def test_no_secret_is_kept():
    """Of a token only the shape is in the snapshot."""
    assert "hunter2" not in repr(named_things({"HOME": "/", "HF_TOKEN": "'hunter2'"}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("distributed_type: 'NO'\n", ""),
        ("---\n# written by hand\ndistributed_type: 'NO'\ntpu_env: []\n", ""),
        ('{"distributed_type": "NO"}\n', ""),
        ("", "it is empty"),
        ("---\n# nothing\n", "it is empty"),
        ("fsdp_config:\n\tfsdp_version: 2\n", "line 2 is indented by a tab"),
        ("<<<<<<< HEAD\nnum_processes: 1\n", "line 1 is a mark of a merge conflict"),
        ("hello world\n", "it has no key"),
    ],
)
def test_accelerates_configuration_that_is_none(tmp_path, text, problem):
    """What no reader of YAML takes for a mapping; nothing is said of what is doubtful."""
    folder = tmp_path / "huggingface" / "accelerate"
    folder.mkdir(parents=True)
    (folder / "default_config.yaml").write_text(text)
    config = accelerate_config({"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    assert problem == config.problem


def test_accelerates_keys_come_from_its_source(patient, tmp_path):
    """A configuration that this very release writes has no unknown key; the keys of both classes are known."""
    site = next((patient.parent.parent / "lib").glob("python3.*/site-packages"))
    (tmp_path / "accelerate").mkdir()
    text = "compute_environment: LOCAL_MACHINE\ndeepspeed_config:\n  deepspeed_config_file: /gone/ds.json\n"
    text += "rdzv_backend: static\n"
    (tmp_path / "accelerate" / "default_config.yaml").write_text(text)
    package = Package("accelerate", "1.15.0", str(site))
    config = accelerate_config({"HF_HOME": str(tmp_path)}, tmp_path, (package,))
    assert ("compute_environment", "deepspeed_config", "rdzv_backend") == config.keys
    assert set() == set(config.keys) - set(config.known_keys)
    assert ("deepspeed_config_file: /gone/ds.json",) == config.missing_files


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file to somebody else")
def test_root_has_no_foreign_entries(tmp_path):
    """Nothing is closed to root."""
    cache = tmp_path / "hub" / "models--a--b"
    cache.mkdir(parents=True)
    os.chown(cache, 1234, 1234)
    assert 0 == told({"HF_HUB_CACHE": str(tmp_path / "hub")}).foreign_cache_entries
