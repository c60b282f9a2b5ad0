"""Started by path in the target interpreter; the doctor's only way to the pipeline.

    python .../train/launch.py train [--config FILE] [--context FILE.json] [--dry-run] [--resume] [key=value ...]
                                     [--nproc N|auto] [--nnodes M --node-rank R --master-addr HOST --master-port PORT]
    python .../train/launch.py data FILE|RUN.yaml [--model DIR] [--format text|json] [key=value ...]
    python .../train/launch.py estimate [--config FILE] [--gpu FILE.json] [--price-per-hour X] [--format text|json]
                                        [--no-probe] [key=value ...]
    python .../train/launch.py verify ADAPTER [--base FOLDER] [--format text|json] [--static FILE.json]
    python .../train/launch.py merge ADAPTER OUT | export ADAPTER OUT.gguf --llama-cpp DIR | chat ADAPTER

Exit codes: 0 done and proved; 1 the adapter is not real, the data unfit, the GPU too small, or training diverged; 2
misuse, bad input or a full disk; 130 Ctrl-C (143 SIGTERM). Results on stdout, progress and errors on stderr.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Iterator, List, NoReturn, Optional


def make_importable() -> None:
    """Make `envdoc.train` importable from this very folder, without installing it or touching the search path.

    The folder itself, which Python puts first on the path, is taken off: its `config` or `data` would shadow
    modules of that name. Nothing else of where it lies becomes importable.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    if "envdoc.train" in sys.modules:
        return
    namespace = ModuleType("envdoc")
    namespace.__path__ = []
    sys.modules["envdoc"] = namespace
    spec = spec_from_file_location(
        "envdoc.train", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    assert spec is not None and spec.loader is not None
    package = module_from_spec(spec)
    sys.modules["envdoc.train"] = package
    namespace.train = package  # type: ignore[attr-defined]
    spec.loader.exec_module(package)


class Parser(argparse.ArgumentParser):
    """An argparse parser that ends with our own kind of message."""

    def error(self, message: str) -> NoReturn:
        complain(f"{message[:1].upper()}{message[1:]}.", f"`{self.prog} --help` lists what there is.")
        sys.exit(2)


def complain(message: str, hint: Optional[str]) -> None:
    """An error as one sentence, and its hint."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


def prepare_process() -> None:
    """What must be set before torch and transformers are imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # a local folder is all that is ever read
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DISABLE_TELEMETRY"] = "1"
    os.environ["BITSANDBYTES_NOWELCOME"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads and a fork do not go together
    # One process trains on one GPU: with more in sight Trainer splits batches by DataParallel, which quantised
    # bases do not survive.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    local = int(os.environ.get("LOCAL_RANK", 0)) if "ENVDOC_RANKS" in os.environ else 0
    listed = [str(local)] if visible is None else visible.split(",")
    os.environ["CUDA_VISIBLE_DEVICES"] = listed[min(local, len(listed) - 1)]
    if "ENVDOC_RANKS" not in os.environ:
        # A pod's template may set what accelerate takes for "one rank of many".
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            os.environ.pop(name, None)


def main(words: List[str]) -> int:
    """Run the command in `words` and return the exit code."""
    commands = {
        "train": train,
        "rank": rank,
        "verify": verify,
        "data": data,
        "estimate": estimate,
        "merge": merge,
        "export": export,
        "chat": chat,
    }
    if not words or words[0] not in commands:
        print(__doc__ if words[:1] in (["-h"], ["--help"]) else __doc__.split("\n\n")[1], file=sys.stderr)
        return 0 if words[:1] in (["-h"], ["--help"]) else 2
    make_importable()
    _print_anything()
    from envdoc.train.errors import TrainError

    try:
        return commands[words[0]](words[1:])
    except TrainError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        complain(
            "Stopped; nothing that was saved before is lost.", "Checkpoints there are go on with --resume."
        )
        return 130
    except MemoryError:
        complain(
            "This machine has not enough memory for the run.", "Try a smaller model or `model.quantization`."
        )
        return 2
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except Exception as error:  # exit code 1 would say that an adapter was judged
        traceback.print_exc()
        complain(
            f"envdoc or a library failed in a way that is not foreseen: {type(error).__name__}.",
            "`envdoc why` reads such a traceback; checkpoints there are go on with --resume.",
        )
        return 2


def _print_anything() -> None:
    """A file name that the terminal's encoding lacks must not end a run of hours with a UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Its descriptor may no longer be what it was opened on.
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def train(words: List[str]) -> int:
    """The command `train`."""
    parser = Parser(prog="envdoc train")
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--context", metavar="FILE.json", help="what the doctor tells for the receipt")
    parser.add_argument("--dry-run", action="store_true", help="build everything, train nothing")
    parser.add_argument("--resume", action="store_true", help="go on from the newest whole checkpoint")
    parser.add_argument("--nproc", default="1", metavar="N|auto", help="processes here; auto: one a GPU")
    parser.add_argument("--nnodes", type=int, default=1, metavar="M", help="machines that train together")
    parser.add_argument(
        "--node-rank", type=int, default=0, metavar="R", help="which of them this one is, from 0"
    )
    parser.add_argument("--master-addr", metavar="HOST", help="node 0, where the others reach it")
    parser.add_argument(
        "--master-port", type=int, default=29400, metavar="PORT", help="a free port of node 0"
    )
    parser.add_argument(
        "--restarts", type=int, default=3, metavar="N", help="attempts after a rank was killed"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_intermixed_args(words)
    if "ENVDOC_RANKS" not in os.environ:
        from envdoc.train.parallel import launcher

        ranks = launcher.Ranks(
            given.nproc, given.nnodes, given.node_rank, given.master_addr, given.master_port, given.restarts
        )
        launcher.check(ranks)
        if ranks.many:
            return launcher.start(ranks, Path(__file__), given)
    with prepared("train"):
        from envdoc.train.pipeline import run

        return run(given.config, given.overrides, given.context, given.dry_run, given.resume)


def rank(words: List[str]) -> int:
    """One of several processes of `train`, started by the launcher; its failures are told by that."""
    from envdoc.train.parallel.process import run

    return run(lambda: train(words[1:]))


def verify(words: List[str]) -> int:
    """The command `verify`."""
    parser = Parser(prog="envdoc verify")
    parser.add_argument("adapter", metavar="ADAPTER")
    parser.add_argument("--base", metavar="FOLDER", help="the base model, where it has moved")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--static", metavar="FILE.json", help="what the doctor read off the files, for the document"
    )
    given = parser.parse_args(words)
    with prepared("verify"):
        from envdoc.train.judge import judge

        return judge(Path(given.adapter), given.base, given.format, given.static)


def data(words: List[str]) -> int:
    """The command `data`."""
    parser = Parser(prog="envdoc data")
    parser.add_argument("file", metavar="FILE|RUN.yaml")
    parser.add_argument("--model", metavar="DIR", help="count tokens with the tokenizer of this model")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_intermixed_args(words)
    with prepared("data"):
        from envdoc.train.examine.command import examine

        return examine(given.file, given.model, given.overrides, given.format)


def estimate(words: List[str]) -> int:
    """The command `estimate`."""
    parser = Parser(prog="envdoc estimate")
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--gpu", metavar="FILE.json", help="what the doctor tells of the GPU")
    parser.add_argument("--price-per-hour", type=float, metavar="X")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--no-probe", action="store_true", help="closed form even where the GPU is here")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_intermixed_args(words)
    with prepared("estimate"):
        from envdoc.train.estimate.command import estimate as run

        return run(
            given.config, given.overrides, given.gpu, given.price_per_hour, given.format, not given.no_probe
        )


def merge(words: List[str]) -> int:
    """The command `merge`."""
    parser = Parser(prog="envdoc merge")
    parser.add_argument("adapter", metavar="ADAPTER")
    parser.add_argument("out", metavar="OUT", help="a folder that is not there yet")
    parser.add_argument("--base", metavar="FOLDER", help="the unquantised base model")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp16", "fp32"), default="auto")
    given = parser.parse_args(words)
    with prepared("merge"):
        from envdoc.train.merge import merge as run

        return run(Path(given.adapter), Path(given.out), given.base, given.dtype)


def export(words: List[str]) -> int:
    """The command `export`."""
    parser = Parser(prog="envdoc export")
    parser.add_argument("adapter", metavar="ADAPTER")
    parser.add_argument("out", metavar="OUT.gguf")
    parser.add_argument("--base", metavar="FOLDER", help="the unquantised base model")
    parser.add_argument("--llama-cpp", metavar="DIR", help="a checkout of llama.cpp")
    parser.add_argument("--type", choices=("auto", "bf16", "fp16", "fp32", "q8_0"), default="auto")
    parser.add_argument("--lora", action="store_true", help="the adapter by itself, without its base")
    given = parser.parse_args(words)
    with prepared("export"):
        from envdoc.train.export import export as run

        return run(Path(given.adapter), Path(given.out), given.base, given.llama_cpp, given.type, given.lora)


def chat(words: List[str]) -> int:
    """The command `chat`."""
    parser = Parser(prog="envdoc chat")
    parser.add_argument("adapter", metavar="ADAPTER")
    parser.add_argument("--base", metavar="FOLDER", help="the base model, where it has moved")
    parser.add_argument(
        "--quantization", choices=("none", "8bit", "4bit"), help="by default as it was trained"
    )
    parser.add_argument("--system", metavar="TEXT", help="what the conversation begins with")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--temperature", type=float, default=0.0, help="0: the likeliest token each time")
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=42)
    given = parser.parse_args(words)
    for name, wrong in (
        ("--max-tokens", given.max_tokens < 1),
        ("--temperature", not 0 <= given.temperature < 100),
        ("--top-p", not 0 < given.top_p <= 1),
    ):
        if wrong:
            parser.error(f"`{name}` is out of range")
    with prepared("chat"):
        from envdoc.train.chat import Sampling
        from envdoc.train.chat import chat as run

        how = Sampling(given.max_tokens, given.temperature, given.top_p, given.seed)
        return run(Path(given.adapter), given.base, given.quantization, given.system, how)


@contextlib.contextmanager
def prepared(command: str) -> Iterator[None]:
    """A process that may import the libraries, with a folder of its own for transformers' copy of a model's code."""
    prepare_process()
    with tempfile.TemporaryDirectory(prefix=f"envdoc-{command}-") as scratch:
        os.environ["HF_MODULES_CACHE"] = scratch
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
