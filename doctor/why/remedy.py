"""The remedy of an advisory as commands for the machine that the facts describe: its interpreter, its system."""

import re
from typing import Any, List, Mapping, Tuple

from envdoc.doctor.advisories import Advisory
from envdoc.doctor.advisories.told import mapping, system

_FIX = "envdoc fix"
_PYTHON = re.compile(r"^python3? (?=-m |-c )")
_EXPORT = re.compile(r"^export (\w+)=(.+)$")
_LINUX_ONLY = re.compile(
    r"^(?:sudo|apt|apt-get|dnf|yum|ldd|df|free|lsmod|systemctl|modprobe|docker run|mount|ulimit|ls|rm|sed|grep|unset)\b"
)
_DEBIAN = re.compile(r"^(sudo )?apt(?:-get)? install (?:-y )?")
_PLAIN_WORD = re.compile(r"^[\w./~+-]+$")


def remedy(advisory: Advisory, facts: Mapping[str, Any]) -> Tuple[str, ...]:
    """The advice, then the commands that this system has; those that begin with `python` name the target's."""
    names = system(facts)
    commands: List[str] = []
    for command in advisory.remedy.commands:
        commands += _for_system(command, names, facts)
    return (advisory.remedy.advice, *dict.fromkeys(commands))


def _for_system(command: str, names: Tuple[str, ...], facts: Mapping[str, Any]) -> List[str]:
    if command.startswith(_FIX) and names and "linux" not in names:
        return []  # every lockfile is for Linux
    export = _EXPORT.match(command)
    if names == ("windows",):
        if export:
            return [f"set {export.group(1)}={export.group(2)}"]
        return [] if _LINUX_ONLY.match(command) else [_with_python(command, facts)]
    if names == ("macos",) and _DEBIAN.match(command):
        return []
    if _DEBIAN.match(command):
        distribution = str(mapping(facts, "host").get("distribution") or facts.get("platform") or "").lower()
        if re.search(r"red hat|rhel|rocky|alma|centos|fedora", distribution):
            words = _DEBIAN.sub(lambda match: f"{match.group(1) or ''}dnf install -y ", command)
            return [words.replace("-dev", "-devel").replace("build-essential", "gcc gcc-c++ make")]
    return [_with_python(command, facts)]


def _with_python(command: str, facts: Mapping[str, Any]) -> str:
    path = str(mapping(facts, "interpreter").get("path") or "")
    if path and _PLAIN_WORD.match(path):
        return _PYTHON.sub(lambda match: f"{path} ", command)
    return command
