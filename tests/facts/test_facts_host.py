"""Host, storage, toolkit, variables and Jupyter on machines made of files, and the real limits of a child."""

import json
import subprocess
import sys
from pathlib import Path

import fakes
import pytest

from envdoc.doctor.facts.host import host
from envdoc.doctor.facts.jupyter import jupyter
from envdoc.doctor.facts.snapshot import Interpreter, Package
from envdoc.doctor.facts.storage import hub_cache, storage
from envdoc.doctor.facts.toolkit import toolkit
from envdoc.doctor.facts.variables import ALLOWED, SECRETS, variables

GIB = 1 << 30


def test_distribution_kernel_and_memory(bare_machine):
    """They are read below ENVDOC_ROOT, in bytes."""
    files = {
        "/proc/meminfo": "MemTotal:       24684100 kB\nMemFree: 1 kB\n",
        "/proc/sys/kernel/osrelease": "6.1.0-18\n",
    }
    fakes.machine(bare_machine, files)
    told = host({})
    assert ("Debian GNU/Linux 12 (bookworm)", "6.1.0-18", 24684100 * 1024) == (
        told.distribution,
        told.kernel,
        told.memory_bytes,
    )
    assert not told.is_wsl


def test_wsl_by_its_kernel(bare_machine):
    """Microsoft's kernel names itself."""
    fakes.machine(bare_machine, {"/proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"})
    assert host({}).is_wsl


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({}, {}, ""),
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": "engine=podman\n"}, {}, "podman"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "service"}, "kubernetes"),
        ({"/proc/self/cgroup": "0::/kubepods.slice/kubepods-burstable.slice/cri-1\n"}, {}, "kubernetes"),
        ({"/proc/self/cgroup": "12:memory:/docker/0123abcd\n"}, {}, "docker"),
        ({"/proc/self/cgroup": "0::/system.slice/docker-0123456789abcdef.scope\n"}, {}, "docker"),
        ({"/proc/self/cgroup": "0::/system.slice/docker.service\n"}, {}, ""),
        ({"/proc/1/cgroup": "1:name=systemd:/machine.slice/libpod-01.scope\n"}, {}, "podman"),
        ({"/proc/1/environ": "PATH=/bin\0container=lxc\0HOME=/root\0"}, {}, "lxc"),
        ({"/proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n"}, {}, ""),
        ({"/proc/self/cgroup": "0::/user.slice/app-docker-desktop-1.scope\n"}, {}, ""),
    ],
)
def test_containers_by_what_they_leave_behind(bare_machine, files, environ, expected):
    """Each kind has its own mark; a program called docker on a bare machine is none."""
    fakes.machine(bare_machine, files)
    assert expected == host(environ).container


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": f"{8 * GIB}\n"}, 8 * GIB),
        (  # the tightest of the group and those above it
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
                "/sys/fs/cgroup/a/b/memory.max": f"{6 * GIB}\n",
            },
            4 * GIB,
        ),
        (  # version 1 in a container: the path is the host's, the mount is the container's
            {
                "/proc/self/cgroup": "9:cpuset:/docker/01\n5:memory:/docker/01\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            },
            2 * GIB,
        ),
        (
            {
                "/proc/self/cgroup": "5:memory:/\n0::/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
        ),
    ],
)
def test_memory_limits_of_control_groups(bare_machine, files, expected):
    """Both versions; "max" and version 1's largest number are no limit."""
    fakes.machine(bare_machine, files)
    assert expected == host({}).memory_limit_bytes


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            2.0,
        ),
        (
            {
                "/proc/self/cgroup": "4:cpu,cpuacct:/docker/01\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4.0,
        ),
        (  # version 1 writes -1 where there is no limit
            {
                "/proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_processor_limits_of_control_groups(bare_machine, files, expected):
    """A container that may use 1.5 of 64 processors still sees 64 of them; the quota tells."""
    fakes.machine(bare_machine, files)
    assert expected == host({}).cpu_limit


def told_in_a_child(before, expression, **variables):
    """What `expression` over this machine's Host is in a child that first runs `before`."""
    code = (
        f"{before}\nimport os; from envdoc.doctor.facts.host import host\nh = host(os.environ)\n"
        f"import json; print(json.dumps({expression}))"
    )
    environ = {"PATH": "/usr/bin:/bin", **variables}
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    return json.loads(child.stdout)


def test_real_limits_of_this_process():
    """ulimit -v, ulimit -n and the set of processors are those of the process."""
    before = (
        "import resource, os; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (123, 123))\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    )
    told = told_in_a_child(before, "[h.address_space_limit_bytes, h.open_files_limit, h.cpu_count]")
    assert [8 << 30, 123, 1] == told
    assert None is told_in_a_child("", "h.address_space_limit_bytes")


def test_the_encoding_of_an_ascii_locale():
    """What open() uses in that locale, told by its name."""
    ascii_names = ("ANSI_X3.4-1968", "US-ASCII")
    assert told_in_a_child("", "h.locale_encoding", LC_ALL="POSIX", PYTHONUTF8="0") in ascii_names
    assert "utf-8" == told_in_a_child("", "h.locale_encoding", LC_ALL="C.UTF-8").lower()


MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs {tmp} tmpfs rw,nosuid,nodev,noexec 0 0
server:/home {home} nfs4 rw 0 0
over {home}\\040of\\040me fuse rw 0 0
tmpfs /dev/shm tmpfs rw,nosuid 0 0
"""


def test_each_folder_with_its_file_system(bare_machine, tmp_path):
    """The deepest mount decides; noexec is read from its options; a mount whose name only begins alike is another."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    fakes.machine(
        bare_machine, {"/proc/self/mounts": MOUNTS.format(tmp=temporary, home=home), "/dev/shm/x": ""}
    )
    environ = {"HOME": str(home), "TMPDIR": str(temporary), "ENVDOC_HOME": str(tmp_path / "envdoc")}
    places = {place.purpose: place for place in storage(environ, tmp_path)}
    assert ["home", "cache", "tmp", "work", "envdoc", "shm"] == list(places)
    assert ("nfs4", False, True) == (places["home"].file_system, places["home"].noexec, places["home"].exists)
    assert ("tmpfs", True) == (places["tmp"].file_system, places["tmp"].noexec)
    assert ("ext4", False) == (places["work"].file_system, places["work"].noexec)
    assert ("/dev/shm", "tmpfs", True) == (
        places["shm"].path,
        places["shm"].file_system,
        places["shm"].exists,
    )
    for place in places.values():
        assert 0 < place.free_bytes <= place.total_bytes


def test_a_folder_that_is_not_there_yet_has_the_room_above_it(tmp_path):
    """The cache of a new user does not exist, and can be written all the same."""
    (cache,) = [s for s in storage({"HOME": str(tmp_path)}, tmp_path) if s.purpose == "cache"]
    assert (str(tmp_path / ".cache/huggingface/hub"), False, True) == (
        cache.path,
        cache.exists,
        cache.writable,
    )
    assert cache.free_bytes > 0


def test_a_home_that_is_not_there(tmp_path):
    """A HOME that leads nowhere is told as it is."""
    gone = str(tmp_path / "gone" / "home")
    place = storage({"HOME": gone}, tmp_path)[0]
    assert (gone, False) == (place.path, place.exists)


def test_a_mount_point_with_a_space(bare_machine, tmp_path):
    r"""The kernel's \040 is a space."""
    home = tmp_path / "home of me"
    home.mkdir()
    fakes.machine(bare_machine, {"/proc/self/mounts": MOUNTS.format(tmp="/x", home=tmp_path / "home")})
    assert "fuse" == storage({"HOME": str(home)}, tmp_path)[0].file_system


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/me/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/cache", "HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"}, "/new"),
    ],
)
def test_where_models_are_kept(environ, expected):
    """The precedence is huggingface_hub's."""
    assert Path(expected) == hub_cache(environ, Path("/home/me"))


def test_the_cache_is_where_huggingface_hub_has_it(patient, tmp_path):
    """The real library agrees, for every variable that leads it."""
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    for variable in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE", "UNRELATED"):
        environ = {"HOME": str(tmp_path), variable: "/somewhere"}
        child = subprocess.run(
            [str(patient), "-I", "-c", code], capture_output=True, text=True, check=True, env=environ
        )
        assert child.stdout.strip() == str(hub_cache(environ, tmp_path)), variable


def test_a_toolkit_with_headers_is_read(tmp_path):
    """CUDA_HOME leads; the version is that of cuda.h, and nvcc is not run."""
    fakes.program(tmp_path / "cuda" / "bin", "nvcc", f"touch {tmp_path}/asked")
    (tmp_path / "cuda" / "include").mkdir()
    (tmp_path / "cuda" / "include" / "cuda.h").write_text("/**/\n#define CUDA_VERSION 12040\n")
    told = toolkit({"CUDA_HOME": str(tmp_path / "cuda"), "PATH": "/usr/bin:/bin"})
    assert (str(tmp_path / "cuda/bin/nvcc"), "12.4") == (told.nvcc, told.version)
    assert (str(tmp_path / "cuda"), True) == (told.cuda_home, told.cuda_home_exists)
    assert not (tmp_path / "asked").exists()


def test_an_nvcc_without_a_toolkit_around_it_is_asked(tmp_path):
    """A wrapper on PATH tells its release."""
    fakes.program(tmp_path / "bin", "nvcc", "echo 'Cuda compilation tools, release 11.8, V11.8.89'")
    told = toolkit({"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
    assert (str(tmp_path / "bin/nvcc"), "11.8") == (told.nvcc, told.version)


def test_a_cuda_home_that_is_gone(tmp_path):
    """It is told as it is set, and that it is not there."""
    told = toolkit({"CUDA_HOME": str(tmp_path / "gone"), "PATH": ""})
    assert (str(tmp_path / "gone"), False) == (told.cuda_home, told.cuda_home_exists)


def test_the_host_compiler(tmp_path):
    """CC leads, with its flags cut off; an empty PATH has none."""
    fakes.program(tmp_path, "my-cc", "echo 13.2.0")
    told = toolkit({"CC": "my-cc -O2", "PATH": str(tmp_path)})
    assert (str(tmp_path / "my-cc"), "13.2.0") == (told.host_compiler, told.host_compiler_version)
    assert ("", "") == (toolkit({"PATH": ""}).host_compiler, toolkit({"PATH": ""}).host_compiler_version)


def test_the_real_compiler_of_this_machine():
    """gcc's own version is what it prints when asked."""
    expected = subprocess.run(
        ["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert expected == toolkit({"PATH": "/usr/bin:/bin"}).host_compiler_version


def test_variables_by_list_and_without_secrets():
    """What is not listed is not kept; an empty value is; a secret is only told to be set; credentials are cut out."""
    environ = {
        "CUDA_VISIBLE_DEVICES": "",
        "PYTORCH_SECRET_TOKEN": "abc",
        "CUDA_FOO": "1",
        "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz",
        "WANDB_API_KEY": "",
        "HTTPS_PROXY": "https://me:hunter2@proxy:3128",
        "PIP_INDEX_URL": "https://mirror/simple?token=hunter2&x=1",
    }
    assert {
        "CUDA_VISIBLE_DEVICES": "",
        "HTTPS_PROXY": "https://<redacted>@proxy:3128",
        "PIP_INDEX_URL": "https://mirror/simple?token=<redacted>&x=1",
        "HF_TOKEN": "<set>",
    } == variables(environ)


def test_the_list_of_variables_is_sound():
    """Each has a reason, none is there twice, none of them is a secret."""
    names = [name for name, _ in ALLOWED]
    assert len(names) == len(set(names))
    assert all(reason for _, reason in ALLOWED)
    assert not [n for n in names if n in SECRETS or any(w in n for w in ("SECRET", "PASSW", "API_KEY"))]


@pytest.fixture
def kernels(tmp_path):
    """A home and a virtual environment that both have a kernel `python3`; a spec that is no JSON."""
    own, target = tmp_path / ".local/share/jupyter/kernels", tmp_path / "venv/share/jupyter/kernels"
    for folder, name, spec in (
        (own, "python3", '{"argv": ["/old/python", "-m"]}'),
        (target, "python3", '{"argv": ["/bin/sh"]}'),
        (target, "Torch", '{"argv": ["python"]}'),
        (target, "broken", "{"),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "kernel.json").write_text(spec)
    return tmp_path


def told_kernels(told):
    """Name, interpreter and whether it is there, of the test's own kernels."""
    mine = [one for one in told.kernels if one.name in ("python3", "broken", "torch")]
    return [(one.name, one.interpreter, one.exists) for one in mine]


def test_kernels_and_the_notebook_around_us(kernels):
    """Outside environments the user's kernel hides one of the same name further on."""
    packages = [Package("ipykernel", "6.29"), Package("notebook", "7.2"), Package("notebook", "6.0")]
    target = Interpreter(prefix=str(kernels / "venv"))
    told = jupyter({"HOME": str(kernels), "JPY_PARENT_PID": "1"}, target, packages)
    assert ("7.2", True) == (told.version, told.inside)
    assert [
        ("python3", "/old/python", False),
        ("broken", "", None),
        ("torch", "python", None),
    ] == told_kernels(told)


def test_an_environments_own_kernels_come_first(kernels):
    """As jupyter_core 5 has it, unless JUPYTER_PREFER_ENV_PATH says no; JUPYTER_PATH goes before both."""
    target = Interpreter(prefix=str(kernels / "venv"), is_virtual_environment=True)
    home = {"HOME": str(kernels)}
    assert ("python3", "/bin/sh", True) in told_kernels(jupyter(home, target, []))
    assert ("python3", "/old/python", False) in told_kernels(
        jupyter({**home, "JUPYTER_PREFER_ENV_PATH": "0"}, target, [])
    )
    spec = kernels / "first/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["/first/python"]}')
    told = jupyter({**home, "JUPYTER_PATH": str(kernels / "first")}, target, [])
    assert ("python3", "/first/python", False) in told_kernels(told)


def test_the_jupyter_on_path_brings_its_own_kernels(kernels):
    """Its Python stands for a bare `python` in a spec, and its folder is searched."""
    programs = kernels / "venv/bin"
    programs.mkdir()
    (programs / "jupyter").write_text(f"#!{programs}/python\n")
    (programs / "jupyter").chmod(0o755)
    told = jupyter({"HOME": "/nonexistent", "PATH": str(programs)}, Interpreter(prefix="/other"), [])
    assert f"{programs}/python" == told.server_python
    assert ("torch", "python", None) in told_kernels(told)


def test_no_jupyter_at_all(tmp_path):
    """Nothing is claimed."""
    told = jupyter({"HOME": str(tmp_path)}, Interpreter(), [])
    assert ("", False) == (told.version, told.inside)
