"""The proof that the README's commands need what it says and no more: they run on a bare machine, and pass."""
