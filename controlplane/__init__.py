"""The control plane. Kept empty on purpose: the runner subprocess imports from here and must start fast."""
