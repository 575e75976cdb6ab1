"""Threads and runs: their rows, who executes them, and the events they leave. Knows nothing of HTTP."""
