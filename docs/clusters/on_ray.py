"""envdoc on a Ray cluster: one launcher a node, which starts one process a GPU.

    python on_ray.py --nodes 2 --gpus 8 -- run.yaml [key=value ...]

run.yaml must name an `output` on a file system that every node sees. Ray's part is to find the machines and to start
the same command on each; the processes then meet by themselves. A node that is lost ends the Ray task; the run goes
on with the same command and `--resume`.
"""

import argparse
import shutil
import socket
import subprocess
import sys

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy


@ray.remote(max_retries=0)
def address():
    """The address of the first node, and a port that is free there."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), probe.getsockname()[1]


@ray.remote(max_retries=0)
def node(command):
    """Run the launcher of one node to its end; its exit code."""
    return subprocess.run(command, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each node; 0 trains on the CPU")
    parser.add_argument("--cpus", type=int, default=1, help="CPUs of each node that Ray sets aside")
    parser.add_argument("--nproc", default="auto", help="processes of each node")
    parser.add_argument("--one-machine", action="store_true", help="all nodes on one machine, to try it")
    parser.add_argument("words", nargs="+", help="what `envdoc train` is given")
    given = parser.parse_args()

    ray.init()
    parts = [{"CPU": given.cpus, **({"GPU": given.gpus} if given.gpus else {})}] * given.nodes
    group = placement_group(parts, strategy="PACK" if given.one_machine else "STRICT_SPREAD")
    ray.get(group.ready())

    def on(rank):
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
        return {"num_cpus": given.cpus, "num_gpus": given.gpus, "scheduling_strategy": place}

    host, port = ray.get(address.options(**on(0)).remote())
    command = [shutil.which("envdoc") or "envdoc", "train", *given.words, "--nproc", given.nproc]
    command += ["--nnodes", str(given.nodes), "--master-addr", host, "--master-port", str(port)]
    tasks = [
        node.options(**on(rank)).remote([*command, "--node-rank", str(rank)]) for rank in range(given.nodes)
    ]
    sys.exit(max(ray.get(tasks)))


if __name__ == "__main__":
    main()
