"""Tables and texts in a notebook: escaped, and numbers set right."""

from kdsnn.display import Displayed, Table, cell_text


class Result(Displayed):
    def blocks(self) -> tuple[Table | str, ...]:
        table = Table("<b>", ("name", "two\nlines"), [("a&b", 1234), ("c", None)])
        return table, "first\n<script>"


def test_a_result_is_shown_as_tables_and_paragraphs() -> None:
    html = Result()._repr_html_()
    assert html.count("<tr>") == 3
    assert "<caption>&lt;b&gt;</caption>" in html
    assert '<td style="text-align: left">a&amp;b</td><td style="text-align: right">1,234</td>' in html
    assert '<th style="text-align: right">two lines</th>' in html
    assert '<td style="text-align: right">-</td>' in html
    assert html.endswith("<p>first<br>&lt;script&gt;</p>")


def test_cells() -> None:
    assert [cell_text(cell) for cell in (None, 1000000, 0.5, "x")] == ["-", "1,000,000", "0.5", "x"]


def test_printed_it_is_text_with_the_columns_under_each_other() -> None:
    title, table, note = str(Result()).split("\n\n")
    assert title == "<b>"
    assert table == " name    two\n       lines\n ───────────\n a&b   1,234\n c         -"
    assert note == "first\n<script>"
