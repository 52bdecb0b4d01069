"""Text features."""

import string

TABLE = str.maketrans("", "", string.punctuation)


def clean(x: str) -> str:
    return x.translate(TABLE).strip()


def star(x):
    return clean(x) * 2
