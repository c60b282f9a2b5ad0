"""The rooms know each other in one direction only, as the design draws it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Each room and what it may import of ours besides itself and the plain vocabulary.
VOCABULARY = {"finding", "errors", "files", "frozen"}
MAY_IMPORT = {
    "finding": set(),
    "errors": set(),
    "files": set(),
    "printable": set(),
    "frozen": set(),
    "redact": {"redact_forms"},
    "redact_forms": set(),
    "suppressions": set(),
    "version": set(),
    "lifeline": set(),
    "child": {"errors", "lifeline"},
    "home": set(),
    "replaced": set(),
    "target": {"home", "replaced"},
    "last_check": {"facts.snapshot"},
    "weights": set(),
    "adapter": {"weights", "tables"},
    "model_repair": {"weights"},
    "facts": {"child", "redact", "home", "version", "weights"},
    "probes": {"facts.snapshot", "child", "lifeline"},
    "tables": set(),
    "advisories": {"tables", "child"},
    "script": {"facts.snapshot", "tables"},
    "rules": {"advisories", "facts.snapshot", "facts.surroundings", "script", "tables"},
    "why": {"advisories", "rules", "facts.snapshot", "tables"},
    "fix": {
        "facts.snapshot",
        "facts.pip_settings",
        "tables",
        "child",
        "home",
        "lifeline",
        "redact",
        "version",
    },
    "lock": {"fix", "facts.snapshot", "tables", "child", "version"},
    "report": {"version"},
    "concepts": set(),
    "handoff": {"facts.snapshot", "child", "redact", "version"},
}
ABOVE = {
    "__main__",
    "cli",
    "commands",
    "comparison",
    "examine",
    "notebook",
}  # these may import everything below them


def imports(path):
    """Our own modules that a file imports, without the leading `envdoc.doctor.`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name and name.startswith("envdoc."):
                yield name


def room_of(path):
    return path.relative_to(ROOT / "doctor").parts[0].replace(".py", "")


def test_arrows_point_one_way():
    """No file of the doctor imports a room that lies above or beside its own."""
    wrong = []
    for path in sorted((ROOT / "doctor").rglob("*.py")):
        room = room_of(path)
        if room in ABOVE or room == "__init__":
            continue
        allowed = MAY_IMPORT[room] | VOCABULARY | {room}
        for name in imports(path):
            inner = name.replace("envdoc.doctor.", "", 1)
            if name.startswith("envdoc.lockfiles") and room in ("fix", "lock"):
                continue
            if inner == "envdoc.doctor" or any(inner == a or inner.startswith(a + ".") for a in allowed):
                continue
            if any(a.startswith(inner + ".") for a in allowed):  # the package above an allowed module
                continue
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")

    assert [] == wrong


def test_the_pipeline_never_imports_the_doctor():
    """train/ runs in the target environment, where the doctor is not."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "train").rglob("*.py"))
        for name in imports(path)
        if not name.startswith("envdoc.train")
    ]

    assert [] == wrong


def test_the_doctor_never_imports_what_it_examines():
    """torch and its friends may be what is broken: only probes and reproducers, in a child, import them."""
    patients = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "datasets", "numpy"}
    wrong = []
    for path in sorted((ROOT / "doctor").rglob("*.py")):
        if room_of(path) == "probes" or path.parent.name == "reproducers":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.split(".")[0] in patients]

    assert [] == wrong


def test_no_shell_and_no_unguarded_pickle():
    """No child is started through a shell, and nothing is unpickled without `weights_only`."""
    wrong = []
    for folder in ("doctor", "train", "lockfiles"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                keywords = {k.arg: k.value for k in node.keywords}
                name = ast.unparse(node.func)
                if "shell" in keywords or name in ("os.system", "os.popen", "pickle.load", "pickle.loads"):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
                if name == "torch.load" and ast.unparse(keywords.get("weights_only", node)) != "True":
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name} without weights_only=True")

    assert [] == wrong
