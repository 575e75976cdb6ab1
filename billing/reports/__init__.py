"""The usage report of a month, as data, CSV and PDF. All three show the same numbers as the invoice
preview."""
