"""Snapshots of tenants' data as the control plane knows them. The work itself is done in `stacks/snapshots`."""
