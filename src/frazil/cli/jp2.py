def export_jp2() -> None:
    """x"""


def import_jp2() -> None:
    """x"""
