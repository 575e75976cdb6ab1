"""Agent2Agent 1.0: a run is a task, a thread is a context."""
