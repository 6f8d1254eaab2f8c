"""Several consecutive numbers of an array as one value, which the compiler keeps in vector registers.

numba vectorises the innermost loop of a product only, and then loads and stores the sums in every turn of the loop.
With a vector as a value the sums of a product stay in registers from its first term to its last.

Arrays are row-major; `at` counts their numbers from the first one.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["add_scaled", "load", "store"]


class Vector(types.Type):  # type: ignore[misc]
    """`size` numbers of one type."""

    def __init__(self, dtype: Any, size: int) -> None:
        self.dtype, self.size = dtype, size
        super().__init__(name=f"Vector({dtype}, {size})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """One value of the compiler."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), kind.size))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Address of a number of an array."""
    return builder.gep(cgutils.create_struct_proxy(kind)(context, builder, array).data, [at])


@intrinsic(prefer_literal=True)
def load(context: Any, array: Any, at: Any, size: Any) -> Any:
    """The vector array[at : at + size]; `size` is a constant."""
    vector = Vector(array.dtype, size.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(vector)
        address = builder.bitcast(_pointer(context, builder, array, args[0], args[1]), kind.as_pointer())
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return vector(array, at, size), generate


@intrinsic
def store(context: Any, array: Any, at: Any, vector: Any) -> Any:
    """array[at : at + size] = vector"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(vector)
        address = builder.bitcast(_pointer(context, builder, array, args[0], args[1]), kind.as_pointer())
        builder.store(args[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, at, vector), generate


@intrinsic
def add_scaled(context: Any, total: Any, array: Any, at: Any, vector: Any) -> Any:
    """The vector total + array[at] vector, by fused multiply-adds where the processor has them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(vector)
        number = builder.load(_pointer(context, builder, array, args[1], args[2]))
        first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.size), [0] * vector.size)
        repeated = builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), lanes)
        scaled = builder.fmul(repeated, args[3], flags=("contract",))
        return builder.fadd(args[0], scaled, flags=("contract",))

    return total(total, array, at, vector), generate
