"""Benchmarks of the real components: each measures, writes its figures and nothing else. No test waits on a time."""
