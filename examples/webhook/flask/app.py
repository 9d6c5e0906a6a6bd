# A webhook handler as tutorials write them: a message comes in, the answer goes out over the
# REST API. Nothing here knows of Signpost; SIGNALWIRE_SPACE_URL says where the API is.
import os

import requests
from flask import Flask, jsonify, request
from requests.auth import HTTPBasicAuth

app = Flask(__name__)

project_id = os.getenv('SIGNALWIRE_PROJECT_ID')
api_token = os.getenv('SIGNALWIRE_API_TOKEN')
space_url = os.getenv('SIGNALWIRE_SPACE_URL')

HELP = 'Corner Shop: text HOURS or LOCATION, or write to help@shop.example. Reply STOP to end.'

ANSWERS = {
    'help': HELP,
    'hours': "We're open Mon-Fri 9am-5pm.",
    'location': '123 Main St, Anytown.',
}


@app.route('/incoming-sms', methods=['POST'])
def handle_sms():
    data = request.json

    from_number = data.get('from')
    to_number = data.get('to')
    body = data.get('body')

    answer = ANSWERS.get(body.strip().lower(), f'You said: {body}')
    send_sms(to=from_number, from_number=to_number, body=answer)

    return jsonify({'status': 'received'})


@app.route('/message-status', methods=['POST'])
def handle_message_status():
    data = request.json
    print(f"{data.get('message_id')} {data.get('status')}", flush=True)
    return jsonify({'status': 'ok'})


def send_sms(to, from_number, body):
    response = requests.post(
        f'{space_url}/api/messaging/messages',
        auth=HTTPBasicAuth(project_id, api_token),
        json={'from': from_number, 'to': to, 'body': body},
        timeout=10,
    )
    response.raise_for_status()
    print(f"{response.json()['id']} accepted", flush=True)


if __name__ == '__main__':
    app.run(port=int(os.getenv('PORT', '5000')))
