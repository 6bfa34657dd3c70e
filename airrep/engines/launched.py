"""This process, and those that `accelerate launch` or torchrun started with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from airrep.engines.base import Part
from airrep.machine.processes import process_group, processes, rank
from airrep.shards.shard import NewShard, TextEncoder


class Launched:
    """Shares work between the processes of a launcher; without one, does all of it."""

    at_once = 1

    def write(
        self, shards: Sequence[NewShard], encoder: TextEncoder, *, tokens_per_batch: int
    ) -> Iterator[NewShard]:
        """See `Engine.write`. All encode a share of each shard; process 0 writes it."""
        for shard in shards:
            embeddings = shard.encoded(encoder, tokens_per_batch=tokens_per_batch)
            if rank() == 0:
                shard.write(embeddings)
            yield shard

    def parts(
        self, look: Callable[[Sequence[int], int | None], Part], places: Sequence[int]
    ) -> list[Part]:
        """See `Engine.parts`. Every process gets all parts."""
        if processes() == 1:
            return [look(places, None)]
        import torch  # here, because one process needs neither
        from accelerate.utils import gather_object

        process_group()
        mine = places[rank() :: processes()]
        found = [look(mine, torch.get_num_threads())] if mine else []
        return list(gather_object(found))
