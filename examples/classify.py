"""Classifies your own texts. Easy texts exit the model early.

python examples/classify.py --model EXPORT --texts reviews.txt

EXPORT is a classifier with exit heads: `optimum-cli export dynexec --model ID --task text-classification EXPORT`, then
`optimum-cli dynexec train-heads EXPORT --data train.csv`. `python -m examples.classification` does all of this for a
model and a data set that it provides.
"""

import argparse
from pathlib import Path

from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForSequenceClassification, EarlyExitConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="Directory of an export with exit heads.")
    parser.add_argument("--texts", required=True, help="File with one text per line.")
    parser.add_argument("--threshold", type=float, default=0.9, help="Smallest probability with which a text exits.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForSequenceClassification.from_pretrained(args.model)
    texts = Path(args.texts).read_text(encoding="utf-8").splitlines()
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt", return_token_type_ids=False)

    full = model(**inputs).logits.argmax(-1)
    early = model(**inputs, early_exit=EarlyExitConfig(threshold=args.threshold))
    for text, label, layer, sure in zip(
        texts, early.logits.argmax(-1).tolist(), early.exit_layer.tolist(), early.confidence.tolist(), strict=True
    ):
        print(f"{model.config.id2label[label]} ({sure:.0%}, after layer {layer}): {text[:80]}")
    print(f"\n{model.last_stats}")
    print(
        f"{int((early.logits.argmax(-1) == full).sum())} of {len(texts)} labels are equal to those of the full model"
    )


if __name__ == "__main__":
    main()
