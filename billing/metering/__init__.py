"""What was used: events stored once, gauges, and spans of resources. Knows no prices."""
