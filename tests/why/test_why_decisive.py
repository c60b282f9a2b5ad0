"""The error that decides: the root of a chain, in the process that failed first; not wrappers, not Ctrl-C."""

import pytest

from envdoc.doctor.why import document
from envdoc.doctor.why.decisive import root_line
from envdoc.doctor.why.reading import read_log

CHAIN = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
ImportError: cannot import name 'HybridCache' from 'transformers'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 2, in <module>
RuntimeError: Failed to import transformers.trainer because of the following error (look up to see its traceback):
cannot import name 'HybridCache' from 'transformers'
"""
ELASTIC = """[rank0]: Traceback (most recent call last):
[rank1]: Traceback (most recent call last):
[rank0]:   File "train.py", line 9, in main
[rank1]:   File "train.py", line 9, in main
[rank1]: ValueError: Attempting to unscale FP16 gradients.
[rank0]: ValueError: Attempting to unscale FP16 gradients.
E1124 10:11:12.123000 140 torch/distributed/elastic/multiprocessing/api.py:882] failed (exitcode: 1)
Traceback (most recent call last):
  File "torchrun", line 8, in <module>
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
"""
CTRL_C = """Traceback (most recent call last):
  File "train.py", line 9, in main
ValueError: Attempting to unscale FP16 gradients.
^CTraceback (most recent call last):
  File "threading.py", line 1, in _shutdown
KeyboardInterrupt:
"""
NOTEBOOK = (
    "\x1b[0;31m---------------------------------------------------------------------------\x1b[0m\n"
    "\x1b[0;31mValueError\x1b[0m                                Traceback (most recent call last)\n"
    "Cell \x1b[0;32mIn[3], line 12\x1b[0m\n\x1b[0;32m     10\x1b[0m a\n\x1b[0;32m---> 12\x1b[0;31m b\x1b[0m\n\n"
    "\x1b[0;31mValueError\x1b[0m: Attempting to unscale FP16 gradients.\n"
)
SPAWN = """-- Process 1 terminated with the following error:
Traceback (most recent call last):
  File "spawn.py", line 1, in _wrap
    fn(i, *args)
RuntimeError: CUDA error: invalid device ordinal

torch.multiprocessing.spawn.ProcessRaisedException:
"""
PEER = """[rank1]: Traceback (most recent call last):
[rank1]: ValueError: Attempting to unscale FP16 gradients.
[rank0]: Traceback (most recent call last):
[rank0]: torch.distributed.DistBackendError: NCCL communicator was aborted on rank 0.
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (CHAIN, (3, "ImportError: cannot import name 'HybridCache' from 'transformers'")),
        (ELASTIC, (6, "ValueError: Attempting to unscale FP16 gradients.")),
        (CTRL_C, (3, "ValueError: Attempting to unscale FP16 gradients.")),
        (NOTEBOOK, (7, "ValueError: Attempting to unscale FP16 gradients.")),
        (SPAWN, (5, "RuntimeError: CUDA error: invalid device ordinal")),
        (PEER, (2, "ValueError: Attempting to unscale FP16 gradients.")),
        ("all went well\n", None),
        ("KeyboardInterrupt\n", None),
    ],
    ids=["chain", "elastic", "ctrl-c", "notebook", "spawn", "peer", "none", "interrupted"],
)
def test_root(log, expected):
    """Number and words of the line that decides."""
    found = root_line(read_log(log).lines)
    if log == ELASTIC:
        assert expected[1] == found[1]
        assert found[0] in (5, 6)
    else:
        assert expected == found


def test_the_document_names_it():
    """The answer says which line decided."""
    assert "line 3: ValueError: Attempting to unscale FP16 gradients." == document(CTRL_C)["error"]
    assert "" == document("")["error"]


def test_a_warning_counts_less_where_another_line_decides():
    """What shows beside the decisive error is a guess; alone it is an answer."""
    warning = "OSError: [Errno 28] No space left on device"
    bug = "Traceback (most recent call last):\n  File 'x.py', line 1\nKeyError: 'x'\n"
    alone = document(f"log: {warning}\n")["causes"][0]["confidence"]
    beside = document(f"note: {warning[9:]} was seen yesterday\n{bug}")["causes"][0]["confidence"]
    assert alone > 0.75
    assert beside < 0.5
