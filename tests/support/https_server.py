#!/usr/bin/python3
"""An HTTPS server that misbehaves to order, for unit tests: by the path, and with the certificate that SNI names.

    https_server.py FOLDER      FOLDER/NAME.pem and .key for each name; "good.test" for those without
prints three ports: TLS, TLS 1.1 at most, no TLS at all. FOLDER/seen has a byte for each GET. Ends with its standard input.
"""

import http.server
import os
import pathlib
import ssl
import sys
import threading
import time

folder = pathlib.Path(sys.argv[1])
seen = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", **head):
        self.send_response(code)
        head = {"Content-Type": "text/plain", "Content-Length": str(len(body))} | {
            name.replace("_", "-"): value for name, value in head.items()}
        for name, value in head.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        global seen
        seen += 1
        (folder / "seen").write_text("x" * seen)
        self.show(self.path.split("?")[0])

    def show(self, path):
        """A policy is what HOST.policy holds; "!/path" in it is shown as that path."""
        policy = folder / f"{self.headers['Host'].split(':')[0]}.policy"
        if path == "/.well-known/mta-sts.txt" and policy.exists():
            text = policy.read_bytes()
            if text.startswith(b"!"):
                self.show(text[1:].decode())
            else:
                self.answer(200, text)
        elif path.startswith("/.well-known"):
            self.answer(404)
        elif path.startswith("/status/"):
            self.answer(int(path.rsplit("/", 1)[1]), b"words")
        elif path.startswith("/size/"):
            self.answer(200, b"x" * int(path.rsplit("/", 1)[1]))
        else:
            getattr(self, "show_" + path[1:].replace("-", "_").replace(".", "_").replace("/", "_"))()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"{self.path} {self.headers['Content-Type']} {self.headers['Host']} ".encode() + body)

    def show_seen(self):
        self.answer(200, str(seen).encode())

    def show_head(self):
        self.answer(200, "".join(f"{name}: {value}\n" for name, value in self.headers.items()).encode())

    def show_html(self):
        self.answer(200, b"<html>", Content_Type="text/html; charset=utf-8")

    def show_no_type(self):
        self.answer(200, b"x", Content_Type=None)

    def show_redirect(self):
        self.answer(301, b"", Location=f"https://{self.headers['Host']}/seen")

    def show_cut(self):
        self.answer(200, b"only this", Content_Length="1000")
        self.close_connection = True

    def show_slow(self):
        self.answer(200, b"x", Content_Length="1000")
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def show_endless(self):
        self.answer(200, b"", Content_Length=None, Connection="close")
        for _ in range(10000):
            self.wfile.write(b"y" * 4096)
        self.close_connection = True

    def show_long_head(self):
        self.answer(200, b"x", **{f"X_{number}": "z" * 1000 for number in range(90)})

    def show_no_http(self):
        self.wfile.write(b"\x00\x01 what?\r\n")
        self.close_connection = True

    def show_gone(self):
        self.close_connection = True

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass


def context_of(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def choose(socket, name, _context):
    if name and (folder / f"{name}.pem").exists():
        socket.context = context_of(name)


class Server(http.server.ThreadingHTTPServer):
    context = None

    def finish_request(self, request, client_address):
        try:
            request.settimeout(20)
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        super().finish_request(request, client_address)

    def handle_error(self, *_):
        pass


def serve(context):
    server = Server(("127.0.0.1", 0), Handler)
    server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


good = context_of("good.test")
good.sni_callback = choose
old = context_of("good.test")
old.set_ciphers("DEFAULT@SECLEVEL=0")
old.minimum_version = ssl.TLSVersion.TLSv1
old.maximum_version = ssl.TLSVersion.TLSv1_1
print(serve(good), serve(old), serve(None), flush=True)
sys.stdin.read()
os._exit(0)
