"""Compares the OpenVINO engine with the torch backend: the same model, the same heads, the same tokens.

python examples/compare_with_torch.py --checkpoint ID_OR_DIR --model EXPORT --heads examples/smollm2_heads
"""

import argparse

import torch
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.torch_backend import TorchDynExecModelForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="Transformers model: id on the Hub, or directory.")
    parser.add_argument("--model", required=True, help="Directory of the model's export with float32 weights.")
    parser.add_argument("--heads", default=None, help="Trained heads for both backends.")
    parser.add_argument("--device", default="cpu", help="Device of torch: cpu, cuda or xpu.")
    parser.add_argument("--prompt", default="The sky is blue because the sky is", help="Prompt to continue.")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="Maximum number of new tokens.")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    inputs = tokenizer(args.prompt, return_tensors="pt", return_token_type_ids=False)
    models = {
        "openvino": DynExecModelForCausalLM.from_pretrained(args.model, heads=args.heads, precision="exact"),
        "torch": TorchDynExecModelForCausalLM.from_pretrained(args.checkpoint, heads=args.heads, device=args.device),
    }
    found = {}
    for name, model in models.items():
        moved = {key: value.to(args.device if name == "torch" else "cpu") for key, value in inputs.items()}
        found[name] = model.generate(**moved, do_sample=False, max_new_tokens=args.max_new_tokens).cpu()
        print(f"{name}\n{model.last_stats}\n")
    print(tokenizer.decode(found["torch"][0]))
    print(f"\nTokens equal in both backends: {torch.equal(found['openvino'], found['torch'])}")


if __name__ == "__main__":
    main()
