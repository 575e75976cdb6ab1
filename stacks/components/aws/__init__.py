"""A tenant's own AWS resources: network, key, cluster, machines, databases, bucket, identities.

Each has the tenant's tags, a name of ours, and the tenant's key where it stores anything. Lookups are pinned in the
placement: nothing here asks AWS while planning.
"""
