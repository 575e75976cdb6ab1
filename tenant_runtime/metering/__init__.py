"""Usage as facts: written to an outbox where they happen, pushed to the control plane in order, later."""
