// The little of axios that ../express/app.js uses, for machines without it.
const http = require('http');

function post(url, body, { auth }) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, {
      method: 'POST',
      auth: `${auth.username}:${auth.password}`,
      headers: { 'Content-Type': 'application/json' },
    }, (res) => {
      let text = '';
      res.on('data', (part) => { text += part; });
      res.on('end', () => {
        if (res.statusCode >= 300) {
          reject(new Error(`Request failed with status code ${res.statusCode}`));
          return;
        }
        resolve({ status: res.statusCode, data: JSON.parse(text) });
      });
    });
    req.on('error', reject);
    req.end(JSON.stringify(body));
  });
}

module.exports = { post };
