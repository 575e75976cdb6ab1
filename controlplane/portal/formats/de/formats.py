"""Inputs, drawings and values of forms are read by programs; see figures.py for what people read."""

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 0
