"""The kept results parse and say what they measure; the page's table is theirs. No test here waits on a time."""

import re
import tempfile
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.__main__ import BENCHMARKS, NAMES, main
from benchmarks.figures import Figure, Record, Result, Unit, percentile, rounded, single, spread
from benchmarks.page import BEGIN, END, PAGE, RESULTS, page_with, record_write, records_read, table_render

RECORDS = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_result_parses_and_every_figure_has_a_unit(path: Path) -> None:
    record = Record.model_validate_json(path.read_text(encoding="utf-8"))
    assert record.result.name == path.stem
    assert record.command == f"python -m benchmarks {path.stem}"
    assert record.result.figures
    for figure in record.result.figures:
        assert figure.unit in get_args(Unit)
        assert figure.n > 0
        assert (figure.value is None) == (figure.p50 is not None), "a value or a spread, not both"
        if figure.p50 is not None:
            assert figure.max is not None
            assert 0 < figure.p50 <= (figure.p95 or figure.max) <= figure.max


def test_every_benchmark_has_a_result_and_every_result_a_benchmark() -> None:
    assert {path.stem for path in RECORDS} == set(BENCHMARKS)


def test_results_name_no_path_of_a_machine() -> None:
    for path in RECORDS:
        text = path.read_text(encoding="utf-8")
        assert str(Path.home()) not in text or str(Path.home()) == "/"
        assert tempfile.gettempdir() not in text
        assert str(RESULTS.parent.parent) not in text


def test_the_table_on_the_page_is_generated_from_the_results() -> None:
    kept = PAGE.read_text(encoding="utf-8")
    wanted = page_with(kept, table_render(records_read(NAMES)))
    assert kept == wanted, "docs/benchmarks.md differs from benchmarks/results: run `make bench`"


def test_a_number_edited_by_hand_is_noticed() -> None:
    kept = PAGE.read_text(encoding="utf-8")
    table = table_render(records_read(NAMES))
    row = next(line for line in kept.splitlines() if line.startswith("| ingest |"))
    edited = kept.replace(row, re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), row))
    assert edited != kept
    assert page_with(edited, table) != edited


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = Record.model_validate_json(RECORDS[0].read_text(encoding="utf-8"))
    record_write(record, tmp_path)
    assert records_read((record.result.name,), tmp_path) == [record]


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no part between"):
        page_with("# Benchmarks\n", "table")
    assert page_with(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb\n"


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([7.0], 0.5, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.95, 95.0),
        ([float(n) for n in range(1, 21)], 0.95, 19.0),
    ],
)
def test_percentiles_are_measurements_that_were_taken(
    values: list[float], share: float, wanted: float
) -> None:
    assert percentile(values, share) == wanted


def test_a_few_measurements_have_no_95th_percentile() -> None:
    assert spread("few", "s", [1.0] * 19).p95 is None
    assert spread("enough", "s", [1.0] * 20).p95 == 1.0


@pytest.mark.parametrize(
    ("value", "wanted"), [(0.0, 0.0), (0.012345, 0.0123), (12.345, 12.3), (4014.4, 4014)]
)
def test_figures_claim_no_more_than_three_digits(value: float, wanted: float) -> None:
    assert rounded(value) == wanted


def test_the_list_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == list(NAMES)


def test_an_unknown_name_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["provision", "nothing-like-it"])
    assert refused.value.code == 2
    assert "nothing-like-it" in capsys.readouterr().err


def test_a_benchmark_that_fails_leaves_no_result_and_does_not_stop_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[Record] = []

    def fails() -> Result:
        raise RuntimeError("no figure")

    def works() -> Result:
        return Result(name="ingest", figures=[single("one", "s", 1.0)], facts={})

    monkeypatch.setitem(BENCHMARKS, "provision", fails)
    monkeypatch.setitem(BENCHMARKS, "ingest", works)
    monkeypatch.setattr("benchmarks.__main__.record_write", written.append)
    monkeypatch.setattr("benchmarks.__main__.page_refresh", lambda names: None)
    monkeypatch.setenv("BENCH_NOTE", "a test")
    assert main(["provision", "ingest"]) == 1
    assert [record.result.figures for record in written] == [[Figure(name="one", unit="s", n=1, value=1.0)]]
    assert written[0].note == "a test"
