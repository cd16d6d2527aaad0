"""What is in the sandbox's cluster when it is first opened: three nodes and a shop with a week behind it."""
