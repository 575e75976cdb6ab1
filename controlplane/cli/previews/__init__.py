"""`freehold preview`: plans of one, several or all tenants, grouped by what they would change.

`fetch` asks the API, `model` and `groups` are pure decisions, `text` and `comment` show them.
"""
