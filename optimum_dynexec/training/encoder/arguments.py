"""The arguments of the training of encoders' exit heads."""

from dataclasses import dataclass


EXIT_WEIGHTS = ("uniform", "depth")
# The number of passes over the data, the peak learning rate and the number of samples per step of each recipe.
DEFAULTS: dict[str, tuple[float, float, int]] = {
    "frozen": (30.0, 1e-3, 256),
    "joint": (3.0, 5e-5, 32),
    "alternating": (3.0, 5e-5, 32),
}
RECIPES = tuple(DEFAULTS)


@dataclass(frozen=True)
class EncoderTrainingArguments:
    """
    Settings for the training of an encoder's exit heads and, with some recipes, of the encoder.

    Args:
        recipe (`str`, *optional*, defaults to `"frozen"`):
            `"frozen"`: the backbone does not change, and heads learn from the full model's predictions (DeeBERT's
            second stage, arXiv 2004.12993; FastBERT, arXiv 2004.02178). `"joint"`: backbone and heads learn together
            from a weighted sum of their losses (BranchyNet, arXiv 1709.01686; MSDNet, arXiv 1703.09844).
            `"alternating"`: steps of that sum take turns with steps of the last layer's loss alone (BERxiT, doi
            10.18653/v1/2021.eacl-main.8).
        epochs (`float`, *optional*): number of passes over the data. If not set: the recipe's default.
        learning_rate (`float`, *optional*):
            Peak of a cosine schedule (AdamW). With recipes that train the backbone, it is the backbone's. If not set:
            the recipe's default.
        batch_size (`int`, *optional*): number of samples per step. If not set: the recipe's default.
        head_learning_rate (`float`, *optional*, defaults to 1e-3):
            Of heads, and of a classifier that is new, in the recipes that train the backbone.
        label_weight (`float`, *optional*):
            Share of the cross entropy with the labels in a head's loss, from 0 to 1; the rest is the
            Kullback-Leibler divergence from the full model. If not set: 0 for `"frozen"` without labels, 0.5 with
            labels, and 1 for the other recipes.
        temperature (`float`, *optional*, defaults to 1):
            temperature of that divergence, as in Hinton et al. (arXiv 1503.02531).
        exit_weights (`str`, *optional*, defaults to `"uniform"`):
            Weights of the exits among each other in the recipes `"joint"` and `"alternating"`: `"uniform"`, or
            `"depth"`, proportional to the number of layers run (PABEE, arXiv 2006.04152). The full model has as much
            weight as all exits together.
        trainable_layers (`int`, *optional*):
            Number of last layers that these recipes train; lower layers and the embeddings do not change. If not set:
            all.
        warmup_ratio (`float`, *optional*, defaults to 0.06): share of the steps before the peak.
        weight_decay (`float`, *optional*, defaults to 0.01): of AdamW.
        dropout (`float`, *optional*, defaults to 0.1): dropout of a head's input in training.
        max_grad_norm (`float`, *optional*, defaults to 1): largest norm of the gradients, which are scaled down to it.
        eval_ratio (`float`, *optional*, defaults to 0.1): share of the samples that is held out.
        patience (`int`, *optional*, defaults to 8): epochs without a better result after which a training ends. It
            keeps the weights of its best epoch: by accuracy on the held-out samples, in which the full model, if it
            is trained too, counts as much as all exits together.
        seed (`int`, *optional*, defaults to 0):
            random seed of the initial weights, the held-out samples and the order.
        device (`str`, *optional*, defaults to `"cpu"`): torch device.
        bf16 (`bool`, *optional*, defaults to `True`):
            Whether the recipes that train the backbone compute in bfloat16 where autocast supports it. Small models
            may be faster without it.

    Raises:
        `ValueError`: if a value is not accepted. The message names the value and what is accepted.
    """

    recipe: str = "frozen"
    epochs: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    head_learning_rate: float = 1e-3
    label_weight: float | None = None
    temperature: float = 1.0
    exit_weights: str = "uniform"
    trainable_layers: int | None = None
    warmup_ratio: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    max_grad_norm: float = 1.0
    eval_ratio: float = 0.1
    patience: int = 8
    seed: int = 0
    device: str = "cpu"
    bf16: bool = True

    def __post_init__(self) -> None:
        _check(self, "recipe", self.recipe in RECIPES, f"one of {list(RECIPES)}")
        _check(self, "exit_weights", self.exit_weights in EXIT_WEIGHTS, f"one of {list(EXIT_WEIGHTS)}")
        for name, value in zip(("epochs", "learning_rate", "batch_size"), DEFAULTS[self.recipe], strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
            _check(self, name, getattr(self, name) > 0, "positive")
        for name in ("temperature", "head_learning_rate", "max_grad_norm"):
            _check(self, name, getattr(self, name) > 0, "positive")
        _check(self, "eval_ratio", 0 < self.eval_ratio < 1, "between 0 and 1")
        _check(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        weight = self.label_weight
        _check(self, "label_weight", weight is None or 0 <= weight <= 1, "from 0 to 1")
        layers = self.trainable_layers
        _check(self, "trainable_layers", layers is None or layers >= 1, "at least 1")

    def share_of_labels(self, labels_known: bool) -> float:
        """
        `label_weight`, or its default.

        Raises:
            `ValueError`: if labels are needed but unknown.
        """
        if self.label_weight is None:
            return 1.0 if self.recipe != "frozen" else 0.5 if labels_known else 0.0
        if self.label_weight > 0 and not labels_known:
            raise ValueError(f"`label_weight` is {self.label_weight:g}, but the data has no labels: name their column")
        return self.label_weight


def _check(arguments: object, name: str, accepted: bool, what: str) -> None:
    if not accepted:
        raise ValueError(f"`{name}` must be {what}, but it is {getattr(arguments, name)!r}")
