"""Questions about a script's syntax tree: what a name stands for, what a value is, whether a line is guarded.

Names are followed through imports, through variables that are assigned once, and through classes of the script to the
library's class they derive from. What cannot be followed is not answered: None, never a guess.
"""

import ast
from functools import cached_property
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple, Union

PACKAGES = ("transformers", "peft", "trl", "accelerate", "datasets", "huggingface_hub", "torch")
Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
UNKNOWN = object()  # a value that is not told by the text
_GUARDS = ("version", "__version__", "hasattr", "signature", "find_spec", "getattr", "importlib")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module, ast.ClassDef)


class Code:
    """One syntax tree and what is asked of it again and again."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.nodes: List[ast.AST] = list(ast.walk(tree))
        self.parents: Dict[ast.AST, ast.AST] = {
            child: node for node in self.nodes for child in ast.iter_child_nodes(node)
        }

    # names

    @cached_property
    def imported(self) -> Dict[str, Optional[str]]:
        """Local name -> dotted name in its package; None where two imports, or one and a definition, compete."""
        found: Dict[str, Optional[str]] = {}

        def add(name: str, target: Optional[str]) -> None:
            found[name] = target if found.get(name, target) == target else None

        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    add(
                        alias.asname or alias.name.split(".")[0],
                        alias.name if alias.asname else alias.name.split(".")[0],
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    add(alias.asname or alias.name, f"{node.module}.{alias.name}")
        for node in self.nodes:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in found:
                if not isinstance(self.parents.get(node), ast.ClassDef):
                    found[node.name] = None
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in found:
                found[node.id] = None
        return found

    @cached_property
    def classes(self) -> Dict[str, ast.ClassDef]:
        """The classes that the script defines, by name."""
        return {node.name: node for node in self.nodes if isinstance(node, ast.ClassDef)}

    def dotted(self, node: Optional[ast.AST]) -> Optional[str]:
        """`T.Trainer` as "transformers.Trainer" after `import transformers as T`; None where that is not known."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id)
        if isinstance(node, ast.Attribute):
            inner = self.dotted(node.value)
            return f"{inner}.{node.attr}" if inner else None
        return None

    def known(self, node: Optional[ast.AST], depth: int = 0) -> Optional[str]:
        """The same as PACKAGE.NAME, whatever submodule it came from; a class of the script as its base."""
        dotted = self.dotted(node)
        if dotted is not None:
            root, _, _ = dotted.partition(".")
            return f"{root}.{dotted.rpartition('.')[2]}" if root in PACKAGES else dotted
        if isinstance(node, ast.Name) and node.id in self.classes and depth < 8:
            for base in self.classes[node.id].bases:
                found = self.known(base, depth + 1)
                if found:
                    return found
        return None

    def own_parameters(self, node: ast.AST, depth: int = 0) -> Optional[Set[str]]:
        """What a class of the script adds to its base's arguments; None where it has its own __init__."""
        if not isinstance(node, ast.Name) or node.id not in self.classes or depth > 8:
            return set()
        own: Set[str] = set()
        for item in self.classes[node.id].body:
            if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__new__"):
                return None
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                own.add(item.target.id)
        for base in self.classes[node.id].bases:
            more = self.own_parameters(base, depth + 1)
            if more is None:
                return None
            own |= more
        return own

    # calls

    @cached_property
    def calls(self) -> List[ast.Call]:
        """Every call, in the order of the text."""
        found = [node for node in self.nodes if isinstance(node, ast.Call)]
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    def calls_of(self, *names: str) -> Iterator[ast.Call]:
        """The calls of these functions or classes, as `known` names them."""
        return (call for call in self.calls if self.known(call.func) in names)

    def methods(self, *names: str) -> Iterator[ast.Call]:
        """The calls `something.NAME(...)`."""
        return (c for c in self.calls if isinstance(c.func, ast.Attribute) and c.func.attr in names)

    def keyword(self, call: ast.Call, name: str) -> Optional[ast.expr]:
        """The value of that keyword, looked for in `**options` too where those are told."""
        for key, value, _ in self.keywords(call):
            if key == name:
                return value
        return None

    def keywords(self, call: ast.Call) -> List[Tuple[str, ast.expr, ast.AST]]:
        """(name, value, where it is written) of every keyword, and of a dict that `**` unpacks."""
        found: List[Tuple[str, ast.expr, ast.AST]] = []
        for keyword in call.keywords:
            if keyword.arg is not None:
                found.append((keyword.arg, keyword.value, keyword.value))
            else:
                given = self.follow(keyword.value)
                if isinstance(given, ast.Dict):
                    found += [
                        (key.value, value, key)
                        for key, value in zip(given.keys, given.values)
                        if isinstance(key, ast.Constant) and isinstance(key.value, str)
                    ]
                elif (
                    isinstance(given, ast.Call)
                    and isinstance(given.func, ast.Name)
                    and given.func.id == "dict"
                ):
                    found += [(k.arg, k.value, k.value) for k in given.keywords if k.arg is not None]
        return found

    def is_open(self, call: ast.Call) -> bool:
        """Whether the call is given options or arguments that the text does not tell."""
        if any(isinstance(argument, ast.Starred) for argument in call.args):
            return True
        for keyword in call.keywords:
            if keyword.arg is None:
                given = self.follow(keyword.value)
                if not isinstance(given, ast.Dict) or any(
                    not isinstance(key, ast.Constant) for key in given.keys
                ):
                    return True
        return False

    # values

    @cached_property
    def assigned(self) -> Dict[str, List[ast.expr]]:
        """Name -> what is assigned to it anywhere in the script; a loop, a `with` or an argument counts as UNKNOWN."""
        found: Dict[str, List[Any]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, []).append(node.value)
                    else:
                        for name in ast.walk(target):
                            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                                found.setdefault(name.id, []).append(UNKNOWN)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                if node.value is not None and not isinstance(self.parents.get(node), ast.ClassDef):
                    found.setdefault(node.target.id, []).append(node.value)
            elif isinstance(node, (ast.AugAssign, ast.For, ast.AsyncFor)):
                for name in ast.walk(node.target):
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(UNKNOWN)
            elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                found.setdefault(node.optional_vars.id, []).append(UNKNOWN)
            elif isinstance(node, ast.arg):
                found.setdefault(node.arg, []).append(UNKNOWN)
            elif isinstance(node, ast.NamedExpr) and isinstance(node.target, ast.Name):
                found.setdefault(node.target.id, []).append(node.value)
        return found

    def follow(self, node: Optional[ast.AST], depth: int = 0) -> Optional[ast.AST]:
        """The expression behind a name that is assigned exactly once; any other expression as it is."""
        if isinstance(node, ast.Name) and depth < 8:
            values = self.assigned.get(node.id, [])
            if len(values) != 1 or values[0] is UNKNOWN:
                return None
            return self.follow(values[0], depth + 1)
        return node

    def value(self, node: Optional[ast.AST]) -> Any:
        """The constant, list or tuple of constants that it is; UNKNOWN where the text does not tell."""
        found = self.follow(node)
        if found is None:
            return UNKNOWN
        try:
            return ast.literal_eval(found)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN

    def strings(self) -> Set[str]:
        """Every text constant of the script."""
        return {n.value for n in self.nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}

    # places

    def scope(self, node: ast.AST) -> ast.AST:
        """The function, class or module that the node stands in."""
        current = self.parents.get(node)
        while current is not None and not isinstance(current, _SCOPES):
            current = self.parents.get(current)
        return current if current is not None else self.tree

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around it, the nearest first."""
        current = self.parents.get(node)
        while current is not None:
            yield current
            current = self.parents.get(current)

    def is_guarded(self, node: ast.AST) -> bool:
        """Whether the script itself reckons with other versions here: in a `try`, or under a question of a version."""
        below: ast.AST = node
        for around in self.above(node):
            if isinstance(around, ast.Try) and around.handlers and below in (*around.body, *around.handlers):
                return True
            if isinstance(around, ast.ExceptHandler):
                return True
            if (
                isinstance(around, (ast.If, ast.IfExp))
                and below is not around.test
                and self._asks(around.test)
            ):
                return True
            below = around
        return False

    def is_conditional(self, node: ast.AST) -> bool:
        """Whether it stands under an `if`, so that it need not happen."""
        return any(isinstance(around, (ast.If, ast.IfExp, ast.ExceptHandler)) for around in self.above(node))

    def _asks(self, test: ast.AST) -> bool:
        for node in ast.walk(test):
            name = (
                node.id
                if isinstance(node, ast.Name)
                else node.attr
                if isinstance(node, ast.Attribute)
                else ""
            )
            if (
                any(word in name.lower() for word in _GUARDS)
                or name.startswith("is_")
                or name.endswith("_available")
            ):
                return True
            if name == "TYPE_CHECKING":
                return True
        return False


def text_of(node: Optional[ast.AST]) -> str:
    """A short name of a target: `model.base` for that attribute, "" for what is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = text_of(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
