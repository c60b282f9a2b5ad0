"""What makes a run fast and leaves its numbers as they are: attention over packed rows, fused layers, fused LoRA.

Every piece is tried where it will run and left out, with a sentence, where the hardware or a version has no such thing.
"""
