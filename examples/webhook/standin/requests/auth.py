import base64


class HTTPBasicAuth:
    def __init__(self, username, password):
        pair = base64.b64encode(f'{username}:{password}'.encode()).decode()
        self.header = f'Basic {pair}'
