"""What a tenant owes for a period: measured, under its terms, rated. Everything that shows money asks here."""
