"""The sheet that reports are written on: what stands at the head and the foot of each page."""

from datetime import datetime

from fpdf.enums import XPos, YPos

from billing.paper.sheet import MARGIN, MUTED, WIDTH, Sheet, fitted, moment_text, type_set


class ReportSheet(Sheet):
    """`label` stands at the head; `generated_at` and `as_of` are the report's own (ISO 8601). fpdf calls what draws."""

    def __init__(self, *, title: str, label: str, generated_at: str, as_of: str) -> None:
        super().__init__(title=title, made_at=datetime.fromisoformat(generated_at), foot=22)
        self.label, self.as_of = label, as_of

    def header(self) -> None:
        self.bar_draw()
        self.set_xy(MARGIN, 10)
        type_set(self, 9, MUTED, "B")
        self.cell(WIDTH / 2, 6, "FREEHOLD")
        type_set(self, 9, MUTED)
        label = fitted(self, self.label, WIDTH / 2)
        self.cell(WIDTH / 2, 6, label, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(4)

    def footer(self) -> None:
        self.set_y(-15)
        type_set(self, 8, MUTED)
        self.cell(WIDTH / 2, 6, f"Usage known at {moment_text(self.as_of)}")
        self.cell(WIDTH / 2, 6, f"Page {self.page_no()} of {{nb}}", align="R")
