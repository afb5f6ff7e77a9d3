"""Links lead somewhere, snippets compile, commands are accepted; and the checks see where it is not so."""

import pytest

from tests.docs import commands, links, snippets
from tests.docs.pages import ROOT, Page, all_pages


PAGES = all_pages()
CHECKS = {"links": links, "commands": commands, "snippets": snippets}


@pytest.mark.parametrize("check", CHECKS)
def test_pages(check):
    assert [problem for page in PAGES for problem in CHECKS[check].problems(page)] == []


def test_there_is_something_to_check():
    assert {"README.md", "architecture.md", "early_exit.md"} <= {page.path.name for page in PAGES}
    blocks = [block for page in PAGES for _, block in page.blocks("python")]
    assert sum("optimum_dynexec" in block for block in blocks) > 5
    lines = [line for page in PAGES for _, block in page.blocks("bash") for line in commands.lines_of(block)]
    assert sum(line[:2] == ["optimum-cli", "dynexec"] for line in lines) > 5


def fenced(language, text):
    return f"```{language}\n{text}\n```\n"


MISTAKES = {
    "a file": ("links", "[x](docs/nowhere.md)", "there is no docs/nowhere.md"),
    "a folder": ("links", "[x](examples/nowhere)", "there is no examples/nowhere"),
    "a heading": ("links", "# One\n[x](#two)", "#two is no heading"),
    "a heading elsewhere": ("links", "[x](docs/heads.md#nowhere)", "docs/heads.md#nowhere is no heading"),
    "an option": ("commands", fenced("bash", "optimum-cli dynexec calibrate M --data x --epsillon 1"), "--epsillon"),
    "a value": ("commands", fenced("bash", "optimum-cli dynexec calibrate M --data x --method guess"), "guess"),
    "what is required": ("commands", fenced("bash", "optimum-cli dynexec calibrate M"), "--data"),
    "a subcommand": ("commands", fenced("bash", "optimum-cli dynexec calibrat M"), "calibrat"),
    "an option of export": ("commands", fenced("bash", "optimum-cli export dynexec --model M --exits 9 O"), "--exits"),
    "behind a line break": ("commands", fenced("bash", "optimum-cli dynexec attach-heads M \\\n  H --nope"), "--nope"),
    "in a sentence": ("commands", "Run `optimum-cli dynexec calibrate M --epsillon 1`.", "--epsillon"),
    "a subcommand in a sentence": ("commands", "Run `optimum-cli dynexec calibrat`.", "calibrat"),
    "a target": ("commands", fenced("bash", "make nothing"), "make nothing"),
    "a module": ("commands", fenced("bash", "python -m benchmarks.nothing"), "benchmarks.nothing"),
    "an option of a module": ("commands", fenced("bash", "python -m benchmarks.llm --nothing 1"), "--nothing"),
    "a script": ("commands", fenced("bash", "python examples/nothing.py"), "examples/nothing.py"),
    "an option of a script": ("commands", fenced("bash", "python examples/draft_model.py --nothing"), "--nothing"),
    "an extra": ("commands", '`pip install ".[nothing]"`', "[nothing]"),
    "syntax": ("snippets", fenced("python", "model.generate("), "line 1"),
    "a name": ("snippets", fenced("python", "from optimum_dynexec import Nothing"), "Nothing"),
    "a package": ("snippets", fenced("python", "from optimum_dynexec.nothing import x"), "nothing"),
    "an argument": ("snippets", fenced("python", "EarlyExitConfig(treshold=0.9)"), "`treshold`"),
    "an argument of generate": (
        "snippets",
        fenced("python", 'model = DynExecModelForCausalLM.from_pretrained("x")\nmodel.generate(max_tokens=1)'),
        "`max_tokens`",
    ),
    "an attribute, in a later block": (
        "snippets",
        fenced("python", 'model = DynExecModelForCausalLM.from_pretrained("x")') + fenced("python", "model.stats"),
        "`stats`",
    ),
    "a method": ("snippets", fenced("python", 'DynExecConfig.from_pretraned("x")'), "`from_pretraned`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen(mistake):
    check, text, named = MISTAKES[mistake]
    found = CHECKS[check].problems(Page(ROOT / "README.md", text))
    assert len(found) == 1
    assert named in found[0]
    others = [
        problem
        for name, other in CHECKS.items()
        if name != check
        for problem in other.problems(Page(ROOT / "README.md", text))
    ]
    assert others == []


RIGHT = """
# A heading, with `code`

[a file](docs/heads.md), [its heading](docs/heads.md#use-a-head), [here](#a-heading-with-code), `[no](link.md)`,
`optimum-cli dynexec calibrate` and `optimum-cli dynexec train-heads OUT --layers 9,19`.

```bash
make test PYTEST_ARGS=-x  # a comment
OMP_NUM_THREADS=2 python -m benchmarks.llm --help
optimum-cli export dynexec --model ID \\
    --weight-format int8 OUT
```
```python
from optimum_dynexec import DynExecModelForCausalLM as Model

model = Model.from_pretrained("x", export=True)
model.generate(**inputs, max_new_tokens=3, early_exit=EarlyExitConfig(threshold=0.9), assistant_early_exit=3)
print(model.last_stats, model.config)
```
"""


def test_what_is_right_is_left_alone():
    page = Page(ROOT / "README.md", RIGHT)
    assert [check.problems(page) for check in CHECKS.values()] == [[], [], []]
