"""Rules about bitsandbytes: does it ship a library for this torch and this GPU."""
