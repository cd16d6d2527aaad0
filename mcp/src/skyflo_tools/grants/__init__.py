"""Grants: an approved call's signed, single-use permission, and the store that remembers which have been used."""
