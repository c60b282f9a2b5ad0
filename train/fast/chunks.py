"""How many tokens' logits are looked at together by a loss that never makes them all. Needs no library."""

# Of one chunk's logits in fp32; while torch works on it, up to three times as much is held. With 32,000 words that is
# 2,097 tokens, with 152,064 441: enough rows to keep matrix units busy.
CHUNK_BYTES = 256 * 2**20
# The kernel (entropy.py) writes over 16-bit logits and holds nothing beside them, so it is given more where a chunk
# would be short: 523 rows of 128,256 words leave a fifth of the last tiles of a product empty, and read the head anew.
ENOUGH_ROWS = 2048
STEP = 256  # rows of which a product of the kernel's chunks is a multiple


def rows(vocabulary: int, by_kernel: bool) -> int:
    """Tokens in a chunk."""
    plain = max(1, CHUNK_BYTES // (4 * vocabulary))
    if not by_kernel:
        return plain
    most = max(plain, min(ENOUGH_ROWS, CHUNK_BYTES // vocabulary))
    return most // STEP * STEP or most
