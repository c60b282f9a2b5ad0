"""Rules about the NVIDIA driver: is there one, does it answer, and is it new enough."""
