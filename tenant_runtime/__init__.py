"""The agent runtime deployed into one tenant's stack. Knows nothing of Django, the control plane or billing."""

import os

__version__ = "0.1.0"

# Checkpoint rows are bytes from a database: without strict mode msgpack rebuilds any object they name,
# which runs code (CVE-2026-28277). LangGraph reads this once, at import, so it is set before any import.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
# A tenant's prompts do not leave its stack unless somebody asks for tracing explicitly.
os.environ.setdefault("LANGSMITH_TRACING", "false")
