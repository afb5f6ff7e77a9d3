"""Generates for files of prompts, and goes on where it was interrupted."""

import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.atomic import write_atomically
from ...utils.numbers import whole_number
from ..errors import ServeError
from .arguments import check_ray
from .predictor import DynExecPredictor


if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".jsonl", ".parquet")


def predict_files(
    directory: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    rows_per_block: int = 1024,
    concurrency: int = 1,
    num_cpus: float = 1,
    **kwargs: Any,
) -> int:
    """
    Generates for the rows of files with Ray Data. Each block of rows becomes a Parquet file, which gets its name when
    it is complete. Blocks whose file exists are skipped, so a run that was interrupted can be started again. Use
    another `output` for other arguments.

    Args:
        directory (`str` or `Path`): directory of an exported model, on every machine.
        source (`str` or `Path`): a file (`.jsonl`, `.parquet`) or a directory of such files, on every machine.
        output (`str` or `Path`): directory for the results, on a file system that all machines share.
        rows_per_block (`int`, *optional*, defaults to 1024): number of rows of a block.
        concurrency (`int`, *optional*, defaults to 1): number of models that generate at the same time.
        num_cpus (`float`, *optional*, defaults to 1): logical processors that Ray reserves for each of them.
        kwargs (*optional*): arguments of [`~serving.ray.DynExecPredictor`].

    Returns:
        `int`: the number of blocks that were written; those that existed do not count.

    Raises:
        [`~serving.ServeError`]: if Ray is missing, or there are no such files.
    """
    check_ray()
    whole_number("rows_per_block", rows_per_block, 1)
    import ray.data

    source, output = Path(source), Path(output)
    files = [source] if source.is_file() else sorted(p for p in source.glob("*") if p.suffix in SUFFIXES)
    if not files or files[0].suffix not in SUFFIXES:
        raise ServeError(f"{source} must be a file or a directory with files that end in {' or '.join(SUFFIXES)}")
    output.mkdir(parents=True, exist_ok=True)
    missing = [
        {"file": str(file), "index": index, "result": str(result)}
        for file in files
        for index in range(-(-_count(file) // rows_per_block))
        if not (result := output / f"{file.name}-{index:06d}.parquet").exists()
    ]
    if not missing:
        return 0
    # A block of the data set is the name of a block of rows, so no block depends on how Ray Data splits data.
    named = ray.data.from_items(missing, override_num_blocks=len(missing))
    arguments = {"directory": str(directory), "rows": rows_per_block, **kwargs}
    written = named.map_batches(
        _BlockPredictor,
        fn_constructor_kwargs=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=concurrency),
        num_cpus=num_cpus,
    )
    return written.count()


class _BlockPredictor:
    """Reads, generates and writes the blocks that it is given the names of."""

    def __init__(self, directory: str, rows: int, **kwargs: Any):
        self._rows, self._predictor = rows, DynExecPredictor(directory, **kwargs)

    def __call__(self, names: Mapping[str, Any]) -> dict[str, Any]:
        import pyarrow
        import pyarrow.parquet

        for file, index, result in zip(names["file"], names["index"], names["result"], strict=True):
            table = _read(Path(file), int(index), self._rows)
            content = io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.table(self._predictor(table.to_pydict())), content)
            write_atomically(Path(result), content.getvalue())
        return {"result": names["result"]}


def _count(file: Path) -> int:
    import pyarrow.parquet

    if file.suffix == ".parquet":
        return pyarrow.parquet.read_metadata(file).num_rows
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _read(file: Path, index: int, rows: int) -> "pyarrow.Table":
    """A block of rows."""
    import pyarrow.json
    import pyarrow.parquet

    first = index * rows
    if file.suffix == ".parquet":
        batches: Iterator[Any] = pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=rows)
        return pyarrow.Table.from_batches([next(itertools.islice(batches, index, None))])
    with file.open("rb") as lines:
        return pyarrow.json.read_json(io.BytesIO(b"".join(itertools.islice(lines, first, first + rows))))
