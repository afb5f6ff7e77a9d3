"""Asks a server of `optimum-cli dynexec serve` with the package `openai`: a chat, a stream, tools, JSON.

python examples/serving/client.py --url http://127.0.0.1:8000/v1
"""

import argparse
import json
import os

import openai


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "celsius": {"type": "integer"}},
    "required": ["city", "celsius"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "report_weather", "parameters": SCHEMA}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1", help="Address of the server.")
    parser.add_argument("--prompt", default="How warm is it in Bern? It is 21 degrees.", help="Prompt to answer.")
    parser.add_argument("--max-tokens", type=int, default=120, help="Maximum number of new tokens.")
    args = parser.parse_args()

    client = openai.OpenAI(base_url=args.url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    model = client.models.list().data[0].id
    messages = [{"role": "user", "content": args.prompt}]
    common = {"model": model, "messages": messages, "max_tokens": args.max_tokens, "temperature": 0}

    print("Chat:")
    answer = client.chat.completions.create(**common)
    print(answer.choices[0].message.content)
    print(f"{answer.usage.completion_tokens_details.accepted_prediction_tokens} tokens were accepted drafts\n")

    print("Streaming:")
    for chunk in client.chat.completions.create(**common, stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print("\n")

    print("Tools:")
    choice = {"type": "function", "function": {"name": "report_weather"}}
    try:
        answer = client.chat.completions.create(**common, tools=[WEATHER], tool_choice=choice)
        for call in answer.choices[0].message.tool_calls or []:
            print(f"{call.function.name}({call.function.arguments})")
    except openai.BadRequestError as error:
        print(error.body["message"])  # not every chat template has tools
    print()

    print("JSON schema:")
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    choice = client.chat.completions.create(**common, response_format=form).choices[0]
    # An answer that was cut off by max_tokens is not complete.
    print(json.loads(choice.message.content) if choice.finish_reason == "stop" else choice.message.content)


if __name__ == "__main__":
    main()
