"""A stand-in for the official AWS provider: its types answered by a moto server and, where moto has none, by a store.

What moto does wrong is repaired in `gaps`, what AWS demands of the order of things in `orders`; nothing else knows.
"""
