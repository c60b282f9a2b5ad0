"""Rules about the GPUs themselves: present, visible, free, sound."""
