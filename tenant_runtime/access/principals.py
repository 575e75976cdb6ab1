"""Who a request comes from: an id that rows name as their owner, and a role."""

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from contracts.runtime import RUNTIME_USER

Role = Literal["admin", "operator", "developer", "user", "auditor"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: Ids that the runtime gives itself: nobody else's key or token may carry them.
ADMIN_ID: Final = "admin"
BOOTSTRAP_ID: Final = "bootstrap"
_OWN_IDS: Final = frozenset({ADMIN_ID, BOOTSTRAP_ID, "runtime"})
KEY_ID_PREFIX: Final = "key:"
_USER: Final = re.compile(RUNTIME_USER)


@dataclass(frozen=True)
class Principal:
    """`id` is what rows name as owner and usage events as user."""

    id: str
    role: Role


def user_id_valid(value: str) -> bool:
    """Whether a key or a token may stand for this user: printable, short, and not an id of the runtime's own."""
    own = value in _OWN_IDS or value.startswith(KEY_ID_PREFIX)
    return not own and _USER.fullmatch(value) is not None
