"""The rules on pairs written by hand: what each must see and what it must leave alone."""

import csv
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.rules import RULES, negation_differs, numbers, statement_negated, violated_rule

SAMPLE = Path(__file__).parents[1] / "data/sample/quora-train.csv"

VIOLATIONS = [
    ("numbers", "How do I lose 5 kg in a month?", "How do I lose 10 kg in a month?"),
    ("numbers", "What happened in 1989?", "What happened in 1998?"),
    ("numbers", "How many calories do 200 grams have?", "How many calories do three hundred grams have?"),
    ("numbers", "He paid 1,000 dollars.", "He paid 1,000,000 dollars."),
    ("numbers", "he paid 1 , 000 dollars .", "he paid 100 dollars ."),
    ("numbers", "It weighs 2.5 kilos.", "It weighs 25 kilos."),
    ("numbers", "It costs twenty-five euros.", "It costs twenty-six euros."),
    ("numbers", "Who came third?", "Who came fourth?"),
    ("numbers", "Is an MP3 player better?", "Is an MP4 player better?"),
    ("numbers", "Is one cup enough?", "Are two cups enough?"),
    ("numbers", "How do I earn 10k a month?", "How do I earn 10 a month?"),
    ("numbers", "Can I live there for a year?", "Can I live there for two years?"),
    ("negation", "He did not forget to lock the door.", "He forgot to lock the door."),
    ("negation", "Why don't people vote?", "Why do people vote?"),
    ("negation", "why don ' t people vote ?", "why do people vote ?"),
    ("negation", "Can you live without sleep?", "Can you live with sleep?"),
    ("negation", "What makes people happy about their job?", "What makes people unhappy about their job?"),
    ("negation", "Is it legal to park here?", "Is it illegal to park here?"),
    ("negation", "I have never seen snow.", "I have seen snow."),
    ("negation", "I cannot live without coffee.", "I can live without coffee."),
    ("negation", "Nobody came to the party.", "Everybody came to the party."),
    ("negation", "Which foods dont contain sugar?", "Which foods contain sugar?"),
    ("named_entity", "What is the capital of France?", "What is the capital of Spain?"),
    ("named_entity", "What is the capital of France?", "What is the capital of the country?"),
    ("named_entity", "How far is South Korea?", "How far is North Korea?"),
    ("named_entity", "Should I learn Python first?", "Should I learn Java first?"),
    ("named_entity", "Why did Bill Clinton say that?", "Why did Hillary Clinton say that?"),
    ("named_entity", "How do I join the CIA?", "How do I join the FBI?"),
    ("named_entity", "Is it open on Monday?", "Is it open on Tuesday?"),
    ("named_entity", "Do I need vitamin C?", "Do I need vitamin D?"),
    ("named_entity", "Do people like it in Austria?", "Do people like it in Australia?"),
    ("argument_order", "Is cheese better than butter?", "Is butter better than cheese?"),
    ("argument_order", "How do I get from Rome to Paris?", "How do I get from Paris to Rome?"),
    ("argument_order", "What is the easiest route from Rome to Oslo?", "How can I travel from Oslo to Rome?"),
    ("argument_order", "is machine learning harder than web design ?", "is web design harder than machine learning ?"),
    ("argument_order", "Did the dog bite the man?", "Did the man bite the dog?"),
    ("argument_order", "Can I use butter instead of oil?", "Can I use oil instead of butter?"),
    ("argument_order", "Why do cats hate dogs?", "Why do dogs hate cats?"),
    ("argument_order", "How do I turn a PNG file into JPEG?", "How do I turn a JPEG file into PNG?"),
    ("argument_order", "Should I eat before I run?", "Should I run before I eat?"),
    ("argument_order", "Does stress cause insomnia?", "Does insomnia cause stress?"),
]

AGREEMENTS = [
    ("He paid 1,000 dollars.", "He paid 1000 dollars."),
    ("He paid a thousand dollars.", "He paid 1,000 dollars."),
    ("he paid 1 , 000 dollars .", "He paid one thousand dollars."),
    ("It costs two hundred and twenty-five thousand euros.", "It costs 225,000 euros."),
    ("They spent 1.5 million.", "They spent 1,500,000."),
    ("How do I earn 10k a month?", "How do I earn ten thousand a month?"),
    ("Which phone is the best one?", "Which is the best phone?"),
    ("Who won the Second World War?", "Who won World War II?"),
    ("What is good about the 21st century?", "What is good about the twenty-first century?"),
    ("I bought a dozen eggs.", "I bought twelve eggs."),
    ("First of all, is it safe?", "Is it safe?"),
    ("He didn't come.", "He did not come."),
    ("he didn ' t come .", "He did not come."),
    ("I am not happy with it.", "I am unhappy with it."),
    ("I cannot live without coffee.", "I need coffee to live."),
    ("She neither sings nor dances.", "She does not sing and she does not dance."),
    ("Not only is it cheap, it is also good.", "It is cheap and it is good."),
    ("You are coming, aren't you?", "Are you coming?"),
    ("Does it matter whether or not I vote?", "Does it matter whether I vote?"),
    ("I do not have a car yet. Where can I buy one?", "Where can I buy a car?"),
    ("What is the capital of France?", "Which city is the French capital?"),
    ("Why did Donald Trump win?", "Why did Trump win?"),
    ("What is life like in the US?", "What is life like in the United States?"),
    ("Is it safe in the U.S. now?", "Is it safe in America now?"),
    ("How do I repair my TV?", "How do I repair my television?"),
    ("Who Is The Best Singer In The World?", "Who is the best singer in the world?"),
    ("what is the capital of france ?", "What is the capital of France?"),
    ("Germany's economy is strong.", "The economy of Germany is strong."),
    ("How do I get Indian food in London?", "Where in London can I get food from India?"),
    ("What is the difference between cheese and butter?", "What is the difference between butter and cheese?"),
    ("Which is better, tea or coffee?", "Which is better, coffee or tea?"),
    ("In Paris, where can I eat well?", "Where can I eat well in Paris?"),
    ("Yesterday he sold his old car.", "He sold his old car yesterday."),
    ("How do I get from Rome to Paris?", "How do I get to Paris from Rome?"),
    ("Google bought the old company last year in May.", "The old company was bought by Google last year in May."),
    ("If I eat corn, how many calories is that?", "How many calories is that if I eat corn?"),
    ("How does butter compare to oil?", "How does oil compare to butter?"),
    (
        "Anna sang and Peter danced all night at the party.",
        "Peter danced and Anna sang all night at the party.",
    ),
    ("In 2016 the mayor of the town opened the bridge.", "The mayor of the town opened the bridge in 2016."),
    ("How far is Rome from Paris?", "How far is Paris from Rome?"),
]


def test_the_table_is_large_enough() -> None:
    assert len(VIOLATIONS) >= 30 and len(AGREEMENTS) >= 30
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES)


@pytest.mark.parametrize(("rule", "first", "second"), VIOLATIONS)
def test_a_difference_is_named(rule: str, first: str, second: str) -> None:
    assert [name for name, differs in RULES.items() if differs(first, second)] == [rule]
    assert violated_rule(first, second) == violated_rule(second, first) == rule


@pytest.mark.parametrize(("first", "second"), AGREEMENTS)
def test_the_same_meaning_is_left_alone(first: str, second: str) -> None:
    assert violated_rule(first, second) is None
    assert violated_rule(second, first) is None


def test_a_negation_in_other_words_is_seen_but_not_a_violation() -> None:
    pair = ("The old clock has not worked for years.", "It is a long time since that ancient timepiece last ticked.")
    assert negation_differs(*pair)
    assert not statement_negated(*pair)


def test_a_long_text_is_read_in_no_time() -> None:
    """Many equal phrases make many exchanges."""
    words = ["cheese", "butter", "bread"] * 80
    start = time.monotonic()
    assert violated_rule(" ".join(words), " ".join(words[1:] + words[:1])) is None
    assert time.monotonic() - start < 5
    moved = [f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyzäöüß"]
    assert violated_rule(" ".join(moved), " ".join(moved[5:] + moved[:5])) is None


WORDS = st.sampled_from(
    "Is is not n't can't unhappy happy New York york Paris to from than better one two 2 1,000 hundred thousand and or "
    "U.S. United States the a II . , ? ' never nobody good cheese butter TV by vs half million 2.5".split()
)
TEXTS = st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=30)


@given(TEXTS, TEXTS)
def test_every_rule_is_symmetric(first: str, second: str) -> None:
    for name, differs in RULES.items():
        assert differs(first, second) == differs(second, first), name


@given(TEXTS)
def test_a_text_never_differs_from_itself(text: str) -> None:
    assert violated_rule(text, text) is None
    assert violated_rule(text, f"  {text} ") is None


@given(st.integers(0, 10**9 - 1))
def test_numbers_in_words_are_numbers_in_digits(value: int) -> None:
    assert numbers(f"about {in_words(value)} things")[1] == numbers(f"about {value:,} things")[0] == {value}


def in_words(value: int) -> str:
    """English number words, written independently of the rule's reader."""
    ones = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
    )
    ones += "seventeen eighteen nineteen".split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()
    for scale, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= scale:
            joint = " and " if scale == 100 else " "
            rest = value % scale
            return f"{in_words(value // scale)} {name}" + (joint + in_words(rest) if rest else "")
    if value < 20:
        return ones[value]
    return tens[value // 10 - 2] + (f"-{ones[value % 10]}" if value % 10 else "")


def test_what_the_rules_find_in_the_sample() -> None:
    """The sample's labels are right by construction, so what a rule names in a duplicate is an error of the rule."""
    hits = {0: 0, 1: 0}
    rows = {0: 0, 1: 0}
    with open(SAMPLE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            label = int(float(row["is_duplicate"]))
            rows[label] += 1
            hits[label] += violated_rule(row["sentence1"], row["sentence2"]) is not None
    assert hits[0] / rows[0] > 0.08
    assert hits[1] / rows[1] < 0.02
