"""Evaluates arithmetic written by a model: a walk over the syntax tree, no names, no calls, bounded numbers."""

import ast
import operator
from collections.abc import Callable
from decimal import Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Final

from tenant_runtime.errors import ToolFailed

_BINARY: Final[dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_MAX_EXPONENT: Final = 1000


def arithmetic_evaluate(expression: str) -> str:
    """The value with up to 28 digits, without a trailing `.0`; ToolFailed for anything but arithmetic."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ToolFailed("this is not arithmetic", code="expression_invalid") from error
    try:
        with localcontext() as context:
            # Bounded digits and exponents: 9**9**9 ends as an overflow at once instead of eating the machine.
            context.prec, context.Emax, context.Emin = 28, 999, -999
            value = _value(tree.body)
            return f"{value.normalize():f}"
    except (DivisionByZero, InvalidOperation, Overflow, RecursionError) as error:
        raise ToolFailed(f"no finite result: {type(error).__name__}", code="expression_invalid") from error


def _value(node: ast.expr) -> Decimal:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        return Decimal(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > _MAX_EXPONENT:
            raise ToolFailed(f"exponents end at {_MAX_EXPONENT}", code="expression_invalid")
        return _BINARY[type(node.op)](left, right)
    raise ToolFailed("only numbers and + - * / // % ** ( ) are allowed", code="expression_invalid")
