// A webhook handler as tutorials write them: a message comes in, the answer goes out over the
// REST API. Nothing here knows of Signpost; SIGNALWIRE_SPACE_URL says where the API is.
const express = require('express');
const axios = require('axios');

const app = express();

app.use(express.json());

const HELP = 'Corner Shop: text HOURS or LOCATION, or write to help@shop.example. Reply STOP to end.';

const answers = {
  help: HELP,
  hours: "We're open Mon-Fri 9am-5pm.",
  location: '123 Main St, Anytown.',
};

app.post('/incoming-sms', async (req, res) => {
  const { from, to, body } = req.body;
  try {
    await sendSMS(from, to, answers[body.trim().toLowerCase()] || `You said: ${body}`);
    res.json({ status: 'received' });
  } catch (error) {
    console.error(error.message);
    res.status(500).json({ error: 'the answer could not be sent' });
  }
});

app.post('/message-status', (req, res) => {
  console.log(`${req.body.message_id} ${req.body.status}`);
  res.json({ status: 'ok' });
});

async function sendSMS(to, from, body) {
  const response = await axios.post(
    `${process.env.SIGNALWIRE_SPACE_URL}/api/messaging/messages`,
    { from, to, body },
    {
      auth: {
        username: process.env.SIGNALWIRE_PROJECT_ID,
        password: process.env.SIGNALWIRE_API_TOKEN,
      },
    },
  );
  console.log(`${response.data.id} accepted`);
}

const port = process.env.PORT || 5000;
app.listen(port, () => console.log(`listening on ${port}`));
