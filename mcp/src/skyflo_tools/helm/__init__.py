"""Helm releases: read from their Secrets without a binary, and changed by the helm binary."""
