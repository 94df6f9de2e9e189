"""A fleet on paper."""


def lines(found):
    return []


def as_json(found):
    return None
