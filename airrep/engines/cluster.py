"""A Ray cluster: the one module that knows Ray, an optional extra.

    driver            texts ──► Ray Data ──► a writer for each CPU or GPU ──► shards in the store
                                                                                │ (shared storage)
                      parts ◄── merged by who asked ◄── tasks that read blocks ◄┘

Embeddings go from the workers to the store and from there to the workers. What a worker that died
was doing is done again by another: a shard's files are the same whoever writes them.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from airrep.engines.base import Part
from airrep.errors import ArgumentError, CurateError
from airrep.machine.extras import import_extra
from airrep.shards.shard import NewShard, TextEncoder

_PATIENCE = 10.0  # seconds for a connection to the cluster
_TASKS_EACH = 4  # for every worker: who is slower gets fewer
# Of different lengths, so that matrices of different shapes are multiplied.
_PROBES = ["Is this worker like the others?", "One, two, three. " * 20, "A longer text. " * 90]


def check_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        ArgumentError: It is not installed, or cannot be imported.
    """
    import_extra("ray.data", package="ray", extra="ray", purpose="engine 'ray'")


@contextmanager
def connected() -> Iterator[Cluster]:
    """The cluster that this program is connected to, or that RAY_ADDRESS or `ray start` names.

    Where there is none, one is started on this machine, and stopped in the end.

    Raises:
        ArgumentError: The cluster does not answer.
    """
    import ray

    joined = not ray.is_initialized()
    if joined:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
        address = os.environ.get("RAY_ADDRESS", "")
        try:
            _knock(address)
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        except ConnectionError as error:
            raise ArgumentError(
                f"engine 'ray': the cluster does not answer ({error}). Is RAY_ADDRESS "
                f"({address or 'not set'}) right, and ray start running? A cluster that wants a "
                "token wants RAY_AUTH_MODE=token here (docs/scale.md)."
            ) from error
        logging.getLogger("ray.data").setLevel("ERROR")
    try:
        yield Cluster()
    finally:
        if joined:
            ray.shutdown()


def _knock(address: str) -> None:
    """Find out whether anybody is there: Ray itself goes on asking for many minutes.

    Raises:
        ConnectionError: The address is host:port, and nobody is.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():  # auto, local, ray://…: Ray's own business
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(str(error)) from error


class Cluster:
    """Hands work to all CPUs of a Ray cluster; encoding to its GPUs, if it has any."""

    def __init__(self) -> None:
        """Count the workers; Ray has to be connected."""
        import ray

        found = ray.cluster_resources()
        self._cpus = max(1, int(found.get("CPU", 1)))
        self._gpus = int(found.get("GPU", 0))

    @property
    def at_once(self) -> int:
        """See `Engine`."""
        return self._gpus or self._cpus

    def write(
        self, shards: Sequence[NewShard], encoder: TextEncoder, *, tokens_per_batch: int
    ) -> Iterator[NewShard]:
        """See `Engine.write`. Each worker has the encoder for itself, and one CPU.

        Raises:
            ArgumentError: A worker computes differently from another or, on CPUs, from this
                machine, so that the result would depend on who encodes what.
        """
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        # held here, because a worker that takes another's place asks for it again
        shared = ray.put(encoder)
        context = DataContext.get_current().copy()
        context.enable_progress_bars = context.print_on_execution_start = False
        with DataContext.current(context):
            asked = ray.data.from_blocks([_row(i, shard) for i, shard in enumerate(shards)])
            written = asked.map_batches(
                _Writer,
                fn_constructor_args=(shared, tokens_per_batch),
                batch_size=1,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(size=min(self.at_once, len(shards))),
                num_cpus=1,
                num_gpus=1 if self._gpus else 0,
            )
            # the targets are encoded here
            here = None if self._gpus else (_probe(encoder, tokens_per_batch), "this machine")
            alike = _Alike(here)
            for row in written.iter_rows():
                if row["error"]:
                    raise CurateError.from_json(row["error"])
                alike.check(row["probe"], row["where"])
                yield shards[row["number"]]

    def parts(
        self, look: Callable[[Sequence[int], int | None], Part], places: Sequence[int]
    ) -> list[Part]:
        """See `Engine.parts`. `look` is sent once to each machine."""
        import ray

        # a task whose worker died is run again, however often
        task = ray.remote(_look).options(num_cpus=1, max_retries=-1)
        shared = ray.put(look)
        count = min(len(places), _TASKS_EACH * self._cpus)
        return list(ray.get([task.remote(shared, places[i::count]) for i in range(count)]))


class _Writer:
    """What each worker runs: encodes and writes a shard at a time."""

    def __init__(self, encoder: Any, tokens_per_batch: int) -> None:  # noqa: ANN401 (a reference)
        import ray

        self._encoder = ray.get(encoder)
        self._tokens = tokens_per_batch
        gpu = bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
        if gpu and hasattr(self._encoder, "model"):
            self._encoder.model.to("cuda")
        self._probe = _probe(self._encoder, tokens_per_batch)
        self._where = f"the {'GPU' if gpu else 'CPU'} of {ray.util.get_node_ip_address()}"

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        error = ""
        try:
            shard = NewShard(
                Path(row["directory"]),
                row["name"],
                json.loads(row["settings"]),
                row["texts"],
                row["ids"],
                row["digests"],
            )
            shard.write(shard.encoded(self._encoder, tokens_per_batch=self._tokens))
        except CurateError as found:  # Ray would wrap it in errors of its own
            error = found.to_json()
        return pa.table(
            {
                "number": [row["number"]],
                "probe": [self._probe],
                "where": [self._where],
                "error": [error],
            }
        )


class _Alike:
    """Refuses a worker that does not compute like the first one."""

    def __init__(self, first: tuple[str, str] | None) -> None:
        self._first = first

    def check(self, probe: str, where: str) -> None:
        if self._first is None:
            self._first = probe, where
        if probe != self._first[0]:
            raise ArgumentError(
                f"engine 'ray': the same texts have other embeddings on {where} than on "
                f"{self._first[1]}, so that the result would depend on who encodes what. Use "
                "workers of one kind, with the same versions of torch and transformers."
            )


def _probe(encoder: TextEncoder, tokens_per_batch: int) -> str:
    """A digest that differs where embeddings do."""
    embeddings = encoder.encode(_PROBES, tokens_per_batch=tokens_per_batch)
    return blake2b(embeddings.tobytes(), digest_size=16).hexdigest()


def _look(look: Callable[[Sequence[int], int | None], Part], places: Sequence[int]) -> Part:
    return look(places, 1)


def _row(number: int, shard: NewShard) -> pa.Table:
    """A shard as one row, which Ray Data does not take apart."""
    return pa.table(
        {
            "number": [number],
            "directory": [str(shard.directory.resolve())],
            "name": [shard.name],
            "settings": [json.dumps(dict(shard.settings))],
            "texts": [shard.texts],
            "ids": [shard.ids],
            "digests": pa.array([shard.digests], pa.list_(pa.binary(16))),
        }
    )
