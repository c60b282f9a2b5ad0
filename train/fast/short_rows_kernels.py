"""The three kernels of short_rows.py: what a tile's queries get, and the gradients of its queries and of its keys.

Each program takes one tile of one row and one head (of the keys: one of the fewer heads). Tiles are read by the tensor
memory accelerator, so beyond a row's end stands what follows it on the line; such queries are not stored or have no
weight, and such keys come after every query of the row. Exponentials are of base 2.
"""

from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl

    @triton.jit(do_not_specialize=["tokens"])  # else a line of another length compiles it anew
    def forward(  # type: ignore[no-untyped-def]
        q, k, v, o, lse, laid, tokens, by, o_token,
        GROUP: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    ):  # fmt: skip
        """o, and lse (heads, tokens) of base e; `by` is the scale times log2(e)."""
        head, entry = tl.program_id(0), laid + tl.program_id(1) * 3
        start, length, first = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
        rows = first + tl.arange(0, BM)
        fewer = head // GROUP
        query = q.load([start + first, head * D])
        top = tl.full([BM], float("-inf"), tl.float32)
        total = tl.zeros([BM], tl.float32)
        sums = tl.zeros([BM, D], tl.float32)
        for n in range(0, tl.minimum(first + BM, length), BN):
            keys = n + tl.arange(0, BN)
            key = k.load([start + n, fewer * D])
            s = tl.dot(query, tl.trans(key)) * by
            s = tl.where(keys[None, :] <= rows[:, None], s, float("-inf"))
            higher = tl.maximum(top, tl.max(s, 1))
            p = tl.exp2(s - higher[:, None])
            less = tl.exp2(top - higher)
            total = total * less + tl.sum(p, 1)
            value = v.load([start + n, fewer * D])
            sums = tl.dot(p.to(value.dtype), value, sums * less[:, None])
            top = higher
        sums = sums / total[:, None]
        at = start.to(tl.int64) + rows
        places = o + at[:, None] * o_token + head * D + tl.arange(0, D)[None, :]
        tl.store(places, sums.to(o.dtype.element_ty), mask=rows[:, None] < length)
        line = head.to(tl.int64) * tokens
        tl.store(lse + line + at, (top + tl.log2(total)) * 0.6931471805599453, mask=rows < length)

    @triton.jit(do_not_specialize=["tokens"])
    def of_queries(  # type: ignore[no-untyped-def]
        do, q, k, v, o, lse, delta, dq, laid, tokens, scale, by, dq_token,
        GROUP: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    ):  # fmt: skip
        """dq, and for `of_keys` delta (heads, tokens): of each query the sum of do * o."""
        head, entry = tl.program_id(0), laid + tl.program_id(1) * 3
        start, length, first = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
        rows = first + tl.arange(0, BM)
        fewer = head // GROUP
        at = start.to(tl.int64) + rows
        line = head.to(tl.int64) * tokens
        d = do.load([start + first, head * D])
        y = o.load([start + first, head * D])
        less = tl.sum(d.to(tl.float32) * y.to(tl.float32), 1)
        tl.store(delta + line + at, less, mask=rows < length)
        query = q.load([start + first, head * D])
        high = tl.load(lse + line + at, mask=rows < length, other=0.0) * 1.4426950408889634
        sums = tl.zeros([BM, D], tl.float32)
        for n in range(0, tl.minimum(first + BM, length), BN):
            keys = n + tl.arange(0, BN)
            key = k.load([start + n, fewer * D])
            value = v.load([start + n, fewer * D])
            p = tl.exp2(tl.dot(query, tl.trans(key)) * by - high[:, None])
            p = tl.where(keys[None, :] <= rows[:, None], p, 0.0)
            ds = p * (tl.dot(d, tl.trans(value)) - less[:, None])
            sums = tl.dot(ds.to(key.dtype), key, sums)
        places = dq + at[:, None] * dq_token + head * D + tl.arange(0, D)[None, :]
        tl.store(places, (sums * scale).to(dq.dtype.element_ty), mask=rows[:, None] < length)

    @triton.jit(do_not_specialize=["tokens"])
    def of_keys(  # type: ignore[no-untyped-def]
        do, q, k, v, lse, delta, dk, dv, laid, tokens, scale, by, dk_token,
        GROUP: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    ):  # fmt: skip
        """dk and dv, summed over the queries' heads in one order: the same bits each time."""
        fewer, entry = tl.program_id(0), laid + tl.program_id(1) * 3
        start, length, first = tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)
        keys = first + tl.arange(0, BN)
        key = k.load([start + first, fewer * D])
        value = v.load([start + first, fewer * D])
        dkey = tl.zeros([BN, D], tl.float32)
        dvalue = tl.zeros([BN, D], tl.float32)
        # One loop over heads and tiles, so that the loads of a head's first tile run ahead too.
        steps = (length - first + BM - 1) // BM
        for step in range(0, steps * GROUP):
            if GROUP == 1:
                head, m = fewer, first + step * BM
            else:
                head, m = fewer * GROUP + step // steps, first + (step % steps) * BM
            rows = m + tl.arange(0, BM)
            at = head.to(tl.int64) * tokens + start + rows
            query = q.load([start + m, head * D])
            d = do.load([start + m, head * D])
            high = tl.load(lse + at, mask=rows < length, other=0.0) * 1.4426950408889634
            less = tl.load(delta + at, mask=rows < length, other=0.0)
            p = tl.exp2(tl.dot(key, tl.trans(query)) * by - high[None, :])
            p = tl.where((keys[:, None] <= rows[None, :]) & (rows[None, :] < length), p, 0.0)
            dvalue = tl.dot(p.to(d.dtype), d, dvalue)
            ds = p * (tl.dot(value, tl.trans(d)) - less[None, :])
            dkey = tl.dot(ds.to(query.dtype), query, dkey)
        at = (start.to(tl.int64) + keys)[:, None] * dk_token + fewer * D + tl.arange(0, D)[None, :]
        tl.store(dk + at, (dkey * scale).to(dk.dtype.element_ty), mask=keys[:, None] < length)
        tl.store(dv + at, dvalue.to(dv.dtype.element_ty), mask=keys[:, None] < length)
