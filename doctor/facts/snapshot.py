"""The snapshot: one frozen tree with everything that rules may know about a machine.

Every field has a default that means "not told", so that a snapshot of a machine where a collector failed, or
one from an older envdoc, still loads. JSON in and out are exact: `from_json(to_json(s)) == s`.
"""

import dataclasses
import json
from dataclasses import field
from functools import cached_property
from typing import Dict, Optional, Tuple

from envdoc.doctor.errors import SnapshotError
from envdoc.doctor.facts.codec import build
from envdoc.doctor.facts.snapshot_environment import (
    BitsandbytesBuild,
    BitsandbytesLibrary,
    Distribution,
    FileFault,
    Integrity,
    Interpreter,
    Jupyter,
    Kernel,
    Package,
    PthProblem,
    SharedFiles,
    TorchBuild,
    TransformersBuild,
)
from envdoc.doctor.facts.snapshot_extensions import Extension, ExtensionLibrary, Extensions
from envdoc.doctor.facts.snapshot_hardware import DeviceNode, Driver, Gpu, PciDevice, Toolkit
from envdoc.doctor.facts.snapshot_host import Host, Storage
from envdoc.doctor.facts.snapshot_loader import Loading, Override, Preload
from envdoc.doctor.facts.snapshot_measured import Network, ProbeResult, Server
from envdoc.doctor.facts.snapshot_model import (
    ChatTemplate,
    FileProblem,
    ModelConfig,
    ModelFolder,
    ModelTokenizer,
    ModelWeights,
    SpecialIds,
    SpecialToken,
    WeightFile,
)
from envdoc.doctor.facts.snapshot_packages import CodeFloor, CondaOwned, Lock, LockEntry, Remains, StaleFiles
from envdoc.doctor.facts.snapshot_rented import DiskSpeed, Question, WantedModel
from envdoc.doctor.facts.snapshot_script import Script, ScriptFile, Sighting
from envdoc.doctor.facts.snapshot_shell import ForeignScripts, Launcher, PathEntry, Shell
from envdoc.doctor.facts.snapshot_system import (
    DriverFiles,
    DriverLibrary,
    GpuHealth,
    NamedPath,
    NamedThings,
    System,
)
from envdoc.doctor.facts.surroundings import Surroundings
from envdoc.doctor.frozen import dataclass

__all__ = [
    "SCHEMA_VERSION",
    "BitsandbytesBuild",
    "BitsandbytesLibrary",
    "ChatTemplate",
    "CodeFloor",
    "CollectorError",
    "CondaOwned",
    "DeviceNode",
    "DiskSpeed",
    "Distribution",
    "Driver",
    "DriverFiles",
    "DriverLibrary",
    "Extension",
    "ExtensionLibrary",
    "Extensions",
    "FileFault",
    "FileProblem",
    "ForeignScripts",
    "Gpu",
    "GpuHealth",
    "Host",
    "Integrity",
    "Interpreter",
    "Jupyter",
    "Kernel",
    "Launcher",
    "Loading",
    "Lock",
    "LockEntry",
    "ModelConfig",
    "ModelFolder",
    "ModelTokenizer",
    "ModelWeights",
    "NamedPath",
    "NamedThings",
    "Network",
    "Override",
    "Package",
    "PathEntry",
    "PciDevice",
    "Preload",
    "ProbeResult",
    "PthProblem",
    "Question",
    "Remains",
    "Script",
    "ScriptFile",
    "Server",
    "SharedFiles",
    "Shell",
    "Sighting",
    "Snapshot",
    "SpecialIds",
    "SpecialToken",
    "StaleFiles",
    "Storage",
    "Surroundings",
    "System",
    "Toolkit",
    "TorchBuild",
    "TransformersBuild",
    "WantedModel",
    "WeightFile",
    "from_json",
]  # one import for the whole tree

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CollectorError:
    """A collector that failed; the rest of the snapshot stands."""

    collector: str
    message: str


@dataclass(frozen=True)
class Snapshot:
    """Everything that was found out about one machine and one interpreter at one time."""

    schema_version: int = SCHEMA_VERSION
    envdoc_version: str = ""
    taken_at: str = ""  # ISO 8601, UTC
    target_reason: str = ""
    interpreter: Interpreter = field(default_factory=Interpreter)
    packages: Tuple[Package, ...] = ()
    integrity: Optional[Integrity] = None  # None: not looked at
    torch: Optional[TorchBuild] = None
    bitsandbytes: Optional[BitsandbytesBuild] = None
    transformers: Optional[TransformersBuild] = None
    extensions: Optional[Extensions] = None  # None: not looked at
    code_floors: Tuple[CodeFloor, ...] = ()
    remains: Optional[Remains] = None  # None: not looked at
    lock: Optional[Lock] = None  # None: `check` ran without --lock
    driver: Driver = field(default_factory=Driver)
    gpus: Tuple[Gpu, ...] = ()
    gpu_health: Tuple[GpuHealth, ...] = ()
    driver_files: DriverFiles = field(default_factory=DriverFiles)
    pci_devices: Tuple[PciDevice, ...] = ()
    device_nodes: Tuple[DeviceNode, ...] = ()
    toolkit: Toolkit = field(default_factory=Toolkit)
    variables: Dict[str, str] = field(default_factory=dict)
    storage: Tuple[Storage, ...] = ()
    host: Host = field(default_factory=Host)
    system: System = field(default_factory=System)
    named: NamedThings = field(default_factory=NamedThings)
    jupyter: Jupyter = field(default_factory=Jupyter)
    surroundings: Surroundings = field(default_factory=Surroundings)
    loading: Loading = field(default_factory=Loading)
    shell: Shell = field(default_factory=Shell)
    probes: Tuple[ProbeResult, ...] = ()
    network: Optional[Network] = None  # None: `check` ran without --online
    disk_speeds: Tuple[DiskSpeed, ...] = ()  # with --online or --deep
    model: Optional[WantedModel] = None  # None: `check` ran without --model
    model_folder: Optional[ModelFolder] = None  # None: --model named no folder that is on this machine
    script: Optional[Script] = None  # None: `check` ran without --script
    errors: Tuple[CollectorError, ...] = ()

    def package(self, name: str) -> Optional[Package]:
        """The first installed distribution of that normalised name on the search path, or None."""
        return self._first_of_each_name.get(name)

    @cached_property
    def _first_of_each_name(self) -> Dict[str, Package]:
        return {package.name: package for package in reversed(self.packages)}

    def probe(self, name: str) -> Optional[ProbeResult]:
        """The result of the probe of that name, or None where it was not run."""
        return next((probe for probe in self.probes if probe.name == name), None)

    def storage_for(self, purpose: str) -> Optional[Storage]:
        """The folder of that purpose, or None where it was not looked at."""
        return next((place for place in self.storage if place.purpose == purpose), None)

    def to_json(self) -> str:
        """The snapshot as indented JSON with a closing newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Snapshot:
    """The snapshot that `to_json` wrote.

    Unknown keys are passed over (a newer envdoc of the same schema may add some). Raises SnapshotError where the
    text is no JSON, is no snapshot, has a field of the wrong type, or a newer schema than this envdoc reads.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(
            f"The snapshot is not JSON: {error}.", "Make one with `envdoc facts -o FILE`."
        ) from error
    if not isinstance(raw, dict) or "schema_version" not in raw:
        raise SnapshotError(
            "The file is JSON but no envdoc snapshot.", "Make one with `envdoc facts -o FILE`."
        )
    version = raw["schema_version"]
    if type(version) is not int or not 0 < version <= SCHEMA_VERSION:
        raise SnapshotError(
            f"The snapshot has schema_version {json.dumps(version)[:40]}; this envdoc reads up to {SCHEMA_VERSION}.",
            "Read it with the envdoc that wrote it, or a newer one.",
        )
    return build(Snapshot, raw, "snapshot")
