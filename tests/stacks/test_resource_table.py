"""The page of resources says what the programs plan."""

from tests.support import resource_table


def test_the_page_is_what_the_programs_plan() -> None:
    text = resource_table.PAGE.read_text(encoding="utf-8")
    assert resource_table.page(text) == text, "out of date: python -m tests.support.resource_table"
