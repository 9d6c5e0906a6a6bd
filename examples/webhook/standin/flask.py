# The little of Flask that ../flask/app.py uses, for machines without it; standard library only.
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_current = threading.local()


class _Request:
    @property
    def json(self):
        return json.loads(_current.body)


request = _Request()


def jsonify(value):
    return value


class Flask:
    def __init__(self, name):
        self.routes = {}

    def route(self, path, methods):
        def register(view):
            for method in methods:
                self.routes[method, path] = view
            return view

        return register

    def run(self, port):
        routes = self.routes

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                _current.body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                view = routes.get(('POST', self.path))
                try:
                    status, answer = (404, {'error': 'not found'}) if view is None else (200, view())
                except Exception as error:  # as Flask does
                    status, answer = 500, {'error': repr(error)}
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        ThreadingHTTPServer(('127.0.0.1', port), Handler).serve_forever()
