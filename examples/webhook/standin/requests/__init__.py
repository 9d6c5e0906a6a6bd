# The little of requests that ../../flask/app.py uses, for machines without it; standard
# library only.
import json as _json
import urllib.error
import urllib.request


class HTTPError(Exception):
    pass


class _Response:
    def __init__(self, status_code, text):
        self.status_code = status_code
        self.text = text

    def json(self):
        return _json.loads(self.text)

    def raise_for_status(self):
        if self.status_code >= 400:
            raise HTTPError(f'{self.status_code}: {self.text}')


def post(url, auth, json, timeout):
    req = urllib.request.Request(url, data=_json.dumps(json).encode(), method='POST')
    req.add_header('Content-Type', 'application/json')
    req.add_header('Authorization', auth.header)
    try:
        with urllib.request.urlopen(req, timeout=timeout) as answer:
            return _Response(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return _Response(error.code, error.read().decode())
