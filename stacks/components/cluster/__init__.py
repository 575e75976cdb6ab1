"""What of a tenant runs in a Kubernetes cluster, its own (target aws) or a shared one (target kubernetes).

Plain resources of ours, no Helm release: a release hides its resources from the plan, from policy and from the leak
scan. Manifests are written as Kubernetes documents them; `site.py` says whose they are.
"""
