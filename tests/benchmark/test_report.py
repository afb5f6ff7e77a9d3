"""The page that is made of results."""

import builtins
import copy
import json
import re
import sys
from pathlib import Path

import pytest

from optimum_dynexec.benchmark.tables import cell, columns_of
from optimum_dynexec.report import ReportError, write_report
from optimum_dynexec.report.figures.pareto import pareto_front
from optimum_dynexec.report.loading import load_results
from tests.benchmark.html_checks import Page


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(decoder_run, classifier_run, tmp_path_factory):
    """The results, and the page and Markdown of them."""
    directory = tmp_path_factory.mktemp("report")
    results = [decoder_run.results, classifier_run.results]
    html, markdown = write_report(results, directory / "made")
    assert sorted(path.name for path in (directory / "made").iterdir()) == ["report.html", "report.md"]
    return results, html.read_text(), markdown.read_text()


def test_page_is_whole_and_stands_by_itself(written):
    assert Page(written[1]).problems == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</table>", ""),
        ("</h1>", "</h2>"),
        ("<h1>", '<img src="https://example.org/a.png"><h1>'),
        ("<h1>", '<script src="#"></script><h1>'),
        ("<style>", "<style>@import 'a.css';"),
        ("background: #fff", "background: url(http://example.org/a.png)"),
    ],
)
def test_the_check_of_pages_can_fail(written, old, new):
    assert old in written[1]
    assert Page(written[1].replace(old, new, 1)).problems


def test_figures_are_those_of_the_results(written):
    results, html, markdown = written
    page = Page(html)
    tables = [table for table in page.tables if table[0][0] == "model/mode"]
    workloads = [(result, workload) for result in results for workload in result["workloads"]]
    assert len(tables) == len(workloads) == 6
    for (result, workload), table in zip(workloads, tables, strict=True):
        columns = columns_of(result, workload)
        expected = [[row["system"], *(cell(row, column) for column in columns)] for row in workload["systems"]]
        assert table == [["model/mode", *(column["title"] for column in columns)], *expected]
        for row in workload["systems"]:
            assert f"{row['speed']:.1f}" in cell(row, columns[0])
            assert f"| {row['system']}" in markdown
    for result in results:
        # What is drawn: a bar and its label for each system.
        for row in result["workloads"][0]["systems"]:
            assert f"{row['speedup']:.2f} ×" in page.svg_texts
            assert row["system"] in page.svg_texts
        assert result["answer"]["sentence"] in html.replace("&#39;", "'")
        assert result["answer"]["sentence"] in markdown
    histograms = {row["system"]: row["histogram"] for row in results[1]["workloads"][0]["systems"] if row["histogram"]}
    for name, histogram in histograms.items():
        assert f"{name} ({sum(histogram.values())})" in page.svg_texts


def test_ablation_is_on_top(written):
    (decoder, classifier), html, _ = written
    table = Page(html).tables[0]
    assert table[0] == ["all prompts", "plain", "with speculation"]
    assert [row[0] for row in table[1:]] == ["f32", "int8"]
    by_name = {row["system"]: row for row in decoder["workloads"][0]["systems"]}
    for row in table[1:]:
        for text, mode in zip(row[1:], ("off", "on"), strict=True):
            assert text.startswith(f"{by_name[f'{row[0]}/{mode}']['speedup']:.2f} ×")
    best = decoder["answer"]["system"]
    assert html.count('<td class="best">') == 2, "one for each result"
    assert html.index('class="ablation"') < html.index("<svg")
    # Of several results, all answers come before everything else.
    for result in (decoder, classifier):
        assert html.index(result["answer"]["sentence"].replace("'", "&#39;")) < html.index("<h2")
    assert best in by_name


def test_what_is_beyond_the_limit_is_never_best(decoder_run, tmp_path):
    """The fastest system is made to lose too much: the page must not offer it."""
    from optimum_dynexec.benchmark.ablation import add_ratios, answer

    result = copy.deepcopy(decoder_run.results)
    workload = result["workloads"][0]
    fastest = workload["systems"][3]
    fastest.update(speed=10 * workload["systems"][0]["speed"], loss=0.9, loss_interval=[0.8, 1.0], loss_samples=30)
    add_ratios(workload["systems"], result["max_loss"])
    result["answer"] = workload["answer"] = answer(workload["systems"], result["texts"], result["max_loss"])
    html, _ = write_report([result], tmp_path)
    text = html.read_text()
    assert '<td class="refused"><strong>10.00 ×' in text
    assert '<td class="best"><strong>10.00 ×' not in text


def test_what_is_undecided_is_said_to_be(decoder_run, tmp_path):
    from optimum_dynexec.benchmark.ablation import add_ratios, answer

    result = copy.deepcopy(decoder_run.results)
    workload = result["workloads"][0]
    fastest = workload["systems"][3]
    fastest.update(speed=10 * workload["systems"][0]["speed"], loss=0.0, loss_interval=[-0.6, 0.6], loss_samples=3)
    add_ratios(workload["systems"], result["max_loss"])
    result["answer"] = workload["answer"] = answer(workload["systems"], result["texts"], result["max_loss"])
    html, markdown = (path.read_text() for path in write_report([result], tmp_path))
    assert '<td class="undecided"><strong>10.00 ×' in html
    assert "95% interval -60.00% to 60.00%, 3 tokens" in html
    assert "perplexity rise 0.00% (95% interval -60.00% to 60.00%, 3 tokens; limit 50.00%); about" in html
    assert "loss 0.00% (95% interval -60.00% to 60.00%, 3 tokens) (undecided)" in markdown


def test_what_is_written_is_escaped(decoder_run, tmp_path):
    result = json.loads(json.dumps(decoder_run.results).replace("int8/on", "<b>int8/on"))
    result["workloads"][0]["systems"][0]["warnings"] = ["a <script>"]
    html, _ = write_report([result], tmp_path)
    page = Page(html.read_text())
    assert page.problems == []
    assert any(row[0] == "<b>int8/on" for table in page.tables for row in table)


def test_reproduction_and_provenance(written):
    (decoder, _), html, markdown = written
    assert "optimum-cli dynexec benchmark f32=" in html
    assert "optimum-cli dynexec benchmark f32=" in markdown
    for text in (html, markdown):
        assert decoder["provenance"]["models"]["int8"]["hashes"]["."] in text
        assert decoder["provenance"]["machine"]["cpu"] in text
        assert "not measured, because" in text or decoder["energy"]["available"]


def test_documentation_names_every_key(written):
    """docs/benchmarking.md is the schema."""
    documented = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs" / "benchmarking.md").read_text()))
    for result in written[0]:
        found = {*result, *result["answer"], *result["energy"], *result["provenance"]}
        for workload in result["workloads"]:
            found |= {*workload}.union(*workload["systems"], *workload["multiplication"])
        assert found - documented == set()


def test_nothing_is_written_of_what_is_no_result(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_text('{"format": "optimum-dynexec-benchmark", "format_version": 99}')
    wrong = {"a": "is not a result of", "b": "is not valid JSON", "c": "`format_version` 99", "d": "cannot be read"}
    for name, message in wrong.items():
        with pytest.raises(ReportError, match=message):
            load_results(tmp_path / f"{name}.json")
    with pytest.raises(ReportError, match="not a result of"):
        write_report([{}], tmp_path / "out")
    with pytest.raises(ReportError, match="at least one result"):
        write_report([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_says_what_is_missing(decoder_run, tmp_path, monkeypatch, library):
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == library:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReportError, match=rf"needs {library}.*pip install 'jinja2>=3.1' 'matplotlib>=3.8'"):
        write_report([decoder_run.results], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pareto_front():
    points = [(1.0, 0.0), (2.0, 0.0), (2.5, 3.0), (2.4, 4.0), (3.0, 5.0), (2.5, 3.0), (3.0, 6.0)]
    assert pareto_front(points) == [(2.0, 0.0), (2.5, 3.0), (3.0, 5.0)]


def test_from_the_command_line(classifier_run, tmp_path, monkeypatch, capsys):
    from optimum.commands import optimum_cli

    arguments = ["dynexec", "report", str(classifier_run.output), str(tmp_path / "out"), "--json"]
    monkeypatch.setattr(sys, "argv", ["optimum-cli", *arguments])
    optimum_cli.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == [str(tmp_path / "out" / name) for name in ("report.html", "report.md")]
    assert printed["answers"] == {str(classifier_run.output): classifier_run.results["answer"]}
