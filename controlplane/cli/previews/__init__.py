"""`freehold preview`: plans of one, several or all tenants, grouped by what they would change.

`fetch` asks the API for plans, `checkout` has them made by the code of a checked-out commit; `model` and `groups` are
pure decisions, `text` and `comment` show them.
"""
