"""What a tenant's stack is made of: target programs, their components, and the provider for this machine.

Imports only `contracts`, `embedded` and third-party packages. Programs are pure functions of a StackSpec.
"""
