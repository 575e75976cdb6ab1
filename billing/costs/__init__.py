"""What tenants cost us: priced stacks, the cloud's own bill, model vendors, and overhead. Posts to the ledger."""
