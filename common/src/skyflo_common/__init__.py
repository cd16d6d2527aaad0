"""Code that the engine and the tool server share: the redactor and JSON types."""
