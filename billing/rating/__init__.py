"""Prices on quantities: pure functions over decimals. No database, no clock, no Django."""
