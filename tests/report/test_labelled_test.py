"""Where the test split has labels, a report shows its scores, and says so."""

from dataclasses import replace

from report_rows import BASE, TEACHER, student, table_rows

from pkd_core.report.content import Report
from pkd_core.report.intervals import wilson_interval
from pkd_core.report.markdown import markdown_report
from pkd_core.report.write import ResultRow, results_table


def page_of(rows: list[ResultRow]) -> str:
    return markdown_report(Report(rows, {}, BASE), "report.png")


def notes_of(rows: list[ResultRow]) -> list[str]:
    return page_of(rows).split("\n\n## Notes\n\n")[1].splitlines()


def on_test(row: ResultRow, score: float, task: str = "Mine") -> ResultRow:
    """Return a row whose test split has labels, 1000 of them, and 40 % of one kind."""
    extra = {"num_dev": 277, "num_test": 1000}
    scores = {**row.scores, "test/accuracy": score}
    return replace(row, task=task, scores=scores, extra=extra, baseline=0.4)


TESTED = [on_test(TEACHER, 0.9), on_test(student("finetune", 0.6), 0.7), on_test(student("kd", 0.5), 0.8)]


def test_a_labelled_test_split_gives_the_scores_intervals_and_gaps() -> None:
    page = page_of(TESTED)
    table = table_rows(page, "Mine")
    assert list(table) == ["teacher, 12 layers", "finetune, 6 layers", "kd, 6 layers"]
    low, high = wilson_interval(0.8, 1000)
    kd = table["kd, 6 layers"]
    assert kd["accuracy"] == "80.0"
    assert kd["95 % interval"] == f"{100 * low:.1f}–{100 * high:.1f}"
    assert (kd["vs teacher"], kd["gap closed"], kd["accuracy (dev)"]) == ("-10.0", "50 %", "50.0")
    assert (
        "Selected by accuracy on 277 dev examples; scored on 1000 test examples, which chose nothing; always giving "
        "the most frequent answer scores 40.0."
    ) in page
    text = results_table(TESTED, {}, BASE)
    assert "Mine: accuracy on 1000 test examples, 1 seed; most frequent answer 40.0" in text.splitlines()
    assert "kd, 6 layers" in text and " 80.0  77.4–82.4" in text


def test_the_notes_name_the_split_of_each_task() -> None:
    final = (
        "- Mine: scores are × 100, on the test split, at the epoch that scored best on dev. The test split chose "
        "nothing, so these are the final figures; intervals, gaps and differences are of them."
    )
    on_dev = (
        "- Scores are × 100, on the dev split{}, at the epoch that scored best there: a little high for "
        "unseen data."
    )
    without_labels = (
        "- Test splits carry no labels: they are predicted and written as submission files, and never scored."
    )
    assert notes_of(TESTED)[0] == final
    assert without_labels not in notes_of(TESTED)
    both = notes_of([*TESTED, TEACHER])
    assert both[:3] == [on_dev.format(", where no other is named"), final, without_labels]
    assert notes_of([TEACHER])[:2] == [on_dev.format(""), without_labels]
