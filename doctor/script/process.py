"""What happens in which process, and when: variables after imports, CUDA before a fork, device maps of ranks."""

import ast
from typing import Iterator, List, Optional

from envdoc.doctor.script.apis import model_class
from envdoc.doctor.script.code import Code
from envdoc.doctor.script.memory import trained_models
from envdoc.doctor.script.seen import Seen

# Read once, when the library is imported (huggingface_hub/constants.py, datasets/config.py, transformers/utils/hub.py).
HUB_VARIABLES = (
    "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
    "HF_HUB_ENABLE_HF_TRANSFER", "HF_HUB_DOWNLOAD_TIMEOUT",
)  # fmt: skip
DATASETS_VARIABLES = ("HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE")
_READERS = ("transformers", "datasets", "huggingface_hub", "peft", "accelerate", "trl")
# Each of them starts CUDA, which reads CUDA_VISIBLE_DEVICES and never again.
_STARTS_CUDA = (
    "torch.cuda.init", "torch.cuda.current_device", "torch.cuda.set_device", "torch.cuda.get_device_name",
    "torch.cuda.get_device_properties", "torch.cuda.get_device_capability", "torch.cuda.synchronize",
    "torch.cuda.mem_get_info",
)  # fmt: skip


def look(code: Code) -> Iterator[Seen]:
    """device-map-under-ddp, variable-too-late, cuda-before-fork."""
    yield from _device_map(code)
    yield from _variables(code)
    yield from _fork(code)


def _device_map(code: Code) -> Iterator[Seen]:
    if not _is_distributed(code) or not trained_models(code):
        return
    for call in code.methods("from_pretrained"):
        if model_class(code, call) is None or code.is_guarded(call):
            continue
        if code.value(code.keyword(call, "device_map")) in (
            "auto",
            "balanced",
            "sequential",
        ) and not code.is_conditional(call):
            yield Seen("device-map-under-ddp", call, str(code.value(code.keyword(call, "device_map"))))


def _is_distributed(code: Code) -> bool:
    """Whether the script itself places this process among others: LOCAL_RANK as an integer, or a process group."""
    if any(code.dotted(call.func) == "torch.distributed.init_process_group" for call in code.calls):
        return True
    for call in code.calls:
        if (
            isinstance(call.func, ast.Name)
            and call.func.id == "int"
            and call.args
            and any(isinstance(n, ast.Constant) and n.value == "LOCAL_RANK" for n in ast.walk(call.args[0]))
        ):
            return True
    return False


def _variables(code: Code) -> Iterator[Seen]:
    for node in code.nodes:
        name = _variable_set(code, node)
        if (
            name is None
            or code.scope(node) is not code.tree
            or code.is_conditional(node)
            or code.is_guarded(node)
        ):
            continue
        line = getattr(node, "lineno", 0)
        if name == "CUDA_VISIBLE_DEVICES":
            if any(item.lineno < line for item in _cuda_starts(code)):
                yield Seen("variable-too-late", node, name)
            continue
        readers = _READERS if name in HUB_VARIABLES else ("datasets",) if name in DATASETS_VARIABLES else ()
        late = [
            root
            for item in code.tree.body
            if isinstance(item, (ast.Import, ast.ImportFrom)) and item.lineno < line
            for root in _roots(item)
            if root in readers
        ]
        if late:
            yield Seen("variable-too-late", node, f"{name}|{late[0]}")


def _roots(item: ast.stmt) -> List[str]:
    if isinstance(item, ast.Import):
        return [alias.name.split(".")[0] for alias in item.names]
    return [(item.module or "").split(".")[0]] if isinstance(item, ast.ImportFrom) and not item.level else []


def _variable_set(code: Code, node: ast.AST) -> Optional[str]:
    """The name in `os.environ["NAME"] = ...`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Subscript):
        return None
    target = node.targets[0]
    if code.dotted(target.value) != "os.environ":
        return None
    index = getattr(target.slice, "value", None)
    value = index.value if isinstance(index, ast.Constant) else index
    return value if isinstance(value, str) else None


def _cuda_starts(code: Code) -> List[ast.Call]:
    """The calls on the module's own level that start CUDA, whatever happens before."""
    found = []
    for call in code.calls:
        if code.scope(call) is not code.tree or code.is_conditional(call):
            continue
        moves = isinstance(call.func, ast.Attribute) and (
            (call.func.attr == "cuda" and not call.args and code.dotted(call.func) is None)
            or (call.func.attr == "to" and bool(call.args) and _is_cuda(code, call.args[0]))
        )
        if moves or code.dotted(call.func) in _STARTS_CUDA:
            found.append(call)
    return found


def _is_cuda(code: Code, node: ast.AST) -> bool:
    value = code.value(node)
    return isinstance(value, str) and value.startswith("cuda")


def _fork(code: Code) -> Iterator[Seen]:
    """A Dataset that puts its rows on the GPU, and a loader with workers, which are forked."""
    if "spawn" in code.strings() or "forkserver" in code.strings():
        return
    workers = [
        call
        for call in code.calls
        for name in (code.dotted(call.func) or "",)
        if name.endswith(".DataLoader") or (code.known(call.func) or "").endswith("TrainingArguments")
        if _count(code, call) > 0
    ]
    if not workers:
        return
    for name, node in code.classes.items():
        if not any((code.dotted(base) or "").startswith("torch.utils.data.") for base in node.bases):
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__getitem__":
                for call in ast.walk(method):
                    if (
                        isinstance(call, ast.Call)
                        and isinstance(call.func, ast.Attribute)
                        and (
                            (call.func.attr == "cuda" and not call.args)
                            or (call.func.attr == "to" and call.args and _is_cuda(code, call.args[0]))
                        )
                    ):
                        yield Seen("cuda-before-fork", call, name)


def _count(code: Code, call: ast.Call) -> int:
    value = code.keyword(call, "num_workers") or code.keyword(call, "dataloader_num_workers")
    told = code.value(value) if value is not None else 0
    return told if isinstance(told, int) else 0
