"""What cells may be called: their names are names of files and parts of keys."""


def is_cell(name: str) -> bool:
    """Whether something may be the name of a cell."""
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum()
