"""Real Postgres and Redis servers from PyPI wheels, run as child processes of whoever needs them.

Owns: spawning, finding and ending processes; the two servers' files. Must not import any other room, know
tenants, or talk to Pulumi.
"""
