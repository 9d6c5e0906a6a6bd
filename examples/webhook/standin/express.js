// The little of Express that ../express/app.js uses, for machines without it.
const http = require('http');

function express() {
  const routes = {};
  return {
    use() {},
    post(path, view) {
      routes[path] = view;
    },
    listen(port, then) {
      const server = http.createServer((req, res) => {
        let text = '';
        req.on('data', (part) => { text += part; });
        req.on('end', () => {
          res.status = (code) => { res.statusCode = code; return res; };
          res.json = (value) => {
            res.setHeader('Content-Type', 'application/json');
            res.end(JSON.stringify(value));
          };
          const view = req.method === 'POST' && routes[req.url];
          if (!view) {
            res.status(404).json({ error: 'not found' });
            return;
          }
          req.body = JSON.parse(text);
          view(req, res);
        });
      });
      return server.listen(port, '127.0.0.1', then);
    },
  };
}

express.json = () => {};

module.exports = express;
