"""Rules about the CUDA toolkit and the host compiler, which matter only where something compiles."""
