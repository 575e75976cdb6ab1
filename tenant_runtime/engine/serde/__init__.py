"""How thread state lies in the database: sealed, bound to its place, and read back as known types only."""
