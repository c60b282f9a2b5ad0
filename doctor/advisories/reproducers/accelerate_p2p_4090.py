"""accelerate decides whether two RTX 4090 with driver 550.54 may talk to each other directly. They may."""

from _two_gpus import put_two_gpus
from _verdict import finish

put_two_gpus("NVIDIA GeForce RTX 4090", "550.54.14")

from accelerate.utils.environment import check_cuda_p2p_ib_support

supported = check_cuda_p2p_ib_support()
finish(not supported, f"check_cuda_p2p_ib_support() for two RTX 4090 with driver 550.54: {supported}")
