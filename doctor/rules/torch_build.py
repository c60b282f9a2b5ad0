"""Rules about the torch that is installed: does this build serve this machine."""
