"""The C functions of LLM.int8() in bitsandbytes 0.44.1 and 0.45.5, computed by numpy in the CPU's memory.

Each takes the arguments that bitsandbytes passes to the function of that name in its CUDA library, reads and writes at
those very addresses, and computes what csrc/kernels.cu and csrc/ops.cu of that release do.
"""

import atexit
import ctypes
import os
from pathlib import Path

import numpy

OUTER = numpy.float32(6.200012e-05)  # MM_DEQUANT_CONST, 1 / 127**2


def laid(pointer, dtype, *shape):
    """The memory at a pointer as an array of that shape."""
    count = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
    return numpy.frombuffer((ctypes.c_char * count).from_address(pointer.value), dtype=dtype).reshape(shape)


def eight_bits(values, largest):
    """Integers of -127 to 127: the values over the largest ones (broadcast), times 127, rounded to even."""
    scaled = values * (numpy.float32(127) / numpy.where(largest > 0, largest, numpy.float32(1)))
    return numpy.clip(numpy.rint(scaled), -128, 127).astype(numpy.int8)


def product(inputs, weights):
    """`inputs @ weights.T` in integers, which 64-bit floats hold exactly."""
    return inputs.astype(numpy.float64) @ weights.astype(numpy.float64).T


class Kernels:
    """A C library with some functions of CUDA's added; it counts the products in 8 bits."""

    compiled_with_cuda = True

    def __init__(self, real):
        self.real, self.products, self.apart = real, 0, 0
        atexit.register(self.tell)

    def tell(self):
        """[products in 8 bits, those of them with outlying columns], a line a process, where a file is named for it."""
        place = os.environ.get("ENVDOC_KERNEL_CALLS")
        if place and self.products:
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(f"[{self.products}, {self.apart}]\n")

    def __getattr__(self, name):
        return getattr(self.real, name)


class Kernels45(Kernels):
    """Those of 0.45, whose matrices lie row by row."""

    def cint8_vector_quant(self, matrix, out, scales, threshold, rows, cols, _stream):
        """Each row scaled by its largest value to 127 and rounded to even; what reaches the threshold becomes 0."""
        values = laid(matrix, numpy.float16, rows.value, cols.value).astype(numpy.float32)
        if threshold.value:
            outlying = numpy.abs(values) >= threshold.value
            values[outlying] = 0
            self.apart += bool(outlying.any())
        largest = numpy.abs(values).max(axis=1)
        laid(scales, numpy.float32, rows.value)[:] = largest
        laid(out, numpy.int8, rows.value, cols.value)[:] = eight_bits(values, largest[:, None])

    def cigemmlt_32(self, _context, m, n, k, weight, seen, out, _scale, _lda, _ldb, _ldc, _stream):
        """`out[n, k] = seen[n, m] @ weight[k, m].T`."""
        self.products += 1
        weights, inputs = laid(weight, numpy.int8, k.value, m.value), laid(seen, numpy.int8, n.value, m.value)
        laid(out, numpy.int32, n.value, k.value)[:] = product(inputs, weights)
        return 0

    def cdequant_mm_int32_fp16(self, matrix, of_rows, of_cols, out, bias, rows, cols, _stream):
        """The integers times both scales over 127 squared, plus the bias, as fp16."""
        sums = laid(matrix, numpy.int32, rows.value, cols.value).astype(numpy.float32)
        scales = laid(of_rows, numpy.float32, rows.value)[:, None] * laid(of_cols, numpy.float32, cols.value)
        made = sums * (scales * OUTER)
        if bias is not None and bias.value:
            made = made + laid(bias, numpy.float16, cols.value).astype(numpy.float32)
        laid(out, numpy.float16, rows.value, cols.value)[:] = made


def filled(count, tile):
    """The next multiple of the tile."""
    return -(-count // tile) * tile


def col32(row, col, rows):
    """Where an element lies in cuBLASLt's COL32: blocks of 32 columns, row by row in each."""
    return col // 32 * 32 * rows + row * 32 + col % 32


def col_turing(row, col, rows):
    """COL4_4R2_8C: tiles of 8 by 32, their even rows first, four columns of four rows after one another."""
    tile = col // 32 * 32 * filled(rows, 8) + row // 8 * 256
    return tile + row % 2 * 128 + col % 32 // 4 * 16 + row % 8 // 2 * 4 + col % 4


def col_ampere(row, col, rows):
    """COL32_2R_4R4: tiles of 32 by 32 whose rows come in the order 0 1 8 9 16 17 24 25 2 3 10 11 ..."""
    tile, of_tile = col // 32 * 32 * filled(rows, 32) + row // 32 * 1024, row % 32
    return tile + ((of_tile % 8 // 2 * 4 + of_tile // 8) * 2 + of_tile % 2) * 32 + col % 32


PADDED = {col32: 1, col_turing: 8, col_ampere: 32}  # to how many rows each is filled up


def tiled(pointer, dtype, order, rows, cols):
    """(the memory of a matrix in that order, where each of its [rows, cols] elements lies in it)."""
    memory = laid(pointer, dtype, filled(rows, PADDED[order]) * filled(cols, 32))
    return memory, order(numpy.arange(rows)[:, None], numpy.arange(cols)[None, :], rows)


class Kernels44(Kernels):
    """Those of 0.44, whose matrices are multiplied in the layouts of cuBLASLt for Turing and Ampere."""

    def cget_col_row_stats(self, matrix, of_rows, of_cols, counts, threshold, rows, cols):
        """The largest value of each row and column below the threshold; how many reach it, by tiles of 16 by 256."""
        values = numpy.abs(laid(matrix, numpy.float16, rows.value, cols.value).astype(numpy.float32))
        if threshold.value:
            outlying = values >= threshold.value
            values[outlying] = 0
            self.apart += bool(outlying.any())
            down, across = -(-rows.value // 16), -(-cols.value // 256)
            whole = numpy.zeros((down * 16, across * 256), dtype=numpy.int32)
            whole[: rows.value, : cols.value] = outlying
            each = whole.reshape(down, 16, across, 256).sum(axis=3).transpose(0, 2, 1)  # tile, row of it
            laid(counts, numpy.int32, each.size + 1)[1:] = each.reshape(-1)
        laid(of_rows, numpy.float32, rows.value)[:] = values.max(axis=1)
        laid(of_cols, numpy.float32, cols.value)[:] = values.max(axis=0)

    def cdouble_rowcol_quant(self, matrix, of_rows, of_cols, by_cols, by_rows, *listed):
        """Every row, and every column, to 127; what reaches the threshold is 0 by rows, and listed with its place."""
        row_at, col_at, value_at, _counts, threshold, rows, cols = listed
        halves = laid(matrix, numpy.float16, rows.value, cols.value)
        values, shape = halves.astype(numpy.float32), (rows.value, cols.value)
        largest = laid(of_cols, numpy.float32, cols.value)[None, :]
        laid(by_cols, numpy.int8, *shape)[:] = eight_bits(values, largest)
        if threshold.value:
            row, col = numpy.nonzero(numpy.abs(values) >= threshold.value)
            order = numpy.lexsort((col, row, col // 256, row // 16))
            row, col = row[order], col[order]
            laid(row_at, numpy.int32, row.size)[:] = row
            laid(col_at, numpy.int32, row.size)[:] = col
            laid(value_at, numpy.float16, row.size)[:] = halves[row, col]
            values[row, col] = 0
        largest = laid(of_rows, numpy.float32, rows.value)[:, None]
        laid(by_rows, numpy.int8, *shape)[:] = eight_bits(values, largest)

    def transform(self, order, matrix, out, rows, cols):
        """From row by row to that order; what fills the tiles up stays as it is."""
        memory, places = tiled(out, numpy.int8, order, rows.value, cols.value)
        memory[places] = laid(matrix, numpy.int8, rows.value, cols.value)

    def ctransform_row2col32(self, *given):
        """`transform` to COL32."""
        self.transform(col32, *given)

    def ctransform_row2turing(self, *given):
        """`transform` to Turing's order."""
        self.transform(col_turing, *given)

    def ctransform_row2ampere(self, *given):
        """`transform` to Ampere's order."""
        self.transform(col_ampere, *given)

    def igemmlt(self, order, _context, m, n, k, seen, weight, out, *_strides):
        """`out[m, n] = seen[m, k] @ weight[n, k].T`: the first two in COL32, the weight in the order given."""
        self.products += 1
        inputs, of_inputs = tiled(seen, numpy.int8, col32, m.value, k.value)
        weights, of_weights = tiled(weight, numpy.int8, order, n.value, k.value)
        made, places = tiled(out, numpy.int32, col32, m.value, n.value)
        made[places] = product(inputs[of_inputs], weights[of_weights])
        return 0

    def cigemmlt_turing_32(self, *given):
        """`igemmlt` with a weight in Turing's order."""
        return self.igemmlt(col_turing, *given)

    def cigemmlt_ampere_32(self, *given):
        """`igemmlt` with a weight in Ampere's order."""
        return self.igemmlt(col_ampere, *given)

    def cdequant_mm_int32_fp16(self, matrix, of_rows, of_cols, out, _new_rows, _new_cols, bias, rows, cols):
        """COL32's integers times both scales over 127 squared, plus the bias, as fp16 row by row."""
        memory, places = tiled(matrix, numpy.int32, col32, rows.value, cols.value)
        made = memory[places].astype(numpy.float32) * OUTER
        made = (
            made
            * laid(of_rows, numpy.float32, rows.value)[:, None]
            * laid(of_cols, numpy.float32, cols.value)
        )
        if bias is not None:
            made = made + laid(bias, numpy.float16, cols.value).astype(numpy.float32)
        laid(out, numpy.float16, rows.value, cols.value)[:] = made

    def extract(self, order, matrix, columns, out, count, rows, cols):
        """Some columns of a matrix in that order, row by row."""
        memory, places = tiled(matrix, numpy.int8, order, rows.value, cols.value)
        laid(out, numpy.int8, rows.value, count.value)[:] = memory[
            places[:, laid(columns, numpy.int32, count.value)]
        ]

    def cextractOutliers_turing(self, *given):
        """`extract` from Turing's order."""
        self.extract(col_turing, *given)

    def cextractOutliers_ampere(self, *given):
        """`extract` from Ampere's order."""
        self.extract(col_ampere, *given)
