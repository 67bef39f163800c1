"""The first screen of a report with many settings: one finding in words, all of them in a table, best first."""

from __future__ import annotations

import re
from typing import Any

from test_report import page, row, without_script

from lt_sweeps.report import findings
from lt_sweeps.report.curves import curves

SHIFTS = {"snip": 0.3, "grasp": -0.5, "synflow": 0.25, "force": -0.1}  # of the ticket, at a half of the weights
DENSE = (98.0, 98.1, 98.2)


def rows(names: Any = SHIFTS) -> list[dict[str, Any]]:
    made = []
    for name in names:
        made += [row(0, seed, value, criterion=name) for seed, value in enumerate(DENSE)]
        made += [row(0, seed, value, control="reinit", criterion=name) for seed, value in enumerate(DENSE)]
        for seed, value in enumerate(DENSE):
            made.append(row(1, seed, value + SHIFTS[name] + seed / 1000, criterion=name))
            made.append(row(1, seed, value - 1 + seed / 1000, control="reinit", criterion=name))
    return made


def cells(html: str) -> list[list[str]]:
    """The lines of the table of findings."""
    [body] = re.findall(r'aria-label="Findings">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in body.strip().splitlines()]


def test_many_findings_are_one_sentence_and_a_table() -> None:
    html = without_script(page(rows()))
    [verdict] = re.findall(r'<div class="verdicts">(.*?)</div>', html, re.DOTALL)
    assert verdict.count("<p>") == 1
    assert "criterion=snip" in verdict
    found = cells(html)
    assert [line[0] for line in found] == ["snip", "synflow", "force", "grasp"]
    assert [line[1] for line in found] == ["50 %"] * 4
    assert [line[5] for line in found] == ["matching"] * 3 + ["worse"], "0.1 below dense is within the margin"
    snip = found[0]
    assert snip[6] == "3"
    assert snip[3].startswith("+0.30 [0.30, 0.30]")
    assert snip[4].startswith("+1.30 [")


def first_screen(html: str) -> list[str]:
    """The sentences of the first screen."""
    [said] = re.findall(r'<div class="verdicts">(.*?)</div>', html, re.DOTALL)
    return re.findall(r"[^.]+(?:\.\d[^.]*)*\.(?=[ <])", re.sub(r"</?p>", " ", said))


def test_three_sentences_are_whole() -> None:
    without_controls = [row for row in rows(["snip", "grasp", "force"]) if row["control"] == "none"]
    html = without_script(page(without_controls))
    assert 'aria-label="Findings"' not in html
    assert len(first_screen(html)) == 3


def test_of_two_methods_with_two_controls_the_first_screen_has_three_sentences_and_one_figure() -> None:
    made = rows(["snip", "grasp"])
    made += [row | {"control": "mask_shuffle", "key": f"{row['key']}m"} for row in made if row["control"] == "reinit"]
    html = without_script(page(made))
    said = first_screen(html)
    assert len(said) == 3
    assert "control=reinit" in said[1]
    assert "control=mask_shuffle" in said[2]
    assert 'class="plot"' not in html[: html.index('<div class="verdicts">')]
    [first] = re.findall(r'</div>\s*<section id="first" data-curves="place-1">(.*?)</section>', html, re.DOTALL)
    assert first.count('class="plot"') == 1
    assert len(cells(html)) == 2, "the table"
    [findings] = re.findall(r'<section id="findings">(.*?)</section>', html, re.DOTALL)
    assert "criterion=grasp" in re.sub(r"<table>.*</table>", "", findings, flags=re.DOTALL)


def test_controls_share_a_sentence_where_others_have_no_room() -> None:
    made = rows(["snip"])
    made += [
        row | {"control": name, "key": f"{row['key']}{name}"}
        for row in made
        for name in ("a", "b")
        if row["control"] == "reinit"
    ]
    html = without_script(page(made))
    said = first_screen(html)
    assert len(said) == 2
    assert said[1].count("+1.30&nbsp;points") + said[1].count("+1.30 points") == 3
    [findings] = re.findall(r'<section id="findings">(.*?)</section>', html, re.DOTALL)
    assert findings.count("Ticket minus control=") == 3


def test_settings_without_a_finished_ticket_come_last() -> None:
    made = [*rows(["grasp"]), *(row(0, seed, value, criterion="a") for seed, value in enumerate(DENSE))]
    made += [row(1, seed, None, "collapsed", criterion="a") for seed in range(3)]
    assert [curve.labels["criterion"] for curve in findings.ranked(curves(made))] == ["grasp", "a"]
    assert "&ndash;" in findings.table(curves(made))


def test_a_dark_page_has_no_white_figures() -> None:
    html = without_script(page(rows()))
    assert "prefers-color-scheme: dark" in html
    assert re.search(r"@media print \{.*?break-inside: avoid", html, re.DOTALL)
    assert not re.findall(r'"(?:paper|plot)_bgcolor":"white"', html)


def test_of_many_settings_a_line_says_what_is_unusual() -> None:
    usual = dict.fromkeys("abcde", "1")
    made = []
    for seed in (0, 1):
        for number, change in enumerate(({}, {}, {"a": "2"}, {"b": "<", "e": "3"}, {"c": "4", "d": "5"})):
            name = {"model": "m", "dataset": "d", "control": "none", "criterion": f"n{min(number, 1)}"}
            if number == 1:
                continue
            labels = name | usual | change
            for level in (0, 1):
                row = {"seed": seed, "level": level, "key": f"{seed} {number} {level}", "status": "done"}
                made.append(labels | row | {"weights_remaining": 100.0 - level, "test_accuracy": 98.0 + seed / 10})
    text = findings.table(curves(made))
    firsts = re.findall(r'<th scope="row">(.*?)</th>', text)
    assert sorted(firsts) == ["a=2", "b=&lt; e=3", "c=4 d=5", "criterion=n0"]
    assert "Where a line does not say otherwise: criterion=n1, a=1, b=1, c=1, d=1, e=1." in text
