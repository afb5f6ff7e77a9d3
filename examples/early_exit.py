"""Text generation with early exit: it is faster, but the output is no longer that of the full model.

python examples/early_exit.py --model EXPORT --heads HEADS --thresholds 0.7 0.9 0.97

EXPORT comes from `optimum-cli export dynexec`, HEADS from `optimum-cli dynexec train-heads EXPORT --layers 9,19`,
which also attaches them, so that --heads can be left out. For thresholds with a guarantee, run `optimum-cli dynexec
calibrate` and use `early_exit="calibrated"`.
"""

import argparse

from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM, EarlyExitConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="Directory of an export.")
    parser.add_argument("--heads", default=None, help="Trained exit heads, if they are not attached.")
    parser.add_argument("--prompt", default="The sky is blue because", help="Prompt to continue.")
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=[0.7, 0.9, 0.97], help="Confidence thresholds to try."
    )
    parser.add_argument("--max-new-tokens", type=int, default=80, help="Maximum number of new tokens.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, heads=args.heads, precision="exact")
    inputs = tokenizer(args.prompt, return_tensors="pt", return_token_type_ids=False)
    length = inputs["input_ids"].shape[1]

    def run(**arguments) -> list[int]:
        output = model.generate(**inputs, do_sample=False, max_new_tokens=args.max_new_tokens, **arguments)
        return output[0, length:].tolist()

    full = run(speculation="off")
    print(f"full model: {model.last_stats.tokens_per_second:.1f} tokens/s\n{tokenizer.decode(full)}\n")
    for threshold in args.thresholds:
        early = run(early_exit=EarlyExitConfig(threshold=threshold))
        stats = model.last_stats
        same = next((i for i, (a, b) in enumerate(zip(full, early, strict=False)) if a != b), len(early))
        print(
            f"threshold {threshold}: {stats.tokens_per_second:.1f} tokens/s, {stats.mean_exit_layers:.1f} layers per"
            f" token, the first {same} of {len(early)} tokens equal those of the full model\n"
            f"{tokenizer.decode(early)}\n"
        )


if __name__ == "__main__":
    main()
