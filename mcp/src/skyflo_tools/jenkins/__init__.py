"""Jenkins over its REST API."""
