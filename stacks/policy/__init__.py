"""Checks over the resources of a plan, before anything is changed.

A rule is a small function over a `Planned` (rules/ holds ours, an operator adds files of their own); `evaluate` asks
all of them and applies the exceptions that have an owner and have not expired.
"""
