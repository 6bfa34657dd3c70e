"""The demo pool is reproducible, balanced, free of repetition and correct.

Answers are recomputed here from the prompts alone, by other means than the generator's, so that a
mistake in a family cannot hide behind itself.
"""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

import curate.demo_data
from curate.demo_data import TASKS, demo_pool, demo_targets
from curate.demo_data.generate import POOL_ROWS_PER_TASK, TARGET_ROWS

REPOSITORY = Path(curate.demo_data.__file__).parents[2]
MOST_ROWS = POOL_ROWS_PER_TASK * len(TASKS)


def run_python(code: str, hash_seed: str = "0") -> str:
    """Run code in a fresh interpreter and return what it prints."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def largest_pool() -> list[dict[str, str]]:
    """All rows that the families promise."""
    return demo_pool(MOST_ROWS, seed=1)


@pytest.fixture(scope="module")
def pool_prompts(largest_pool: list[dict[str, str]]) -> set[str]:
    """The prompts of pools of several seeds and sizes."""
    pools = [largest_pool, demo_pool(3000, seed=0), demo_pool(10_000, seed=2)]
    return {row["prompt"] for pool in pools for row in pool}


def rows_of(pool: list[dict[str, str]], task: str) -> list[tuple[str, str]]:
    """The (prompt, completion) pairs of one task, never none."""
    rows = [(row["prompt"], row["completion"]) for row in pool if row["task"] == task]
    assert rows
    return rows


def test_there_are_many_families() -> None:
    """The retrieval problem needs many tasks to confuse."""
    assert len(TASKS) >= 24


def test_pool_has_the_requested_size_and_columns() -> None:
    """Every row has the three columns, as stripped non-empty text."""
    pool = demo_pool(500, seed=3)
    assert len(pool) == 500
    for row in pool:
        assert list(row) == ["prompt", "completion", "task"]
        assert all(text and text == text.strip() for text in row.values())
        assert "{" not in row["prompt"] or row["task"] in {"json_repair"}


def test_default_pool_has_3000_rows() -> None:
    """The documented default."""
    assert len(demo_pool()) == 3000


@pytest.mark.parametrize("rows", [1, 7, 41, 1000, 3000])
def test_shares_are_balanced(rows: int) -> None:
    """No family has more than one row more than another."""
    counts = Counter(row["task"] for row in demo_pool(rows, seed=5))
    shares = [counts[task] for task in TASKS]
    assert sum(shares) == rows
    assert max(shares) - min(shares) <= 1


def test_pool_is_shuffled() -> None:
    """Families do not come in blocks."""
    tasks = [row["task"] for row in demo_pool(1000)]
    changes = sum(first != second for first, second in itertools.pairwise(tasks))
    assert changes > 900


def test_pool_and_targets_are_deterministic_across_processes() -> None:
    """Neither hash randomisation nor process state reaches the rows."""
    code = (
        "import hashlib, json\n"
        "from curate.demo_data import TASKS, demo_pool, demo_targets\n"
        "rows = demo_pool(800, 4) + [r for t in TASKS for r in demo_targets(t, 3, 2)]\n"
        "print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())"
    )
    rows = demo_pool(800, 4) + [row for task in TASKS for row in demo_targets(task, 3, 2)]
    here = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert {run_python(code, seed).strip() for seed in ("0", "1", "4242")} == {here}


def test_seeds_give_different_rows() -> None:
    """Another seed means another pool and other targets."""
    assert demo_pool(200, seed=0) != demo_pool(200, seed=1)
    assert demo_targets("word_problem", seed=0) != demo_targets("word_problem", seed=1)


def test_importing_needs_the_standard_library_alone() -> None:
    """The package pulls in no numerical library of its own."""
    code = (
        "import sys\n"
        "import curate\n"
        "before = set(sys.modules)\n"
        "import curate.demo_data\n"
        "heavy = {'numpy', 'torch', 'transformers'} & (set(sys.modules) - before)\n"
        "print(sorted(heavy))"
    )
    assert run_python(code).strip() == "[]"


def test_largest_pool_has_no_repeated_prompt(largest_pool: list[dict[str, str]]) -> None:
    """Every family supplies what it promises; 10,000 rows are far within that."""
    assert MOST_ROWS >= 10_000
    assert len({row["prompt"] for row in largest_pool}) == len(largest_pool) == MOST_ROWS


@pytest.mark.parametrize("task", TASKS)
def test_targets_never_meet_a_pool(task: str, pool_prompts: set[str]) -> None:
    """Targets of any seed are disjoint from pools of any seed."""
    for seed in range(4):
        targets = demo_targets(task, TARGET_ROWS, seed)
        assert {row["task"] for row in targets} == {task}
        assert len({row["prompt"] for row in targets}) == TARGET_ROWS
        assert pool_prompts.isdisjoint(row["prompt"] for row in targets)


@pytest.mark.parametrize("task", TASKS)
def test_prompts_have_a_sensible_length_and_variety(task: str) -> None:
    """Prompts are neither stubs nor essays, and open in several ways."""
    prompts = [row["prompt"] for row in demo_targets(task, 100)]
    lengths = [len(prompt.split()) for prompt in prompts]
    assert min(lengths) >= 8
    assert max(lengths) <= 120
    assert len({prompt.split("\n")[0] for prompt in prompts}) >= 9


def test_fewer_targets_are_a_prefix_of_more() -> None:
    """Asking for more targets keeps those one already has."""
    assert demo_targets("to_french", 4, seed=9) == demo_targets("to_french", 12, seed=9)[:4]


@pytest.mark.parametrize("rows", [0, -5, MOST_ROWS + 1, 10**9])
def test_impossible_pool_sizes_are_refused(rows: int) -> None:
    """The message names the allowed range."""
    with pytest.raises(ValueError, match=f"between 1 and {MOST_ROWS:,} rows"):
        demo_pool(rows)


@pytest.mark.parametrize("rows", [0, -1, TARGET_ROWS + 1])
def test_impossible_target_sizes_are_refused(rows: int) -> None:
    """The message names the allowed range."""
    with pytest.raises(ValueError, match=f"between 1 and {TARGET_ROWS:,} rows"):
        demo_targets("word_problem", rows)


def test_unknown_task_lists_the_tasks() -> None:
    """A typo is answered with the names that exist."""
    with pytest.raises(ValueError, match="unknown demo task 'haiku'") as error:
        demo_targets("haiku")
    assert all(task in str(error.value) for task in TASKS)


def evaluate(expression: str) -> int:
    """Compute ``a <operator> b`` for the operators of the worked solutions."""
    left, operator, right = expression.split()
    a, b = int(left), int(right)
    if operator == "/":
        assert a % b == 0
        return a // b
    return {"+": a + b, "-": a - b, "*": a * b}[operator]


def test_word_problems_compute_correctly(largest_pool: list[dict[str, str]]) -> None:
    """Each step holds, and the last result is the answer."""
    for _, solution in rows_of(largest_pool, "word_problem"):
        steps = re.findall(r"(\d+ [-+*/] \d+) = (\d+)", solution)
        assert len(steps) >= 3
        assert all(evaluate(left) == int(right) for left, right in steps)
        assert solution.endswith(f"Answer: {steps[-1][1]}")
        assert int(steps[-1][1]) > 0


def test_word_problem_numbers_come_from_the_story(largest_pool: list[dict[str, str]]) -> None:
    """Shopping: the change is what is paid less the two costs, read from the question."""
    seen = 0
    for prompt, solution in rows_of(largest_pool, "word_problem"):
        if "How much change" in prompt:
            counted = [int(number) for number in re.findall(r"\d+", prompt)]
            a, price_a, b, price_b, paid = counted
            assert solution.endswith(f"Answer: {paid - a * price_a - b * price_b}")
            seen += 1
    assert seen > 50


FACTORS = {
    ("miles", "kilometres"): 1.609344,
    ("kilometres", "miles"): 1 / 1.609344,
    ("feet", "metres"): 0.3048,
    ("inches", "centimetres"): 2.54,
    ("pounds", "kilograms"): 0.45359237,
    ("ounces", "grams"): 28.349523125,
    ("US gallons", "litres"): 3.785411784,
    ("acres", "hectares"): 0.40468564224,
}


def test_unit_conversions_are_right(largest_pool: list[dict[str, str]]) -> None:
    """The result is the nearest tenth, and it belongs to the quantity that was asked about."""
    pattern = re.compile(r"([\d.]+) ([A-Za-z ]+?) is (?:about )?([\d.]+) ([A-Za-z ]+)\.")
    for prompt, completion in rows_of(largest_pool, "unit_conversion"):
        match = pattern.fullmatch(completion)
        assert match
        amount, source, result, target = match.groups()
        assert f"{amount} {source}" in prompt
        if source == "degrees Celsius":
            exact = Decimal(amount) * 9 / 5 + 32
            assert Decimal(result) == exact.quantize(Decimal("0.1"), ROUND_HALF_UP)
        else:
            assert abs(float(amount) * FACTORS[source, target] - float(result)) <= 0.0500001


def parse_date(text: str) -> dt.date:
    """Read ``3 May 2021``."""
    return dt.datetime.strptime(text, "%d %B %Y").date()


def test_dates_are_right(largest_pool: list[dict[str, str]]) -> None:
    """Each answer is checked against the calendar, and its dates against the question."""
    date = r"\d{1,2} [A-Z][a-z]+ \d{4}"
    later = re.compile(rf"(\d+) (days|weeks) after ({date}) is ({date})\.")
    between = re.compile(rf"({date}) is (\d+) days after ({date})\.")
    weekday = re.compile(rf"({date}) is (\d+) days later\. .* so it is a (\w+)\.")
    for prompt, completion in rows_of(largest_pool, "date_arithmetic"):
        if match := later.fullmatch(completion):
            number, unit, start, end = match.groups()
            days = int(number) * (7 if unit == "weeks" else 1)
            assert parse_date(end) - parse_date(start) == dt.timedelta(days=days)
            assert start in prompt
            assert f"{number} {unit}" in prompt
        elif match := between.fullmatch(completion):
            end, number, start = match.groups()
            assert (parse_date(end) - parse_date(start)).days == int(number)
            assert start in prompt
            assert end in prompt
        else:
            match = weekday.fullmatch(completion)
            assert match
            end, number, name = match.groups()
            known = parse_date(re.findall(date, prompt)[0])
            assert (parse_date(end) - known).days == int(number)
            assert f"{known:%A}" in prompt
            assert f"{parse_date(end):%A}" == name


def test_orderings_agree_with_the_clues(largest_pool: list[dict[str, str]]) -> None:
    """Each clue puts its two people in the order of the answer."""
    backward = ("younger", "shorter", "slower", "farther", "less")
    for prompt, completion in rows_of(largest_pool, "ordering"):
        match = re.fullmatch(r"[^:]+: (.+)\. So the answer is (\w+)\.", completion)
        assert match
        order, answer = match[1].split(", "), match[2]
        clues = [
            clue
            for clue in re.findall(r"[^.?\n]+\.", prompt)
            if sum(name in clue for name in order) == 2 and " and " not in clue
        ]
        assert len(clues) == len(order) - 1
        for clue in clues:
            first, second = sorted((n for n in order if n in clue), key=clue.index)
            is_forward = order.index(first) < order.index(second)
            assert is_forward != any(word in clue for word in backward)
        assert answer in (order[0], order[-1])


def test_lists_are_sorted(largest_pool: list[dict[str, str]]) -> None:
    """Sorting is checked on the items of the prompt, and nothing gets lost."""
    seen = 0
    for prompt, completion in rows_of(largest_pool, "list_operation"):
        items = completion.split(", ")
        if "from smallest" in prompt or "from largest" in prompt:
            numbers = [int(item) for item in items]
            assert sorted(numbers) == sorted(int(item) for item in re.findall(r"\d+", prompt))
            pairs = list(itertools.pairwise(numbers))
            assert all((a < b) == ("from smallest" in prompt) for a, b in pairs)
            seen += 1
        elif "alphabetical" in prompt:
            descending = "reverse alphabetical" in prompt
            assert items == sorted(items, reverse=descending)
            assert all(item in prompt for item in items)
            seen += 1
    assert seen > 100


def test_programs_do_what_python_does(largest_pool: list[dict[str, str]]) -> None:
    """Printed results come from running the code in the prompt, in an interpreter of its own."""
    rows = rows_of(largest_pool, "code_output")
    pattern = re.compile(r"^(?:numbers|words) = .*\nprint\(.*\)$", re.MULTILINE)
    programs = [match[0] for prompt, _ in rows if (match := pattern.search(prompt))]
    assert len(programs) == len(rows)
    printed = run_python("\n".join(programs)).split("\n")[: len(rows)]
    assert [line or "An empty line" for line in printed] == [answer for _, answer in rows]


def test_python_functions_are_valid(largest_pool: list[dict[str, str]]) -> None:
    """Each answer is one function with the name that was asked for."""
    for prompt, completion in rows_of(largest_pool, "python_function"):
        (function,) = ast.parse(completion).body
        assert isinstance(function, ast.FunctionDef)
        assert function.name in prompt


def test_json_completions_parse_and_broken_json_does_not(
    largest_pool: list[dict[str, str]],
) -> None:
    """Repaired objects are valid, and the ones in the prompt are not."""
    for prompt, completion in rows_of(largest_pool, "json_repair"):
        assert isinstance(json.loads(completion), dict)
        broken = next(line for line in prompt.split("\n") if line.startswith("{"))
        with pytest.raises(json.JSONDecodeError):
            json.loads(broken)
    for prompt, completion in rows_of(largest_pool, "event_to_json"):
        assert all(value in prompt for value in json.loads(completion).values())


def test_sql_statements_run(largest_pool: list[dict[str, str]]) -> None:
    """A database accepts every statement on the table of its prompt."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE staff(name, role, city, started, salary)")
    database.execute("CREATE TABLE orders(product, city, quantity, price)")
    for _, completion in rows_of(largest_pool, "sql_query"):
        database.execute(completion)
    database.close()


def test_regular_expressions_match_their_example(largest_pool: list[dict[str, str]]) -> None:
    """The example in the prompt matches as a whole, and not with a character more."""
    example = re.compile(r".*(?:such as|for example|like) (.+?)(?:, that is.*)?[.?]$")
    for prompt, completion in rows_of(largest_pool, "regex_pattern"):
        match = example.search(prompt)
        assert match
        assert re.search(completion, match[1])
        assert not re.search(completion, match[1] + "#")


def test_letter_counts_are_right(largest_pool: list[dict[str, str]]) -> None:
    """Counting letters and joining last letters, recomputed from the question."""
    seen = 0
    for prompt, completion in rows_of(largest_pool, "letter_puzzle"):
        first, second = prompt.split("\n\n")
        instruction, words = (first, second) if " the " in first else (second, first)
        if match := re.search(r"the letter (\w)\b", instruction):
            assert Counter(words)[match[1]] == int(completion)
            seen += 1
        elif "last letter" in instruction or "final letters" in instruction:
            assert "".join(word[-1] for word in words.split(", ")) == completion
            seen += 1
        elif "most letters" in instruction or "longest" in instruction:
            longest = sorted(words.split(", "), key=len)[-1]
            assert completion == f"{longest}, with {len(longest)} letters"
            seen += 1
    assert seen > 100


def test_table_answers_stand_in_the_right_row(largest_pool: list[dict[str, str]]) -> None:
    """The city asked for is the city in the row of that person."""
    seen = 0
    for prompt, completion in rows_of(largest_pool, "table_lookup"):
        if match := re.search(r"In which city does (\w+) work\?", prompt):
            (row,) = re.findall(rf"^{match[1]}\W.*$", prompt, re.MULTILINE)
            assert re.split(r",| \| ", row)[2] == completion
            seen += 1
    assert seen > 50


def test_answers_about_texts_are_supported_by_them(largest_pool: list[dict[str, str]]) -> None:
    """Every number and every name in a news answer occurs in the passage."""
    for prompt, completion in rows_of(largest_pool, "news_question"):
        facts = re.findall(r"\d[\d,]*\d|\d", completion)
        assert all(fact in prompt for fact in facts)
        names = re.findall(r"[A-Z][a-z]+ [A-Z][a-z]+", completion)
        assert all(name in prompt or name.split()[0] in ("Dr", "The") for name in names)


def test_grammar_corrections_change_the_sentence(largest_pool: list[dict[str, str]]) -> None:
    """The corrected sentence differs from the faulty one, which does not occur in it."""
    for prompt, completion in rows_of(largest_pool, "grammar_fix"):
        assert completion not in prompt


def test_families_share_their_texts(largest_pool: list[dict[str, str]]) -> None:
    """Word overlap does not give the task away: families meet in one vocabulary."""
    groups = (
        ("review_sentiment", "review_title", "review_aspects"),
        ("dialogue_summary", "dialogue_question"),
        ("news_topic", "news_headline", "news_question"),
        ("event_to_json", "passive_voice", "inference", "paraphrase_check"),
        ("code_output", "code_description"),
    )
    for group in groups:
        words = [
            {word for prompt, _ in rows_of(largest_pool, task) for word in prompt.split()}
            for task in group
        ]
        for first, second in itertools.combinations(words, 2):
            assert len(first & second) > 0.3 * min(len(first), len(second))
