import pytest

from cli.options.many_files import spread


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("pairs --corpus a.jsonl", "pairs --corpus a.jsonl"),
        (
            "pairs --corpus a.jsonl b.jsonl.gz c.json --seed 1",
            "pairs --corpus a.jsonl --corpus b.jsonl.gz --corpus c.json --seed 1",
        ),
        ("--corpus a.jsonl b.jsonl pairs", "--corpus a.jsonl --corpus b.jsonl pairs"),
        ("--corpus a.jsonl pairs.npz", "--corpus a.jsonl pairs.npz"),
        ("--corpus a.txt --out b.jsonl c.jsonl", "--corpus a.txt --out b.jsonl c.jsonl"),
        ("pairs --corpus a --corpus b --json", "pairs --corpus a --corpus b --json"),
        ("pairs --corpus a.jsonl -- b.jsonl", "pairs --corpus a.jsonl -- b.jsonl"),
        ("pairs --corpus", "pairs --corpus"),
        ("pairs a.jsonl", "pairs a.jsonl"),
        ("", ""),
    ],
)
def test_the_option_stands_before_each_file(given, expected):
    assert spread(given.split()) == expected.split()
