"""AirRep: texts, rows or examples in, embeddings and influence scores out.

Shapes: Q queries (targets), N corpus rows (pool), D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import reduce
from huggingface_hub import HfApi
from transformers import PreTrainedTokenizerBase

from airrep.console.progress import bar
from airrep.console.wording import counted, shown
from airrep.disk.atomic import atomic_directory
from airrep.disk.parts import kept_rows
from airrep.disk.paths import user_path
from airrep.errors import ArgumentError, EmbeddingError, RecordError
from airrep.language_model.batching import Pass, in_blocks, pad, plan_passes, plan_tight
from airrep.language_model.fingerprints import model_fingerprint
from airrep.language_model.loading import find_checkpoint
from airrep.language_model.tokens import Tokens
from airrep.machine.arguments import check_count
from airrep.machine.hardware import default_device, dtype_named
from airrep.machine.processes import process_group, processes, rank
from airrep.network.checkpoint import load_checkpoint
from airrep.network.modeling import AirRepConfig, AirRepModel
from airrep.network.reading import make_reader, unknown_share
from airrep.network.sentence_layout import write_modules
from airrep.network.tight import TIGHT_GEOMETRY, TightModel, can_be_tight, weights_seen
from airrep.network.token_pooling import LANGUAGE_MODEL_POOLINGS
from airrep.pooling import GroupPooling, group_influence
from airrep.records import Example, as_text, normalize
from airrep.template import text_fingerprint

Encodable = str | Mapping[str, Any] | Example
Embeddings = npt.NDArray[np.float32]

DEFAULT_CHECKPOINT = Path(__file__).parent / "checkpoints" / "default"
_PROJECTED = 32  # texts at a time
_SCORES_AT_ONCE = 1 << 24  # scores held while pooling: 64 MiB of float32


class AirRep:
    """The encoder: `encode` texts, compare them with `scores`, pool groups with `similarity`.

    Example:
        >>> encoder = AirRep.default()
        >>> rows = encoder.encode(["A short text.", "Another one."])
        >>> rows.shape == (2, encoder.dim)
        True
    """

    def __init__(
        self, model: AirRepModel, tokenizer: PreTrainedTokenizerBase, name: str = "encoder"
    ) -> None:
        """Wrap a model; `name` is what summaries call it."""
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.template = model.config.text_template()
        self.reader = make_reader(model, tokenizer, name)
        self._tight: TightModel | None = None

    def __repr__(self) -> str:
        return (
            f"AirRep({self.name!r}, dim={self.dim}, token_pooling="
            f"{self.model.config.token_pooling!r}, {self.precision} on {self.model.device})"
        )

    def __reduce__(self) -> tuple[Callable[..., AirRep], tuple[Any, ...]]:
        # Built anew from its config where it is unpickled: what a network's layers can show is
        # noted when transformers constructs it, and shown by hooks that cannot be pickled.
        return _rebuilt, (self.model.config, self.model.state_dict(), self.tokenizer, self.name)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: str = "auto",
        revision: str | None = None,
    ) -> AirRep:
        """Load an AirRep checkpoint, or any BERT-family sentence encoder with identity projector.

        Args:
            path_or_id: A directory, or a model id on the Hugging Face hub (downloaded).
            device: Where to compute; default the process's GPU if there is one, else the CPU.
            dtype: "float32", "bfloat16", or "auto": bfloat16 where the hardware has it.
            revision: Branch, tag or commit of a hub id.

        Raises:
            MissingInputError: No such checkpoint.
            CheckpointError: The checkpoint is damaged or of an unsupported kind.
            ArgumentError: `dtype` is unknown.
        """
        device = torch.device(device) if device is not None else default_device()
        chosen = dtype_named(dtype, device)
        model, tokenizer = load_checkpoint(find_checkpoint(path_or_id, revision), chosen)
        name = "the built-in encoder" if path_or_id == DEFAULT_CHECKPOINT else str(path_or_id)
        return cls(model.to(device), tokenizer, name)

    @classmethod
    def default(cls, *, device: str | torch.device | None = None, dtype: str = "auto") -> AirRep:
        """The encoder that ships with the package; nothing is downloaded."""
        return cls.from_pretrained(DEFAULT_CHECKPOINT, device=device, dtype=dtype)

    @property
    def dim(self) -> int:
        """Embedding size D."""
        return int(self.model.projector.out_features)

    @property
    def attention_scale(self) -> float:
        """Inverse temperature at which this encoder's scores are pooled over a group."""
        return float(self.model.config.attention_scale)

    @property
    def precision(self) -> str:
        """What the backbone computes in ("bfloat16"); embeddings are float32 all the same."""
        return str(next(self.model.bert.parameters()).dtype).removeprefix("torch.")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, config, tokenizer and compute dtype: equal means equal embeddings."""
        return self._fingerprint()

    @cached_property
    def former_fingerprint(self) -> str:
        """Fingerprint by versions whose embeddings were rounded otherwise."""
        return self._weights_fingerprint()

    def _weights_fingerprint(self) -> str:
        found = model_fingerprint(self.model, self.tokenizer)
        if self.model.config.token_pooling not in LANGUAGE_MODEL_POOLINGS:
            return found
        # what a language model reads depends on these as well
        parts = (found, str(self.tokenizer.chat_template), str(self.tokenizer.eos_token))
        return text_fingerprint("\0".join(parts)).hex()

    def _fingerprint(self) -> str:
        """The fingerprint of what the encoder is now."""
        found = self._weights_fingerprint()
        if not can_be_tight(self.model):
            return found
        return text_fingerprint(f"{found}\0{TIGHT_GEOMETRY}").hex()

    @overload
    def encode(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        tokens_per_batch: int = 4096,
        progress: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        convert_to_tensor: Literal[False] = False,
        device: str | torch.device | None = None,
        prompt_name: str | None = None,
    ) -> Embeddings: ...

    @overload
    def encode(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        tokens_per_batch: int = 4096,
        progress: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        convert_to_tensor: Literal[True],
        device: str | torch.device | None = None,
        prompt_name: str | None = None,
    ) -> torch.Tensor: ...

    def encode(
        self,
        inputs: Encodable | Sequence[Encodable],
        *,
        tokens_per_batch: int = 4096,
        progress: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        convert_to_tensor: bool = False,
        device: str | torch.device | None = None,
        prompt_name: str | None = None,
    ) -> Embeddings | torch.Tensor:
        """Embed texts, rows or examples.

        Strings are encoded as they are; rows (in any layout that `normalize` reads) and examples
        go through the checkpoint's text template. Under `accelerate launch` or torchrun every
        process encodes a share and all return the whole. The keywords from `batch_size` on are
        those of sentence-transformers.

        Args:
            inputs: What to embed; a single string, row or example counts as a list of one.
            tokens_per_batch: Padded tokens encoded at once on a GPU, where it bounds memory. It
                changes nothing on a CPU (see `airrep.language_model.batching`).
            progress: Show a progress bar on standard error.
            batch_size: Instead of `tokens_per_batch`: so many texts of the greatest length.
            show_progress_bar: Another name of `progress`.
            normalize_embeddings: Scale each embedding to length 1, whatever the checkpoint says.
            convert_to_tensor: Return a tensor on the encoder's device instead of an array.
            device: The encoder's own, or an error: a model stays where it was loaded.
            prompt_name: None; encoders of this kind have a template instead of prompts.

        Returns:
            (len(inputs), D) float32, in input order.

        Raises:
            ArgumentError: A keyword has a value that it cannot have.
            RecordError: A row cannot be read, or a text cannot be encoded as UTF-8.
            EmbeddingError: The model produced NaN or infinity for some text.

        Example:
            >>> AirRep.default().encode(["What is the capital of Peru?"]).shape
            (1, 384)
        """
        if batch_size is not None:
            check_count(batch_size, "batch_size")
            tokens_per_batch = batch_size * self.reader.longest
        check_count(tokens_per_batch, "tokens_per_batch")
        self._check_place(device, prompt_name)
        shown = progress if show_progress_bar is None else show_progress_bar
        texts = self._texts([inputs] if isinstance(inputs, str | Mapping | Example) else inputs)
        found = self._computed(texts, tokens_per_batch, shown, project=True)
        if normalize_embeddings:
            found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return torch.from_numpy(found).to(self.model.device) if convert_to_tensor else found

    def unknown_share(self, examples: Sequence[Example]) -> float:
        """Share of the examples' tokens, 0 to 1, of which the encoder knows nothing.

        Example:
            >>> AirRep.default().unknown_share([Example("0", "Is it hot?", "วันนี้อากาศร้อนมาก")])
            0.2
        """
        texts = [f"{example.prompt}\n{example.completion}" for example in examples]
        return unknown_share(self.tokenizer, texts, self.reader.longest)

    def scores(
        self, queries: Embeddings | Sequence[Encodable], corpus: Embeddings | Sequence[Encodable]
    ) -> Embeddings:
        """Influence of each corpus row on each query: inner products, larger lowers loss more.

        Args:
            queries: Q things to encode, or their embeddings (Q, D).
            corpus: N things to encode, or their embeddings (N, D).

        Returns:
            (Q, N) float32.
        """
        left, right = self._embeddings(queries, "queries"), self._embeddings(corpus, "corpus")
        return left @ right.T

    def similarity(
        self,
        queries: Embeddings | Sequence[Encodable],
        corpus: Embeddings | Sequence[Encodable],
        pooling: GroupPooling = "attention",
        *,
        softmax: bool | None = None,
    ) -> Embeddings:
        """Influence of the whole corpus, as one group, on each query (see `airrep.pooling`).

        Args:
            queries: Q things to encode, or their embeddings (Q, D).
            corpus: The N members of the group, or their embeddings (N, D).
            pooling: "attention", "sum" or "mean".
            softmax: As the method's own code names it: True is "attention", False is "mean".

        Returns:
            (Q,) float32.
        """
        if softmax is not None:
            pooling = "attention" if softmax else "mean"
        left, right = self._embeddings(queries, "queries"), self._embeddings(corpus, "corpus")
        pooled = np.empty(len(left), dtype=np.float32)
        step = max(1, _SCORES_AT_ONCE // max(len(right), 1))
        for start in range(0, len(left), step):
            block = torch.from_numpy(left[start : start + step] @ right.T)
            pooled[start : start + step] = group_influence(
                block, pooling=pooling, scale=self.attention_scale
            ).numpy()
        return pooled

    def save_pretrained(self, directory: str | Path) -> None:
        """Write config, safetensors and tokenizer; `from_pretrained` reads them back."""
        with atomic_directory(user_path(directory, "directory")) as temporary:
            self.model.save_pretrained(temporary)
            self.tokenizer.save_pretrained(temporary)

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, message: str = "Upload AirRep encoder"
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub; returns the commit's URL.

        Raises:
            OutputError: The files could not be prepared.
        """
        api = HfApi()
        with TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "encoder")
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=Path(folder) / "encoder", commit_message=message
            )
        return str(commit.commit_url)

    def export_sentence_transformers(self, directory: str | Path) -> None:
        """Write the encoder in the sentence-transformers layout.

        That library encodes texts: render rows with `template.render` first. What pools prompt and
        completion apart, or cuts the prompt first, it reads with modules of this package, and asks
        for consent to import them: `SentenceTransformer(directory, trust_remote_code=True)`,
        version 6 or newer (see `airrep.sentence_modules`).

        Raises:
            ArgumentError: The encoder is made of a language model.
            OutputError: The directory cannot be written to.
        """
        write_modules(
            self.model, self.tokenizer, user_path(directory, "directory"), self.reader.longest
        )

    def features(
        self, texts: Sequence[str], *, tokens_per_batch: int = 4096, progress: bool = False
    ) -> Embeddings:
        """What the projector sees of texts, (len(texts), F) float32; see `encode`."""
        return self._computed(texts, tokens_per_batch, progress, project=False)

    def batch(
        self, tokens: Sequence[Tokens], length: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the model's `forward` takes, on its device: ids, mask (B, length), starts (B,)."""
        ids, mask = pad([t.ids for t in tokens], length, int(self.tokenizer.pad_token_id))
        start = torch.tensor([t.start for t in tokens], dtype=torch.int64)
        device = self.model.device
        return ids.to(device), mask.to(device), start.to(device)

    def _computed(
        self, texts: Sequence[str], tokens_per_batch: int, progress: bool, *, project: bool
    ) -> Embeddings:
        """Embeddings or features of every text, the work shared by all processes."""
        width = self.dim if project else sum(self.model.feature_blocks)
        if not texts:
            return np.zeros((0, width), dtype=np.float32)
        tokens = self.reader.tokens(texts)
        passes = self._passes(tokens, tokens_per_batch, project)[rank() :: processes()]
        mine = sum(len(members) for members, _ in passes)
        what = "forward" if project else "features"
        with (
            bar(mine, "encode", shown=progress) as counter,
            kept_rows(
                lambda: f"{what} {self._fingerprint()} {self.model.device.type}",
                lambda: [text_fingerprint(text) for text in texts],
                (len(texts), width),
            ) as rows,
        ):
            for members, compute in passes:
                if rows.find(members):
                    counter.skip(len(members))
                    continue
                with torch.inference_mode():
                    found = compute()
                rows.put(members, found[: len(members)].float().cpu().numpy())
                counter.advance(len(members))
        made = rows.values
        if processes() > 1:
            # Every row is zero on all processes but one, so the sum is exact.
            shared = torch.from_numpy(made).to(process_group().device)
            made = reduce(shared, reduction="sum").cpu().numpy()
        broken = np.flatnonzero(~np.isfinite(made).all(axis=1))
        if broken.size:
            raise EmbeddingError(
                f"the encoder produced NaN or infinity for {broken.size} of "
                f"{counted(len(texts), 'text')}, the first is number {broken[0]}: "
                f"{shown(texts[broken[0]])}"
            )
        return made

    def _passes(
        self, tokens: Sequence[Tokens], tokens_per_batch: int, project: bool
    ) -> list[tuple[npt.NDArray[np.int64], Callable[[], torch.Tensor]]]:
        """The texts of each pass, and what computes at least their rows, theirs first."""
        lengths = [len(t.ids) for t in tokens]
        model, longest = self.model, self.reader.longest

        def padded(each: Pass) -> torch.Tensor:
            given = self.batch([tokens[i] for i in each.filled()], each.length)
            return model(*given) if project else model.features(*given)

        if model.device.type != "cpu" or not can_be_tight(model):
            planned = plan_passes(lengths, longest, model.device, tokens_per_batch)
            return [(each.members, partial(padded, each)) for each in planned]
        if self._tight is None or self._tight.made_of != weights_seen(model):
            self._tight = TightModel(model)
        network = self._tight

        def tight(members: npt.NDArray[np.int64]) -> torch.Tensor:
            features = network.features([tokens[i] for i in members])
            return in_blocks(model.embed, features, block=_PROJECTED) if project else features

        return [(members, partial(tight, members)) for members in plan_tight(lengths)]

    def _check_place(self, device: str | torch.device | None, prompt_name: str | None) -> None:
        """Refuse what sentence-transformers can do at every call, and this encoder cannot."""
        if device is not None and torch.device(device).type != self.model.device.type:
            raise ArgumentError(
                f"device {str(device)!r}: this encoder is on {self.model.device}; load it where it "
                f"is to compute, AirRep.from_pretrained(..., device={str(device)!r})."
            )
        if prompt_name is not None:
            raise ArgumentError(
                f"prompt_name {prompt_name!r}: this encoder has no prompts; rows are rendered by "
                "the template of its checkpoint, and strings are read as they are."
            )

    def _texts(self, inputs: Sequence[Encodable]) -> list[str]:
        texts = []
        for i, item in enumerate(inputs):
            if isinstance(item, str):
                text: str = item
            elif isinstance(item, Example):
                text = self.template.render(item)
            else:
                text = self.template.render(normalize(item, index=i, origin="inputs"))
            try:
                texts.append(as_text(text, "text"))
            except RecordError as error:
                error.at(f"inputs, row {i} (counting from 0)")
                raise
        return texts

    def _embeddings(self, given: Embeddings | Sequence[Encodable], name: str) -> Embeddings:
        if not isinstance(given, np.ndarray):
            return self.encode(given)
        if given.ndim != 2 or given.shape[1] != self.dim:
            raise EmbeddingError(f"{name}: expected (n, {self.dim}), found {given.shape}.")
        if not np.isfinite(given).all():
            raise EmbeddingError(f"{name}: the embeddings hold NaN or infinity.")
        return np.ascontiguousarray(given, dtype=np.float32)


def _rebuilt(
    config: AirRepConfig,
    weights: Mapping[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    name: str,
) -> AirRep:
    model = AirRepModel(config)
    model.load_state_dict(weights, assign=True)
    return AirRep(model.to(model.projector.weight.device).eval(), tokenizer, name)
