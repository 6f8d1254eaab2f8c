"""Addresses of numbers, and several consecutive numbers as one value, which the compiler keeps in vector registers.

numba vectorises the innermost loop of a product only, and then loads and stores the sums in every turn of the loop.
With a vector as a value the sums of a product stay in registers from its first term to its last.

numba counts references to each array that a function receives, which costs as much as a short product. An address has
no count; whoever takes it must keep the array alive.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["add_scaled", "address", "double", "load", "plus", "scaled", "store", "times", "transpose_square"]

_compiled: Any = intrinsic  # a function of compiled code, whose first argument here is the compiler's


class Vector(types.Type):
    """`size` numbers of one type."""

    def __init__(self, dtype: Any, size: int) -> None:
        self.dtype, self.size = dtype, size
        super().__init__(name=f"Vector({dtype}, {size})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    """One value of the compiler."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        number = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, kind.size))  # type: ignore[no-untyped-call]


@_compiled
def address(context: Any, array: Any, at: Any) -> Any:
    """Address of the number `at` of a row-major array, or of the number `at` after another address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        base = args[0]
        if isinstance(array, types.Array):
            base = cgutils.create_struct_proxy(array)(context, builder, base).data  # type: ignore[no-untyped-call]
        return builder.gep(base, [args[1]])

    return types.CPointer(array.dtype)(array, at), generate  # type: ignore[no-untyped-call]


@_compiled(prefer_literal=True)
def load(context: Any, numbers: Any, at: Any, size: Any) -> Any:
    """The vector of the `size` numbers from the number `at` on; `size` is a constant."""
    vector = Vector(numbers.dtype, size.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(builder.gep(args[0], [args[1]]), context.get_value_type(vector).as_pointer())
        return builder.load(pointer, align=numbers.dtype.bitwidth // 8)

    return vector(numbers, at, size), generate


@_compiled
def store(context: Any, numbers: Any, at: Any, vector: Any) -> Any:
    """Write a vector to the numbers from the number `at` on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(builder.gep(args[0], [args[1]]), context.get_value_type(vector).as_pointer())
        builder.store(args[2], pointer, align=numbers.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(numbers, at, vector), generate


def _repeated(context: Any, builder: Any, vector: Any, numbers: Any, at: Any) -> Any:
    """The vector with one number in all places."""
    kind = context.get_value_type(vector)
    number = builder.load(builder.gep(numbers, [at]))
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.size), [0] * vector.size)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), lanes)


@_compiled
def scaled(context: Any, numbers: Any, at: Any, vector: Any) -> Any:
    """The vector numbers[at] vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(_repeated(context, builder, vector, args[0], args[1]), args[2], flags=("contract",))

    return vector(numbers, at, vector), generate


@_compiled
def add_scaled(context: Any, total: Any, numbers: Any, at: Any, vector: Any) -> Any:
    """The vector total + numbers[at] vector, by fused multiply-adds where the processor has them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product = builder.fmul(_repeated(context, builder, vector, args[1], args[2]), args[3], flags=("contract",))
        return builder.fadd(args[0], product, flags=("contract",))

    return total(total, numbers, at, vector), generate


@_compiled
def times(context: Any, a: Any, b: Any) -> Any:
    """The vector of the products of the numbers of two vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args, flags=("contract",))

    return a(a, b), generate


@_compiled
def plus(context: Any, a: Any, b: Any) -> Any:
    """The sum of two vectors."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args, flags=("contract",))

    return a(a, b), generate


@_compiled
def double(context: Any, a: Any) -> Any:
    """The vector with its numbers in double precision."""
    wide = Vector(types.float64, a.size)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if a.dtype == types.float64 else builder.fpext(args[0], context.get_value_type(wide))

    return wide(a), generate


@_compiled(prefer_literal=True)
def transpose_square(context: Any, out: Any, so: Any, a: Any, sa: Any, size: Any) -> Any:
    """out[c, r] = a[r, c] for r, c < size, a constant power of two; the rows are so and sa numbers apart."""
    n = size.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(Vector(a.dtype, n)).as_pointer()
        align = a.dtype.bitwidth // 8

        def row(base: Any, stride: Any, r: int) -> Any:
            return builder.bitcast(builder.gep(base, [builder.mul(stride, stride.type(r))]), kind)

        v = [builder.load(row(args[2], args[3], r), align=align) for r in range(n)]
        s = 1
        while s < n:  # exchange two of the four s x s parts of each 2 s x 2 s part
            low = ir.Constant(ir.VectorType(ir.IntType(32), n), [k + (n - s if k & s else 0) for k in range(n)])
            high = ir.Constant(ir.VectorType(ir.IntType(32), n), [k + (n if k & s else s) for k in range(n)])
            for i in (i for i in range(n) if not i & s):
                first, second = v[i], v[i | s]
                v[i], v[i | s] = (builder.shuffle_vector(first, second, mask) for mask in (low, high))
            s *= 2
        for r in range(n):
            builder.store(v[r], row(args[0], args[1], r), align=align)
        return context.get_dummy_value()

    return types.void(out, so, a, sa, size), generate
