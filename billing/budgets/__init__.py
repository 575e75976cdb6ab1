"""Budgets: how much may be spent in a month, and what happens on the way there. Holds standings; acts on no tenant."""
