"""The whole configuration of a cell as one file: read, checked, compared, applied."""
