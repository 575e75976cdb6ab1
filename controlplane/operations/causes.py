"""The catalogue of why operations fail: one row for each cause, with a sentence, the next step and a command.

docs/runbooks/failure-codes.md has a row for each code; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Final

RETRY: Final = "freehold operations retry ID"


@dataclass(frozen=True)
class Cause:
    """`sentence` ends a title such as `Applying failed at X: ...`; `hint` is the next step; `command` helps with it.
    Without `patterns` a cause is never recognised in text: Freehold knows it when it happens."""

    code: str
    sentence: str
    hint: str
    command: str = RETRY
    patterns: tuple[str, ...] = ()

    def step(self) -> str:
        """The next step with its command line."""
        return f"{self.hint} Then: {self.command}" if self.command == RETRY else f"{self.hint} {self.command}"


#: In the order in which they are looked for: what caused the others comes first.
CAUSES: Final = (
    Cause(
        "disk_full",
        "the disk is full",
        "Free disk space; `freehold doctor` says how much is left.",
        patterns=(
            r"No space left on device",
            r"could not (?:extend|write to) file",
            r"disk quota exceeded",
            r"ENOSPC",
        ),
    ),
    Cause(
        "out_of_memory",
        "the machine has no memory left",
        "Give the machine memory, or the tenant smaller sizes.",
        patterns=(
            r"Cannot allocate memory",
            r"could not map anonymous shared memory",
            r"\bMemoryError\b",
            r"\bout of memory\b",
            r"signal: killed",
        ),
    ),
    Cause(
        "port_taken",
        "another process listens on a port it needs",
        "End the process that the detail names.",
        patterns=(
            r"port \d+ on \S+ is taken by",
            r"Address already in use",
            r"no \d+ neighbouring free ports",
        ),
    ),
    Cause(
        "stack_locked",
        "another Pulumi run holds this stack",
        "Wait for the other run to end. If nothing runs, see docs/runbooks/stack-locked.md.",
        patterns=(r"the stack is currently locked by",),
    ),
    Cause(
        "passphrase_wrong",
        "the passphrase does not open this stack's secrets",
        "Put back the passphrase that the stack was made with (PULUMI_CONFIG_PASSPHRASE_FILE).",
        patterns=(
            r"incorrect passphrase",
            r"passphrase must be set",
            r"unable to find either `?PULUMI_CONFIG_PASSPHRASE",
            r"reading passphrase file",
            r"get passphrase",
            r"unable to read PULUMI_CONFIG_PASSPHRASE",
        ),
    ),
    Cause(
        "backend_denied",
        "the state's store refused the login",
        "A run whose lease was taken away is refused on purpose; else correct PULUMI_BACKEND_URL.",
        patterns=(
            r"is not permitted to log in",
            r"password authentication failed",
            r"28P01",
            r"permission denied for (?:schema|table|database)",
            r"AccessDenied",
        ),
    ),
    Cause(
        "backend_unreachable",
        "the store of the stacks' state does not answer",
        "Start it, or correct PULUMI_BACKEND_URL; `freehold status` shows whether Postgres runs.",
        patterns=(
            r"(?:ping|open|connect to|read|list)[^\n]*(?:bucket|backend|database|postgres)[^\n]*"
            r"(?:refused|no such host|timed? ?out|no such file)",
            r"unable to open (?:state|bucket)",
            r"terminating connection due to administrator command",
            r"the database system is (?:starting up|shutting down)",
        ),
    ),
    Cause(
        "provider_missing",
        "the provider's program is not installed",
        "Install it: `make install`.",
        patterns=(
            r"no resource plugin '?pulumi-resource-",
            r"could not (?:load|find) (?:resource )?plugin",
            r"[Cc]ould not automatically download and install resource plugin",
        ),
    ),
    Cause(
        "provider_crashed",
        "the provider ended in the middle of its work",
        "What it was doing may be half done, and the next run puts it right.",
        patterns=(
            r"transport is closing",
            r"error reading from server: EOF",
            r"code = Unavailable",
            r"plugin[^\n]*exited prematurely",
            r"could not read plugin",
            r"unexpected \w+ in the provider",
        ),
    ),
    Cause(
        "postgres_not_ready",
        "Postgres does not start",
        "The detail has the end of its log.",
        patterns=(r"Postgres of \S+ on port \d+ is not ready", r"Postgres on port \d+ did not answer"),
    ),
    Cause(
        "redis_not_ready",
        "Redis does not start",
        "The detail has the end of its log.",
        patterns=(r"Redis of \S+ on port \d+ is not ready",),
    ),
    Cause(
        "runtime_not_ready",
        "the agent runtime does not become ready",
        "The detail has its last answer and the end of its log.",
        patterns=(
            r"the runtime of tenant \S+ at \S+ is not ready",
            r"a new process of the runtime of tenant \S+ did not become ready",
        ),
    ),
    Cause(
        "server_setup_failed",
        "a database could not be set up",
        "The detail has the server's words.",
        patterns=(
            r"initdb failed for",
            r"(?:Postgres|Redis) on port \d+ (?:refused|does not answer)\b",
            r"was made by Postgres \d+",
        ),
    ),
    Cause(
        "unit_busy",
        "another process still works on the same component",
        "It ends by itself; wait a minute.",
        patterns=(r"another process has worked on \S+ for \d+ s",),
    ),
    Cause(
        "unit_broken",
        "what lies in a component's folder cannot be used",
        "Do what the detail says with the file it names.",
        patterns=(r"is not a unit file", r"so nobody can log in to what it opens", r"is of the unknown kind"),
    ),
    Cause(
        "release_missing",
        "the release of the runtime that the tenant is pinned to is not installed",
        "Install it where the detail says and retry, or move the tenant on.",
        command="freehold tenants upgrade SLUG",
        patterns=(r"release \S+ of the runtime is not installed",),
    ),
    Cause(
        "permission_denied",
        "a file or folder may not be used by the user that Freehold runs as",
        "Mend its owner or mode; the detail names it.",
        patterns=(r"Permission denied", r"Operation not permitted", r"cannot reach .* setpriv"),
    ),
    Cause(
        "state_conflict",
        "the stack's state contradicts itself",
        "Look at it with the plain pulumi command (`up.json` has its address); `pulumi state repair` mends most.",
        command="freehold tenants refresh SLUG",
        patterns=(
            r"snapshot integrity failure",
            r"the current deployment has \d+ resource\(s\) with pending operations",
            r"after mutation of snapshot",
            r"duplicate resource URN",
        ),
    ),
    Cause(
        "input_invalid",
        "the sizes or settings asked for cannot be carried out",
        "Correct the overrides that the detail names.",
        command="freehold tenants update SLUG",
        patterns=(r"validation errors? for \w+", r"no target is called", r"must be an absolute path"),
    ),
    Cause(
        "engine_canceled",
        "the engine was told to stop",
        "Somebody or something sent it a signal; what was in flight was finished.",
        patterns=(r"error: update canceled", r"error: preview canceled", r"BAIL: canceled"),
    ),
    Cause(
        "program_failed",
        "the stack's program raised an exception",
        "That is a fault of Freehold: the operation's log has the traceback.",
        command="freehold operations logs ID",
        patterns=(r"[Pp]rogram failed with an unhandled exception", r"Traceback \(most recent call last\)"),
    ),
    Cause(
        "policy_broken",
        "a policy file cannot be used",
        "Mend the file that the detail names (FREEHOLD_POLICY_FILES, FREEHOLD_POLICY_EXCEPTIONS).",
        patterns=(r"the policy (?:file|exceptions)\b", r"exception \d+ in \S+, field"),
    ),
    Cause(
        "prices_broken",
        "a price table cannot be used",
        "Mend the file that the detail names (FREEHOLD_PRICE_TABLES).",
        patterns=(r"the price tables? ",),
    ),
    # What Freehold itself knows when it happens.
    Cause(
        "policy_denied",
        "policy does not allow the plan",
        "Change what the detail names, or have an exception recorded with an owner and an end.",
        command="freehold operations plan ID",
    ),
    Cause("pulumi_failed", "the engine refused", "Mend what the detail names."),
    Cause(
        "engine_killed",
        "the Pulumi engine was killed",
        "See the system's log and free memory: Pulumi goes on from the state it saved.",
    ),
    Cause(
        "plan_stale",
        "the stack's state moved after the plan was approved",
        "Nothing was changed; a fresh plan is computed and waits for approval.",
    ),
    Cause(
        "deadline_exceeded",
        "it took longer than FREEHOLD_OPERATION_DEADLINE_S",
        "The timeline shows which resource was slow.",
        command="freehold operations logs ID",
    ),
    Cause(
        "queue_deadline",
        "it waited in the queue for longer than it may",
        "Let what holds its tenant or the slots end, or raise the limits.",
    ),
    Cause("runner_died", "the runner ended without a result", "Pulumi goes on from the state it saved."),
    Cause(
        "executor_lost",
        "its workers died too often, or on a host that nobody here can see",
        "See what kills them: memory and disk are the usual causes.",
        command="freehold doctor",
    ),
    Cause(
        "executor_failed",
        "a fault inside Freehold",
        "The worker's log has the traceback: .freehold/logs/worker.log.",
    ),
    Cause(
        "verification_failed",
        "the stack was changed, but does not answer as it should",
        "See which component is to blame.",
        command="freehold tenants health SLUG",
    ),
    Cause(
        "not_at_rest",
        "something that should be suspended still runs or answers",
        "End what the detail names.",
    ),
    Cause(
        "leak_scan_undecided",
        "nobody can say whether something of the tenant is left on its target",
        "See that what the detail names answers, and that Freehold may ask it.",
    ),
    Cause(
        "leak_found", "something of the tenant is left on its target", "End or remove what the detail names."
    ),
    # Of a tenant's data.
    Cause(
        "snapshot_corrupt",
        "the snapshot is damaged",
        "Nothing was changed. Restore another snapshot.",
        command="freehold tenants snapshots SLUG",
    ),
    Cause(
        "snapshot_gone",
        "the snapshot was deleted or expired meanwhile",
        "Nothing was changed. Restore another snapshot.",
        command="freehold tenants snapshots SLUG",
    ),
    Cause(
        "snapshot_failed",
        "a store could not be read, or the snapshot not written",
        "The tenant was not touched. Mend what is named.",
    ),
    Cause(
        "final_snapshot_failed",
        "the final snapshot could not be taken, so nothing was destroyed",
        "Mend what is named, then retry. Unwanted data needs no final snapshot.",
        command="freehold tenants delete SLUG --skip-final-snapshot",
    ),
    Cause(
        "restore_drill_failed",
        "the final snapshot did not pass its restore drill, so nothing was destroyed",
        "A fresh snapshot is taken and tried. If it repeats, look at the tenant's databases.",
    ),
    Cause(
        "restore_failed",
        "the data could not be brought in",
        "The tenant has the data it had before, unless the detail says otherwise. Mend what is named.",
    ),
    Cause(
        "state_unavailable",
        "the database of the stacks' state does not answer",
        "Start it; `freehold status` shows whether Postgres runs.",
    ),
    Cause(
        "state_not_fenced",
        "the store of the stacks' state cannot keep an old run out",
        "Give it a login that may make roles.",
        command="freehold doctor",
    ),
)
