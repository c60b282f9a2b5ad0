"""A user's lock as text: the header that `fix` reads, then what pip installs; and what changed since the last one."""

import difflib
from typing import List, Sequence

from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.user_lock import FORMAT
from envdoc.doctor.fix.user_pins import CUDA_SECTION, Pin, pin_lines, pins_sha256
from envdoc.doctor.lock.additions import Additions
from envdoc.doctor.version import envdoc_version

UNPROVED = "not yet"


def lock_text(profile: Profile, base: str, additions: Additions, pins: Sequence[Pin]) -> str:
    """The whole file for that profile, whose `probe` and sizes are told as they stand."""
    rows = [
        ("envdoc-lock", FORMAT),
        ("made-by", f"envdoc lock (envdoc {envdoc_version()}); do not edit, `envdoc lock` makes it anew"),
        ("title", profile.title),
        ("base-profile", base),
        *(("addition", text) for text in additions.arguments),
        *(("additions-file", text) for text in additions.files),
        ("python", profile.python),
        ("machine", profile.machine),
        ("glibc", profile.glibc),
        ("torch", profile.torch),
        ("cuda", profile.cuda),
        ("driver-exact", profile.driver_exact),
        ("driver-minor", profile.driver_minor),
        ("torch-architectures", " ".join(profile.torch_architectures)),
        ("bitsandbytes-architectures", " ".join(profile.bitsandbytes_architectures)),
        ("download-bytes", profile.download_bytes),
        ("venv-bytes", profile.venv_bytes),
    ]
    build = profile.cpu_build
    if build is not None:
        rows += [
            ("cpu-build-sha256", build.requirement.rsplit(":", 1)[1]),
            ("cpu-build-download-bytes", build.download_bytes),
            ("cpu-build-venv-bytes", build.venv_bytes),
        ]
    rows += [("date", profile.date), ("probe", profile.probe), ("pins-sha256", pins_sha256(pins))]
    text = "".join(f"# {key}: {' '.join(str(value).split())}".rstrip() + "\n" for key, value in rows)
    text += "--only-binary :all:\n" + pin_lines([pin for pin in pins if not pin.is_cuda])
    cuda = [pin for pin in pins if pin.is_cuda]
    return text + (f"{CUDA_SECTION}\n{pin_lines(cuda)}" if cuda else "")


def pins_diff(before: Sequence[Pin], after: Sequence[Pin], file: str) -> str:
    """A unified diff of the versions; empty where none changed."""
    old, new = _versions(before), _versions(after)
    return "".join(difflib.unified_diff(old, new, f"{file} (before)", file, n=0))


def _versions(pins: Sequence[Pin]) -> List[str]:
    return sorted(f"{pin.name}=={pin.version}\n" for pin in pins)
