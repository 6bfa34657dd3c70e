"""Structured data: tables, CSV rows, SQL, JSON and lists, all about the same staff and goods."""

from __future__ import annotations

import json
import random
from typing import NamedTuple

from curate.demo_data.vocabulary import CITIES, FOODS, PEOPLE, PRODUCTS, ROLES, Person
from curate.demo_data.wording import TaskFamily, instruct, join_words, phrase, with_article


class Employee(NamedTuple):
    """A member of staff, in the column order of every table."""

    person: Person
    role: str
    city: str
    started: int

    @property
    def csv(self) -> str:
        """The employee as one row of a CSV file."""
        return f"{self.person.name},{self.role},{self.city},{self.started}"


_HEADER = "name,role,city,started"


def _draw_staff(rng: random.Random, count: int) -> list[Employee]:
    """Draw employees who differ in name, role and year, so that questions have one answer."""
    people, roles = rng.sample(PEOPLE, count), rng.sample(ROLES, count)
    years = rng.sample(range(1998, 2025), count)
    cities = [rng.choice(CITIES) for _ in range(count)]
    return [Employee(*fields) for fields in zip(people, roles, cities, years, strict=True)]


def csv_to_sentence(rng: random.Random) -> tuple[str, str]:
    """Write a CSV row out as a sentence."""
    (employee,) = _draw_staff(rng, 1)
    prompt = instruct(
        rng,
        (
            "write this CSV row as one English sentence",
            "say in one sentence what this record means",
            "turn this line of data into a sentence",
        ),
        f"{_HEADER}\n{employee.csv}",
    )
    return prompt, _employee_sentence(rng, employee)


def _employee_sentence(rng: random.Random, employee: Employee) -> str:
    return phrase(
        rng,
        (
            "{name} has been working as {a_role} in {city} since {year}.",
            "Since {year}, {name} has had a job as {a_role} in {city}.",
            "In {year}, {name} was hired as {a_role} in {city}.",
            "{name}, who started in {year}, works as {a_role} in {city}.",
        ),
        name=employee.person.name,
        a_role=with_article(employee.role),
        city=employee.city,
        year=employee.started,
    )


def sentence_to_csv(rng: random.Random) -> tuple[str, str]:
    """Put the facts of a sentence into a CSV row."""
    (employee,) = _draw_staff(rng, 1)
    prompt = instruct(
        rng,
        (
            "write this English sentence as one CSV row with the columns {header}",
            "turn this sentence into a line of data with the columns {header}",
            "say the same in the form of a record with the columns {header}",
        ),
        _employee_sentence(rng, employee),
        header=_HEADER,
    )
    return prompt, employee.csv


def table_lookup(rng: random.Random) -> tuple[str, str]:
    """Answer a question by looking at a small table."""
    staff = _draw_staff(rng, rng.choice((3, 4, 5)))
    wanted = rng.choice(staff)
    name, newest = wanted.person.name, max(staff, key=lambda employee: employee.started)
    question, answer = rng.choice(
        (
            (f"In which city does {name} work?", wanted.city),
            (f"What is the occupation of {name}?", wanted.role),
            (f"In which year did {name} start?", str(wanted.started)),
            (f"Who works as {with_article(wanted.role)}?", name),
            (f"Who started in {wanted.started}?", name),
            ("Who was the last to start?", newest.person.name),
        )
    )
    rows = [_HEADER, *(employee.csv for employee in staff)]
    if rng.random() < 0.5:
        rows = [row.replace(",", " | ") for row in rows]
    prompt = instruct(
        rng,
        (
            "use this data to answer the question",
            "write down the answer to the question, which is in one row of this table",
            "find the record that answers the question and write down the value",
        ),
        "\n".join((*rows, "", f"Question: {question}")),
    )
    return prompt, answer


_SCHEMAS = {
    "staff": "staff(name, role, city, started, salary)",
    "orders": "orders(product, city, quantity, price)",
}
_QUERIES = (
    (
        "staff",
        "List the names of all people who work in {city}.",
        "SELECT name FROM staff WHERE city = '{city}';",
    ),
    (
        "staff",
        "How many people with the role {role} work in {city}?",
        "SELECT COUNT(*) FROM staff WHERE role = '{role}' AND city = '{city}';",
    ),
    (
        "staff",
        "What is the average salary in each city, counting only people who started after {year}?",
        "SELECT city, AVG(salary) FROM staff WHERE started > {year} GROUP BY city;",
    ),
    (
        "staff",
        "Who are the {few} best paid people in {city}?",
        "SELECT name FROM staff WHERE city = '{city}' ORDER BY salary DESC LIMIT {few};",
    ),
    (
        "staff",
        "Show name and city of everyone who earns more than {salary}, sorted by name.",
        "SELECT name, city FROM staff WHERE salary > {salary} ORDER BY name;",
    ),
    (
        "staff",
        "Which different roles exist in {city} or {other_city}?",
        "SELECT DISTINCT role FROM staff WHERE city IN ('{city}', '{other_city}');",
    ),
    (
        "staff",
        "Raise the salary of every person with the role {role} by {hundreds}.",
        "UPDATE staff SET salary = salary + {hundreds} WHERE role = '{role}';",
    ),
    (
        "orders",
        "What is the total quantity of the product '{product}' ordered from {city}?",
        "SELECT SUM(quantity) FROM orders WHERE product = '{product}' AND city = '{city}';",
    ),
    (
        "orders",
        "Count the orders per product for {city}, the most frequent product first.",
        "SELECT product, COUNT(*) FROM orders WHERE city = '{city}' GROUP BY product "
        "ORDER BY COUNT(*) DESC;",
    ),
    (
        "orders",
        "Which cities have ordered more than {hundreds} items in total?",
        "SELECT city FROM orders GROUP BY city HAVING SUM(quantity) > {hundreds};",
    ),
    (
        "orders",
        "Show the {few} cheapest orders of the product '{product}' with all their columns.",
        "SELECT * FROM orders WHERE product = '{product}' ORDER BY price LIMIT {few};",
    ),
    (
        "orders",
        "Delete all orders from {city} with a quantity below {few}.",
        "DELETE FROM orders WHERE city = '{city}' AND quantity < {few};",
    ),
)


def sql_query(rng: random.Random) -> tuple[str, str]:
    """Write the SQL statement that answers a question about one table."""
    table, question, query = rng.choice(_QUERIES)
    city, other_city = rng.sample(CITIES, 2)
    slots: dict[str, object] = {
        "city": city,
        "other_city": other_city,
        "role": rng.choice(ROLES),
        "product": rng.choice(list(PRODUCTS)),
        "year": rng.randint(1998, 2022),
        "few": rng.randint(2, 9),
        "hundreds": rng.randrange(100, 900, 50),
        "salary": rng.randrange(30000, 70000, 1000),
    }
    prompt = instruct(
        rng,
        (
            "write one SQL statement that answers this question or request",
            "turn this English sentence into SQL for the table with these columns",
            "say the same in SQL, as one statement",
        ),
        f"Table: {_SCHEMAS[table]}\n{question.format(**slots)}",
    )
    return prompt, query.format(**slots)


def json_repair(rng: random.Random) -> tuple[str, str]:
    """Repair a JSON object that contains one syntax error."""
    (employee,) = _draw_staff(rng, 1)
    record: dict[str, object] = {
        "name": employee.person.name,
        "role": employee.role,
        "city": employee.city,
        "started": employee.started,
        "likes": rng.sample(FOODS, 2),
        "product": rng.choice(list(PRODUCTS)),
    }
    kept = {key: record[key] for key in rng.sample(list(record), rng.choice((3, 4)))}
    right = json.dumps(kept)
    prompt = instruct(
        rng,
        (
            "repair this invalid JSON record",
            "correct the mistake in this JSON object and change nothing else",
            "rewrite this line of data as valid JSON",
        ),
        _break_json(rng, right, list(kept)),
    )
    return prompt, right


def _break_json(rng: random.Random, right: str, keys: list[str]) -> str:
    key = rng.choice(keys)
    return rng.choice(
        (
            right[:-1],
            right[:-1] + ",}",
            right.replace('"', "'"),
            right.replace(f'"{key}"', key),
            right.replace(f'"{key}":', f'"{key}"'),
            right.replace(f', "{keys[-1]}"', f' "{keys[-1]}"'),
            right.replace(f'"{key}"', f'"{key}'),
        )
    )


def list_operation(rng: random.Random) -> tuple[str, str]:
    """Sort, filter or clean up a list of words or numbers."""
    instruction, before, after = rng.choice((_on_numbers, _on_words))(rng)
    prompt = instruct(
        rng,
        ("{instruction}", "{instruction}, separated by commas", "take this list and {instruction}"),
        ", ".join(before),
        instruction=instruction,
    )
    return prompt, ", ".join(after)


def _on_numbers(rng: random.Random) -> tuple[str, list[str], list[str]]:
    numbers = rng.sample(range(2, 100), rng.randint(6, 9))
    limit = sorted(numbers)[len(numbers) // 2]
    instruction, result = rng.choice(
        (
            ("sort these numbers from smallest to largest", sorted(numbers)),
            ("sort these numbers from largest to smallest", sorted(numbers, reverse=True)),
            (
                f"keep only the numbers below {limit}",
                [number for number in numbers if number < limit],
            ),
            (
                f"drop every number that is smaller than {limit}",
                [number for number in numbers if number >= limit],
            ),
            ("write down these numbers in reverse order", numbers[::-1]),
            ("add one to each of these numbers", [number + 1 for number in numbers]),
        )
    )
    return instruction, [str(number) for number in numbers], [str(number) for number in result]


def _on_words(rng: random.Random) -> tuple[str, list[str], list[str]]:
    names = [person.name for person in PEOPLE]
    words = rng.sample(rng.choice((CITIES, FOODS, ROLES, names)), rng.randint(5, 8))
    doubled = [*words, *rng.sample(words, 2)]
    rng.shuffle(doubled)
    first_seen = list(dict.fromkeys(doubled))
    middle = sorted(len(word) for word in words)[len(words) // 2]
    return rng.choice(
        (
            ("put these words in alphabetical order", words, sorted(words)),
            ("put these words in reverse alphabetical order", words, sorted(words)[::-1]),
            ("remove the words that occur a second time", doubled, first_seen),
            (
                f"keep only the words with at least {middle} letters",
                words,
                [word for word in words if len(word) >= middle],
            ),
            ("write down these words in reverse order", words, words[::-1]),
            (f"keep every word except {join_words(words[1:3])}", words, [words[0], *words[3:]]),
        )
    )


DATA_TASKS: dict[str, TaskFamily] = {
    "csv_to_sentence": csv_to_sentence,
    "sentence_to_csv": sentence_to_csv,
    "table_lookup": table_lookup,
    "sql_query": sql_query,
    "json_repair": json_repair,
    "list_operation": list_operation,
}
