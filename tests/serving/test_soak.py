"""Twenty seconds of faults; `python -m tests.serving.soak` does the same for as long as one likes."""

import signal

from tests.serving.conftest import running
from tests.serving.soak import ARGUMENTS, soak


def test_faults_leave_nothing(chat_export, tmp_path):
    with running(chat_export, tmp_path / "log", *ARGUMENTS, "--kv-cache-gb", 0.002) as server:
        happened, growth = soak(server, "tiny", 20.0)
        assert happened["the answer that it gives alone"] > 50
        assert happened["ANOTHER ANSWER"] == 0
        assert all(happened[what] for what in ("disconnected", "nonsense", "too long", "all at once", "refused"))
        # Caches fill in so short a time; a leak of requests would be far larger.
        assert growth < 0.2
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
