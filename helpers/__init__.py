"""The course's code, one noun per file, read downwards: catalog, footprint, ..., measure, plots, widgets."""
