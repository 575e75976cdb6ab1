"""Triggers: signed messages from outside that start runs, and runs that start runs; each starts one run, once."""
