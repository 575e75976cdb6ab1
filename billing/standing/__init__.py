"""A tenant's billing standing and what follows from it. Says what is; who runs tenants acts on it."""
