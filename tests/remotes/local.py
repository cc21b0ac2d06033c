"""A web server on loopback, a thread for each connection."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Quiet(BaseHTTPRequestHandler):
    """Keeps connections, answers at once, and writes no log."""

    protocol_version = "HTTP/1.1"
    # Head and body of an answer leave as two packets; each would wait for the other's receipt.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass


class Local(ThreadingHTTPServer):
    """Serves from now on, at a port of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[Quiet]):
        super().__init__(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()
