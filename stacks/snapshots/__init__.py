"""Snapshots of a tenant's data: taking, checking, restoring, and the drill that proves a restore.

Owns: the files of a snapshot and what is in them. Knows no control plane: ids, folders and keys come with the job.
"""
