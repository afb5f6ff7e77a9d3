from optimum_dynexec.directory.hashes import CHUNK, hash_model


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
