"""Invoices over rated usage. Measures nothing and knows no prices itself."""
