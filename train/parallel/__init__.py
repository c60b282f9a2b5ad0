"""A run in several processes, one a GPU, on one machine or many.

    launcher ─> agent ══> process ─> join ─> (pipeline) ─> world, exchange, shards or zero, own_files
    (one a node)          (one a rank)

`launcher` starts the ranks of this node through torchrun's own agent, hands signals on, and tells at the end what
went wrong, once. Each rank is `launch.py rank train ...`: `process` keeps its output and its failures, `join` meets
the other ranks and refuses a mixed set of versions, `world` is what the pipeline asks from then on. In one process
everything in `world` answers at once: the pipeline is the same.
"""
