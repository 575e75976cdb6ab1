"""`pulumi-resource-kubernetes` as a stand-in: the types of the official SDK against a real kube-apiserver.

It follows the official plugin where a program could tell: server-side apply, what forces a replacement, what is waited
for, and which options of the provider change that. It is stricter in one point: an unknown field is an error, not a
warning.
"""
