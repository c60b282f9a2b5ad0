"""import pkg_resources, as code of before 2024 does."""

from _verdict import raises


def imported():
    import pkg_resources

    return pkg_resources.__name__


raises(imported, "No module named 'pkg_resources'")
