"""Open questions with short answers, in which little repeats: the hardest case for drafts. Written for this use."""

from optimum_dynexec.benchmark.prompts import Question


TASK = "open"
TEXTS = (
    "Why do people find it hard to change a habit?",
    "Describe the smell of a library to someone who has never been in one.",
    "What makes a good neighbour?",
    "Suggest a weekend plan for two friends who have little money.",
    "How would you explain inflation to a twelve-year-old?",
    "Write a short note to a colleague who is leaving after ten years.",
    "What should I consider before I adopt a dog?",
    "Give me three ideas for a birthday cake without sugar.",
    "Why is the sky dark at night?",
    "Is it better to learn one language well or several a little?",
    "How can a shy person make friends in a new city?",
    "What would happen if all bees disappeared?",
    "Write the first lines of a story that begins in a lighthouse.",
    "Which skills will still matter in fifty years?",
    "How do I tell my landlord that the heating is broken?",
    "Explain the difference between weather and climate.",
    "What is a fair way to share housework?",
    "Recommend a way to start running for someone who hates running.",
    "Why do we yawn when others yawn?",
    "Describe a perfect morning in autumn.",
    "How should a small shop answer a bad review?",
    "What did people eat before there were potatoes in Europe?",
    "Give advice to someone who cannot sleep before an exam.",
    "Why are manhole covers round?",
    "How does a bicycle stay upright?",
    "Write a toast for a wedding of two chess players.",
    "What can a city do against noise?",
    "Should children have mobile phones at school?",
    "How would you plan a garden that needs little water?",
    "What makes a joke funny?",
    "Describe the colour blue to a person who was born blind.",
    "How do ships made of steel float?",
    "What should be in a first-aid kit for a hike?",
    "Write an apology for missing a dinner.",
    "Why do some songs stay in our heads?",
    "How can I thank a teacher after many years?",
    "What are the risks of working alone from home?",
    "Explain how a vaccine works in a few sentences.",
    "Which questions should I ask in a job interview?",
    "Why did people build pyramids?",
)


def make_questions() -> list[Question]:
    """The questions."""
    return [Question(f"open-{number}", TASK, text) for number, text in enumerate(TEXTS, 1)]
