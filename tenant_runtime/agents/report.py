"""What is wrong with a manifest, all of it at once: one typed report, as text for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

ProblemCode = Literal[
    "manifest_unreadable",
    "manifest_malformed",
    "name_taken",
    "import_failed",
    "tool_missing",
    "tool_misfit",
    "adapter_misfit",
    "schema_changed",
    "schema_unknown",
    "trigger_misfit",
    "secret_missing",
]


@dataclass(frozen=True)
class Problem:
    """One thing that keeps the runtime from starting. `place` is where in the manifest, `todo` what to do."""

    code: ProblemCode
    place: str
    detail: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}" + (f" ({self.todo})" if self.todo else "")


@dataclass(frozen=True)
class Report:
    """`agents` and `triggers` name what loaded. Good means that there is no problem at all."""

    manifest: str
    agents: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def good(self) -> bool:
        return not self.problems

    def with_problems(self, more: Sequence[Problem]) -> "Report":
        return Report(self.manifest, self.agents, self.triggers, (*self.problems, *more))

    def data(self) -> dict[str, Any]:
        return {
            "manifest": self.manifest,
            "ok": self.good,
            "agents": list(self.agents),
            "triggers": list(self.triggers),
            "problems": [asdict(problem) for problem in self.problems],
        }

    def text(self) -> str:
        """Several lines: the verdict, then each problem with what to do beneath it."""
        if self.good:
            names = f"agents {', '.join(self.agents)}"
            if self.triggers:
                names += f"; triggers {', '.join(self.triggers)}"
            return f"{self.manifest}: good ({names})"
        count = len(self.problems)
        lines = [f"{self.manifest}: {count} problem{'s' if count > 1 else ''}, nothing is served"]
        for problem in self.problems:
            lines.append(f"  {problem.place}: {problem.detail} [{problem.code}]")
            if problem.todo:
                lines.append(f"    {problem.todo}")
        return "\n".join(lines)
