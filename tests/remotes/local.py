"""A web server on loopback, with a thread per connection."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Quiet(BaseHTTPRequestHandler):
    """Keeps connections open, answers immediately, and writes no log."""

    protocol_version = "HTTP/1.1"
    # Header and body are separate packets; without this, one waits for the acknowledgement of the other.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass


class Local(ThreadingHTTPServer):
    """Starts serving on a free port."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[Quiet]):
        super().__init__(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
