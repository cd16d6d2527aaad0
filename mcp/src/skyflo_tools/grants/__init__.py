"""Grants: signed, single-use permissions for one approved call, and the store of used grants."""
