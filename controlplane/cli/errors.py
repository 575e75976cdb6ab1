"""Errors of the command line, each with its exit code (contract.md section 2).

CliError (1)
├── UsageFailure (2)         the command line is wrong
├── NeedsApproval (3)        a person must approve first
├── NotAuthenticated (4)     no key, or a wrong one
├── Denied (5)               a role, a policy or a protection forbids it
├── Missing (6)              there is no such thing
├── Canceled (8)
└── WaitingTimedOut (9)      the operation goes on
"""

from typing import Any, ClassVar


class CliError(Exception):
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problem = problem or {}

    def to_json(self) -> dict[str, Any]:
        body = {"error": self.message, "hint": self.hint, "exit_code": self.exit_code}
        return {**body, "problem": self.problem} if self.problem else body


class UsageFailure(CliError):
    exit_code = 2


class NeedsApproval(CliError):
    exit_code = 3


class NotAuthenticated(CliError):
    exit_code = 4


class Denied(CliError):
    exit_code = 5


class Missing(CliError):
    exit_code = 6


class Canceled(CliError):
    exit_code = 8


class WaitingTimedOut(CliError):
    exit_code = 9


_BY_STATUS: dict[int, type[CliError]] = {
    401: NotAuthenticated,
    403: Denied,
    404: Missing,
    422: UsageFailure,
    400: UsageFailure,
}


def error_of_problem(status: int, problem: dict[str, Any]) -> CliError:
    """The error of an API answer that is not a success."""
    kind = _BY_STATUS.get(status, CliError)
    if problem.get("code") == "deletion_protected":
        kind = Denied
    message = str(problem.get("detail") or problem.get("title") or f"The API answered {status}.")
    return kind(message, hint=str(problem.get("hint", "")), problem=problem)
