"""The tools of the agents in this folder: plain functions, one file a call."""

from pathlib import Path


def read_file(path: str) -> str:
    """Read a text file.

    Args:
        path: The file, relative to the current folder.

    Returns:
        Its text.
    """
    return Path(path).read_text()


def edit_file(path: str, old_string: str, new_string: str) -> str:
    """Replace a text in a file by another.

    Args:
        path: The file, relative to the current folder.
        old_string: What to replace; it stands exactly once in the file.
        new_string: What to put in its place.

    Returns:
        What was done, or what was wrong.
    """
    text = Path(path).read_text()
    if text.count(old_string) != 1:
        return f"Error: found {text.count(old_string)} times"
    Path(path).write_text(text.replace(old_string, new_string))
    return f"Edited {path}"
