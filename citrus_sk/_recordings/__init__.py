"""From recordings in files to values on one grid: what `citrus_sk._corpus` is built on."""
