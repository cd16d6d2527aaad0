"""The Skyflo engine as an installed package; in a checkout it holds the console scripts only (docs/adr/0040)."""
