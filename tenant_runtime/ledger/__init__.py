"""The step ledger: each model call, embedding and tool call of a run takes effect once, whatever dies meanwhile.

Intent is committed before a call goes out, and its outcome, with the usage event, before the agent sees it. A replay
of the same step finds the outcome and neither calls nor bills again. Knows nothing of HTTP and of single agents.
"""
