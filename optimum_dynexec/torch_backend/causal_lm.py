"""`TorchDynExecModelForCausalLM`: the torch implementation of `DynExecModelForCausalLM`."""

import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation import GenerationMode, StopStringCriteria

from ..early_exit.config import EarlyExitConfig
from ..modeling.causal_lm import DynExecGenerateOutput
from ..modeling.generate_call import EXCLUSIVE, MAX_SEED, check_token_ids, crosses_rope_border, longest_length
from ..modeling.logits_processors import PresenceFrequencyPenaltyLogitsProcessor, processors_of_row
from ..modeling.pipelines import known_to_pipelines
from ..modeling.speculation_arguments import without_speculation
from ..modeling.stopping import length_limit
from ..speculative.arguments import SPECULATION_ARGUMENTS, SpeculationArguments
from ..speculative.config import SpeculationConfig
from ..speculative.stats import GenerationStats, ProposerStats
from ..utils.numbers import whole_number
from .decoder import Decoder, check_embeddings
from .decoding import Counts, Sequence, leave_early, speculate
from .exit_rule import TokenExitRule
from .heads import load_decoder_heads
from .layers import find_layers
from .lookaheads import LOOKAHEADS
from .model import TorchDynExecModel
from .proposers import PROPOSERS


if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.generation.streamers import BaseStreamer
    from transformers.modeling_outputs import ModelOutput

    from ..heads.modules import HeadModule


logger = logging.getLogger(__name__)

COVERED = (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
# Outputs and inputs that only transformers' own `generate` supports.
PLAIN_OUTPUTS = ("output_scores", "output_logits", "output_attentions", "output_hidden_states", "token_healing")
PLAIN_INPUTS = ("past_key_values", "inputs_embeds", "position_ids")


@known_to_pipelines(AutoModelForCausalLM)
class TorchDynExecModelForCausalLM(TorchDynExecModel):
    """
    The reference implementation of [`DynExecModelForCausalLM`] on torch and transformers, with the same `generate`.
    The sequences of a call run one after the other.

    `last_stats` holds the [`~speculative.GenerationStats`] of the latest `generate`, of whichever thread;
    `None` before. Those of one call are in the output of `generate(..., return_dict_in_generate=True)`.
    """

    auto_class = AutoModelForCausalLM
    last_stats: GenerationStats | None = None

    def __init__(self, model: "PreTrainedModel", heads: "dict[int | None, HeadModule]", directory: str | Path):
        super().__init__(model, heads, directory)
        if None in heads:
            check_embeddings(model)

    @classmethod
    def _load_heads(cls, files: list[Path], model: "PreTrainedModel") -> "dict[int | None, HeadModule]":
        return load_decoder_heads(files, model, len(find_layers(model)))

    @property
    def generation_config(self) -> GenerationConfig:
        """The model's default generation configuration."""
        return self.model.generation_config

    def can_generate(self) -> bool:
        """For `transformers.pipeline`."""
        return True

    def forward(self, *args: Any, **kwargs: Any) -> "ModelOutput":
        """Computes the model's outputs, without heads."""
        return self.model(*args, **kwargs)

    @torch.no_grad()
    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: LogitsProcessorList | None = None,
        stopping_criteria: StoppingCriteriaList | None = None,
        assistant_model: "TorchDynExecModelForCausalLM | PreTrainedModel | None" = None,
        streamer: "BaseStreamer | None" = None,
        *,
        speculation: str | None = None,
        early_exit: EarlyExitConfig | None = None,
        seed: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        **kwargs: Any,
    ) -> torch.Tensor | DynExecGenerateOutput:
        """
        Generates; the arguments are those of [`DynExecModelForCausalLM.generate`], with these differences: an
        `assistant_model` is a [`TorchDynExecModelForCausalLM`] or a model of transformers;
        `num_assistant_tokens_schedule="auto"` adapts the draft length as `"heuristic"` does; there is no `"disco"`;
        `early_exit` is an [`~early_exit.EarlyExitConfig`] with `kv="deferred"`. `seed` gives other random numbers than
        the OpenVINO engine draws.

        Returns:
            `torch.LongTensor` of shape `(batch_size * num_return_sequences, length)`, or
            [`DynExecGenerateOutput`] with `return_dict_in_generate=True`.

        Raises:
            `ValueError`: for arguments that are not accepted.
            `TypeError`: for an `assistant_model` of another kind.
        """
        check_token_ids(inputs, kwargs.get("input_ids"))
        asked = SpeculationArguments.read(
            speculation, assistant_model is not None, kwargs, generation_config, self.generation_config
        )
        kwargs = {name: value for name, value in kwargs.items() if name not in SPECULATION_ARGUMENTS}
        config = SpeculationConfig()
        if early_exit is None:
            config = SpeculationConfig.resolve(asked, None in self.heads, self.exit_layers)
            missing = sorted(config.names - {kind.name for kind in PROPOSERS})
            if missing:
                raise ValueError(f"`speculation={missing[0]!r}` is not implemented by the torch backend")
        elif asked.asked and asked.speculation != "off":
            raise ValueError(EXCLUSIVE)
        if config.enabled and config.lookahead not in LOOKAHEADS:
            raise ValueError(
                f"`num_assistant_tokens_schedule` must be one of {sorted(LOOKAHEADS)} here, got {config.lookahead!r}"
            )
        rule = self._rule(early_exit)
        assistant = self._assistant(assistant_model) if "draft_model" in config.names else None

        generation_config = without_speculation(generation_config)
        prepared, model_kwargs = self.model._prepare_generation_config(
            generation_config, **{name: value for name, value in kwargs.items() if name != "tokenizer"}
        )
        criteria = StoppingCriteriaList(stopping_criteria or [])
        callers = LogitsProcessorList(logits_processor or [])
        prompts = inputs if inputs is not None else model_kwargs.get("input_ids")
        length = 1 if prompts is None else prompts.shape[1]
        if presence_penalty or frequency_penalty:
            callers.append(PresenceFrequencyPenaltyLogitsProcessor(presence_penalty, frequency_penalty, length))
        arguments = {
            "inputs": inputs,
            "generation_config": generation_config,
            "logits_processor": callers,
            "streamer": streamer,
        }
        plain = prepared.get_generation_mode() not in COVERED or any(
            [getattr(prepared, name, None) for name in PLAIN_OUTPUTS]
            + [model_kwargs.get(name) is not None for name in PLAIN_INPUTS]
            + [crosses_rope_border(longest_length(criteria, prepared, length), self.model.config)]
        )
        if plain:
            if early_exit is not None:
                raise ValueError("`early_exit` supports only greedy decoding and sampling of tokens")
            if asked.asked:
                logger.warning("Generating without speculation: these arguments need transformers' own loops.")
            return self.model.generate(**arguments, stopping_criteria=criteria, **kwargs)

        if prepared.stop_strings is not None and "tokenizer" in kwargs:
            # transformers does not pass the tokenizer to custom decoding functions.
            criteria.append(StopStringCriteria(kwargs["tokenizer"], prepared.stop_strings))
            kwargs = {name: value for name, value in kwargs.items() if name not in ("tokenizer", "stop_strings")}
            arguments["generation_config"] = deepcopy(generation_config or self.generation_config)
            arguments["generation_config"].stop_strings = None
        if seed is None:
            seed = int(torch.randint(2**62, (1,)))
        generator = torch.Generator().manual_seed(whole_number("seed", seed, 0, MAX_SEED))

        def processors(prompt: torch.Tensor, prepared: GenerationConfig) -> LogitsProcessorList:
            prefix_fn = kwargs.get("prefix_allowed_tokens_fn")
            return processors_of_row(self.model, prepared, prompt, callers, prefix_fn, model_kwargs)

        def decode(
            model: "PreTrainedModel", input_ids: torch.Tensor, **prepared: Any
        ) -> torch.Tensor | DynExecGenerateOutput:
            return self._decode(input_ids, config, assistant, rule, generator, streamer, processors, **prepared)

        # transformers reads all other arguments and calls `decode` instead of its own loop.
        return self.model.generate(**arguments, stopping_criteria=criteria, custom_generate=decode, **kwargs)

    def _decode(
        self,
        input_ids: torch.Tensor,
        config: SpeculationConfig,
        assistant: "PreTrainedModel | None",
        rule: TokenExitRule | None,
        generator: torch.Generator,
        streamer: "BaseStreamer | None",
        processors: Callable[[torch.Tensor, GenerationConfig], LogitsProcessorList],
        *,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        attention_mask: torch.Tensor,
        **_: Any,
    ) -> torch.Tensor | DynExecGenerateOutput:
        counts = Counts()
        watched: set[int | None] = set(self.exit_layers if rule is not None else config.exit_layers)
        if "draft_head" in config.names:
            watched |= {None, *self.heads[None].config.feature_layers}
        sequences = []
        for ids, mask in zip(input_ids.cpu(), attention_mask.cpu().bool(), strict=True):
            sequence = Sequence(
                padding=ids[~mask].tolist(),
                prompt=ids[mask].tolist(),
                max_new_tokens=length_limit(stopping_criteria, len(ids)) - len(ids),
                do_sample=bool(generation_config.do_sample),
                processors=processors(ids, generation_config),
                should_stop=lambda ids: bool(stopping_criteria(ids, None).all()),
                on_token=(lambda _: None) if streamer is None else (lambda token: streamer.put(torch.tensor([token]))),
                generator=generator,
            )
            decoder = Decoder(self.model, watched)
            if rule is not None:
                leave_early(sequence, decoder, rule, counts)
            else:
                speculate(sequence, decoder, config, self.heads, assistant, counts)
            sequences.append(sequence)
        if streamer is not None:
            streamer.end()
        self.last_stats = stats = self._stats(sequences, counts, rule is not None)
        out = self._padded(input_ids, sequences, generation_config._pad_token_tensor)
        if generation_config.return_dict_in_generate:
            return DynExecGenerateOutput(sequences=out, dynexec=stats)
        return out

    def _padded(self, input_ids: torch.Tensor, sequences: list[Sequence], pad: torch.Tensor | None) -> torch.Tensor:
        new = [sequence.tokens[len(sequence.prompt) :] for sequence in sequences]
        longest = max(map(len, new))
        if pad is None and any(len(tokens) < longest for tokens in new):
            raise ValueError("The generated sequences differ in length, so they need padding: set `pad_token_id`")
        rows = [[*tokens, *[0 if pad is None else int(pad)] * (longest - len(tokens))] for tokens in new]
        return torch.cat([input_ids, torch.tensor(rows, dtype=torch.long, device=input_ids.device)], dim=1)

    def _stats(self, sequences: list[Sequence], counts: Counts, left_early: bool) -> GenerationStats:
        exits = [*self.exit_layers, self._num_layers - 1] if left_early else []
        seconds = {f"{phase}_seconds": counts.seconds[phase] for phase in ("prefill", "propose", "run", "decide")}
        times: dict[str, Any] = {**seconds, **counts.totals()}
        return GenerationStats(
            sequences=len(sequences),
            prompt_tokens=sum(len(sequence.prompt) for sequence in sequences),
            tokens=sum(len(sequence.tokens) - len(sequence.prompt) for sequence in sequences),
            target_forwards=counts.numbers["target_forwards"],
            prefill_forwards=counts.numbers["prefill_forwards"],
            verifications=counts.numbers["verifications"],
            drafted_verifications=sum(counts.accepted.values()),
            accepted_histogram=[counts.accepted[k] for k in range(max(counts.accepted, default=-1) + 1)],
            proposers=[ProposerStats(name, **found) for name, found in counts.proposers.items()],
            exit_histogram={layer: counts.exits[layer] for layer in exits},
            **times,
        )

    def _rule(self, early_exit: EarlyExitConfig | None) -> TokenExitRule | None:
        if early_exit is None:
            return None
        heads = {layer: self.heads[layer] for layer in self.exit_layers}
        return TokenExitRule(early_exit, heads, self._num_layers - 1, self.directory)

    def _assistant(self, assistant_model: object) -> "PreTrainedModel":
        model = getattr(assistant_model, "model", None)
        if not isinstance(assistant_model, TorchDynExecModelForCausalLM):
            model = assistant_model
        if not isinstance(model, torch.nn.Module) or not hasattr(model, "get_output_embeddings"):
            raise TypeError(
                "`assistant_model` must be a TorchDynExecModelForCausalLM or a model of transformers, but it is"
                f" {type(assistant_model).__name__}"
            )
        sizes = [found.get_output_embeddings().weight.shape[0] for found in (self.model, model)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"`assistant_model` must have the vocabulary size of the model, {sizes[0]}, but it has {sizes[1]}"
            )
        return model
