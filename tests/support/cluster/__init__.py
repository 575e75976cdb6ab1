"""A real Kubernetes control plane for tests: etcd, apiserver, controller-manager and scheduler as processes of this
machine. Only the nodes are played, by kwok: a pod that the scheduler bound is soon said to run.
"""
