"""Comparing versions: number by number for drivers and CUDA, by PEP 440 for packages."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Optional, Tuple

if TYPE_CHECKING:  # packaging costs 30 ms to import, which a quick check of the driver alone need not pay
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

_NUMBER = re.compile(r"\d+")
_SOURCE_BUILD = re.compile(r"(\d+(?:\.\d+)+)a0(\+[\w.]+)?$")
_LOCAL = re.compile(r"\+[A-Za-z0-9.]+")


def numbers(text: str) -> Tuple[int, ...]:
    """The leading dotted numbers of a driver, CUDA, glibc or capability version: "580.95.05" is (580, 95, 5).

    Empty where the text starts with no number: a version that was not told is older than none.
    """
    head = re.match(r"[\d.]*", text.strip())
    return tuple(int(number) for number in _NUMBER.findall(head.group() if head else ""))


@lru_cache(maxsize=None)
def parsed(version: str) -> "Optional[Version]":
    """The PEP 440 version, or None where the text is none (a legacy version such as "1.0-custom-build")."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version)
    except InvalidVersion:
        return None


@lru_cache(maxsize=None)
def specifiers(text: str) -> "Optional[SpecifierSet]":
    """The PEP 440 specifier set, or None where the text is none."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=None)
def satisfies(version: str, specifier: str) -> bool:
    """True where the version fits the specifier, pre-releases included ("2.13.0+cpu" fits ">=2.6").

    A version or a specifier that PEP 440 cannot read fits everything: what cannot be judged is not blamed.
    """
    known, wanted = parsed(version), specifiers(specifier)
    return known is None or wanted is None or wanted.contains(known, prereleases=True)


@lru_cache(maxsize=None)
def fits(version: str, specifier: str) -> bool:
    """`satisfies`, with a build of the source before a release ("2.9.0a0+145a3a7bda.nv25.10") taken for that release.

    NVIDIA's containers and wheels for Jetson carry such versions, which PEP 440 places below 2.9.0. Whether a program
    refuses them is the program's matter: transformers does, by `satisfies`; metadata means the release.
    """
    release = source_build(version)
    if satisfies(version, specifier) or not release:
        return satisfies(version, specifier)
    plain = _LOCAL.sub("", specifier)
    return satisfies(release, plain) or satisfies(release + "a0", plain)


def source_build(version: str) -> str:
    """The release that a build of its source leads to: "2.9.0" for "2.9.0a0+145a3a7bda.nv25.10"; else empty."""
    match = _SOURCE_BUILD.match(version)
    return match.group(1) if match else ""


@lru_cache(maxsize=None)
def public(version: str) -> str:
    """The version without its local label: "2.0.1+cu117" is "2.0.1"."""
    return version.split("+", 1)[0]
