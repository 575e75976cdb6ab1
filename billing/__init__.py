"""Metering, rating and invoices, keyed by tenant UUID. Knows no tenants, and suspends nobody."""
