"""Plans an exported stack with this checkout's own program, provider, policy and prices, and changes nothing.

`python -m stacks.preview` reads a StackExport (contracts/export.py) from stdin and writes the plan, as the API shows
plans, to stdout. The state goes into a backend of its own that is thrown away. No credentials are needed: nothing is
refreshed, secrets on both sides are placeholders (`blinding`), and providers that would log in are told not to
(`offline`).
"""
