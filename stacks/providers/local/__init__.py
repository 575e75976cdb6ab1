"""The provider `local`: a tenant's servers as processes of this machine, and the verbs to start them again.

`server` and `provider` speak Pulumi's protocol. Everything else here must not import Pulumi: `boot`, `halt`
and `list` run at every start of the machine.
"""
