"""Agents: the manifest that names them, the adapters that load them, and what a run hands to them."""
