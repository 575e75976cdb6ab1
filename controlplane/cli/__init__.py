"""The `freehold` command: a client of the REST API, and the keeper of what runs on this machine.

It does not import Django: it must answer within a tenth of a second, and it may not reach into the database.
"""
