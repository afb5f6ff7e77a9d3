"""Asks a server of `optimum-cli dynexec serve` with an encoder: embeddings, labels, or the order of documents.

python examples/serving/encoder_client.py --url http://127.0.0.1:8000/v1
"""

import argparse
import os

import openai


TEXTS = ["It rains in Bern.", "The weather in Bern is wet.", "A prime number has two divisors."]


def embeddings(client: openai.OpenAI, model: str) -> None:
    first, *others = (one.embedding for one in client.embeddings.create(model=model, input=TEXTS).data)
    for text, other in zip(TEXTS[1:], others, strict=True):
        print(f"{sum(a * b for a, b in zip(first, other, strict=True)):.3f}  {TEXTS[0]}  {text}")


def labels(client: openai.OpenAI, model: str) -> None:
    # OpenAI's API has no such endpoint, so the client has no method for it.
    answer = client.post("/classify", body={"model": model, "input": TEXTS}, cast_to=dict[str, object])
    for text, item in zip(TEXTS, answer["data"], strict=True):
        print(f"{item['label']}  {max(item['probs']):.3f}  left after layer {item['dynexec']['exit_layer']}  {text}")


def order(client: openai.OpenAI, model: str) -> None:
    body = {"model": model, "query": TEXTS[0], "documents": TEXTS[1:]}
    for result in client.post("/rerank", body=body, cast_to=dict[str, object])["results"]:
        print(f"{result['relevance_score']:.3f}  {result['document']['text']}")


# What a server has depends on its model.
ASKING = {"embeddings": embeddings, "classify": labels, "rerank": order}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1", help="Address of the server.")
    parser.add_argument("--ask", choices=ASKING, default="embeddings", help="What to ask for. Default: %(default)s.")
    args = parser.parse_args()

    client = openai.OpenAI(base_url=args.url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    ASKING[args.ask](client, client.models.list().data[0].id)


if __name__ == "__main__":
    main()
