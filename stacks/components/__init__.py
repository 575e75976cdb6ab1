"""The parts of a tenant's stack as ComponentResources: one module a part, one class a target.

Each module holds the part's typed Args, which mean the same on every target, and the classes that build it
(`LocalPostgres`...). A class exposes its addresses as Outputs, and `describe()` tells operators what it is.
Names are chosen here, before anything is created.
"""
