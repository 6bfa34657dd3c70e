"""Programming tasks: Python functions from three sides, regular expressions and shell commands."""

from __future__ import annotations

import random

from curate.demo_data.programs import draw_program
from curate.demo_data.vocabulary import FOODS, ROLES
from curate.demo_data.wording import NUMBER_WORDS, TaskFamily, instruct, join_words


def python_function(rng: random.Random) -> tuple[str, str]:
    """Write a one-line Python function from its description."""
    program = draw_program(rng)
    name = rng.choice(("solve", "compute", "process", "convert", "collect", "answer"))
    prompt = instruct(
        rng,
        (
            "write a one-line Python function {name}({parameter}) that returns {description}",
            "implement {name}({parameter}) in Python so that its result is {description}",
            "write a Python function {name} that turns the list {parameter} into {description}",
        ),
        name=name,
        parameter=program.parameter,
        description=program.description,
    )
    return prompt, f"def {name}({program.parameter}):\n    return {program.source}"


def code_output(rng: random.Random) -> tuple[str, str]:
    """Predict what a piece of Python code prints."""
    program = draw_program(rng)
    values = program.draw_input(rng)
    code = f"{program.parameter} = {values!r}\nprint({program.source})"
    prompt = instruct(
        rng,
        (
            "write down what this Python code prints",
            "say what the result of this Python code is when it runs",
            "run this Python code in your head and show its output",
        ),
        code,
    )
    result = str(program.run(values))
    return prompt, result or "An empty line"


def code_description(rng: random.Random) -> tuple[str, str]:
    """Describe in English what a Python function returns."""
    program = draw_program(rng)
    name = rng.choice(("f", "g", "h", "func", "helper"))
    code = f"def {name}({program.parameter}):\n    return {program.source}"
    prompt = instruct(
        rng,
        (
            "write down in one sentence what this Python code returns",
            "say in plain English what the result of this Python function is",
            "explain what this Python code does",
        ),
        code,
    )
    return prompt, f"Returns {program.description}."


_DIGITS = "0123456789"
_LETTERS = "abcdefghijkmnpqrstuvwxyz"
_CLASSES = (
    ("digit", r"\d", _DIGITS),
    ("capital letter", "[A-Z]", _LETTERS.upper()),
    ("small letter", "[a-z]", _LETTERS),
)
_SEPARATORS = (
    ("a hyphen", "-", "-"),
    ("a slash", "/", "/"),
    ("a colon", ":", ":"),
    ("a full stop", r"\.", "."),
    ("an underscore", "_", "_"),
    ("a space", " ", " "),
    ("a plus sign", r"\+", "+"),
)
_CODES = ("order numbers", "ticket codes", "room names", "invoice numbers", "locker codes")


def regex_pattern(rng: random.Random) -> tuple[str, str]:
    """Write a regular expression from a description and one example."""
    words, pattern, example = [], "", ""
    for position in range(rng.choice((3, 3, 5))):
        if position % 2:
            name, source, text = rng.choice(_SEPARATORS)
        else:
            kind, characters, alphabet = rng.choice(_CLASSES)
            count = rng.randint(2, 5)
            name = f"{NUMBER_WORDS[count]} {kind}s"
            source = f"{characters}{{{count}}}"
            text = "".join(rng.choice(alphabet) for _ in range(count))
        words.append(name)
        pattern += source
        example += text
    prompt = instruct(
        rng,
        (
            "write a regular expression for {codes} that consist of {parts}, such as {example}",
            "write down an anchored regex for {codes} made of {parts}, for example {example}",
            "show me the regex for a form that accepts {codes} like {example}, that is, {parts}",
        ),
        codes=rng.choice(_CODES),
        parts=join_words(words),
        example=example,
    )
    return prompt, f"^{pattern}$"


_COMMANDS = (
    (
        "list all .{ext} files under {folder} that are larger than {n} megabytes",
        "find {folder} -type f -name '*.{ext}' -size +{n}M",
    ),
    (
        "list the .{ext} files below {folder} that changed in the last {n} days",
        "find {folder} -type f -name '*.{ext}' -mtime -{n}",
    ),
    (
        "delete every .{ext} file under {folder} that is more than {n} days old",
        "find {folder} -type f -name '*.{ext}' -mtime +{n} -delete",
    ),
    ("count the .{ext} files under {folder}", "find {folder} -type f -name '*.{ext}' | wc -l"),
    ("count the lines of {file} that contain the word {word}", "grep -c -w '{word}' {file}"),
    (
        "search all .{ext} files under {folder} for '{word}' and show line numbers",
        "grep -rn --include='*.{ext}' '{word}' {folder}",
    ),
    ("show the last {n} lines of {file}", "tail -n {n} {file}"),
    ("show the first {n} lines of {file} in alphabetical order", "head -n {n} {file} | sort"),
    (
        "print the values in column {k} of the comma-separated file {file}, sorted and without "
        "repetitions",
        "cut -d, -f{k} {file} | sort -u",
    ),
    (
        "replace every '{word}' by '{other}' within {file}, saving the change",
        "sed -i 's/{word}/{other}/g' {file}",
    ),
    ("pack the folder {folder} into {word}.tar.gz", "tar -czf {word}.tar.gz {folder}"),
    ("show the {n} largest items in {folder}", "du -sh {folder}/* | sort -rh | head -n {n}"),
)


def shell_command(rng: random.Random) -> tuple[str, str]:
    """Write the shell command for a chore with files."""
    request, command = rng.choice(_COMMANDS)
    word, other, stem = rng.sample((*FOODS, *ROLES), 3)
    extension = rng.choice(("csv", "json", "log", "md", "pdf", "png", "tmp", "txt"))
    parent, child = rng.choice(("data", "home", "srv", "var")), rng.choice(FOODS)
    slots: dict[str, object] = {
        "word": word,
        "other": other,
        "file": f"{stem}.{rng.choice(('csv', 'log', 'txt'))}",
        "folder": rng.choice((f"/{parent}/{child}", f"{child}/{parent}")),
        "ext": extension,
        "n": rng.randint(2, 30),
        "k": rng.randint(2, 9),
    }
    prompt = instruct(
        rng,
        (
            "write a shell command to {request}",
            "show me one line of bash to {request}",
            "write down a single command for the terminal to {request}",
        ),
        request=request.format(**slots),
    )
    return prompt, command.format(**slots)


CODE_TASKS: dict[str, TaskFamily] = {
    "python_function": python_function,
    "code_output": code_output,
    "code_description": code_description,
    "regex_pattern": regex_pattern,
    "shell_command": shell_command,
}
