import pytest

from optimum_dynexec.directory.hashes import CHUNK, STRETCH, STRETCHES, fingerprint_model, hash_model


def write(directory, xml: bytes, weights: bytes) -> str:
    (directory / "openvino_model.xml").write_bytes(xml)
    (directory / "openvino_model.bin").write_bytes(weights)
    return hash_model(directory)


def test_every_byte_counts(tmp_path):
    weights = bytes(2 * CHUNK + 1)
    first = write(tmp_path, b"<net/>", weights)
    assert first == write(tmp_path, b"<net/>", weights)
    assert first != write(tmp_path, b"<net />", weights)
    for place in (0, CHUNK, 2 * CHUNK):
        assert first != write(tmp_path, b"<net/>", weights[:place] + b"\x01" + weights[place + 1 :])


def test_a_byte_cannot_change_files(tmp_path):
    assert write(tmp_path, b"ab", b"c") != write(tmp_path, b"a", b"bc")


@pytest.mark.parametrize("size", [0, 1, STRETCH + 1, STRETCHES * STRETCH, STRETCHES * STRETCH + 1, 10_000_000])
def test_a_fingerprint(size, tmp_path):
    """Differs with any byte of the graph, the size, and the first and last byte; of small weights, with any byte."""
    weights = bytes(size)
    write(tmp_path, b"<net/>", weights)
    first = fingerprint_model(tmp_path)
    assert first == fingerprint_model(tmp_path)
    changes = [(b"<net />", weights), (b"<net/>", weights + b"\0")]
    places = {0, size - 1, *(range(0, size, 9999) if size <= STRETCHES * STRETCH else ())} if size else set()
    changes += [(b"<net/>", weights[:place] + b"\x01" + weights[place + 1 :]) for place in places]
    for change in changes:
        write(tmp_path, *change)
        assert fingerprint_model(tmp_path) != first
