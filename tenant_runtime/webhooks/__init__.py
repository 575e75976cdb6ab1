"""Webhooks on completion: written with a run's end, signed and sent until they are taken or given up."""
