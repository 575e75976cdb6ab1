"""What can go wrong in a stack.

StacksError
├── TargetUnknown      no program of that name, or the spec lacks what the target needs (caller)
├── InputInvalid       a resource's inputs cannot be carried out (caller)
├── PolicyBroken       an operator's rules or exceptions cannot be used (operator)
├── PricesBroken       a price table cannot be used (operator)
├── UnitBroken         what lies in a unit's folder cannot be used (operator)
├── UnitBusy           another process works on the unit; it ends by itself (retry)
└── UnitNotReady       a process ended or stayed silent (operator: the text holds its log's end)
"""


class StacksError(Exception):
    """Base of this room. The text says what was wrong and what to do; it never holds a secret."""


class TargetUnknown(StacksError):
    pass


class InputInvalid(StacksError):
    pass


class PolicyBroken(StacksError):
    pass


class PricesBroken(StacksError):
    pass


class UnitBroken(StacksError):
    pass


class UnitBusy(StacksError):
    pass


class UnitNotReady(StacksError):
    pass
