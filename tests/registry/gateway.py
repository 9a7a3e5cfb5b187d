#!/usr/bin/env python3
"""HTTPS with a login before a registry, as a proxy of a company has it, for tests: gateway.py <certificate and key> <name:password> <url>.

Prints its port once it listens on 127.0.0.1, and ends when standard input does, so that it cannot outlive who started it."""
import base64
import http.server
import ssl
import sys
import threading
import urllib.error
import urllib.request

certificate, login, upstream = sys.argv[1:]
wanted = "Basic " + base64.b64encode(login.encode()).decode()


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != wanted:
            return self.answer(401, b'{"error_code": 401, "message": "Unauthorized"}')
        request = urllib.request.Request(upstream + self.path, body or None, method=self.command)
        if body:
            request.add_header("content-type", self.headers["content-type"])
        try:
            with urllib.request.urlopen(request) as answer:
                self.answer(answer.status, answer.read())
        except urllib.error.HTTPError as refused:
            self.answer(refused.code, refused.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = pass_on

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
server.daemon_threads = True
server.handle_error = lambda *_: None  # a client that does not trust it hangs up
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
# The handshake belongs to the connection's own thread, not to the one that accepts.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
