// The official JavaScript SDK as a client of the bench: it answers every inbound on three contexts. The SDK acknowledges
// events by itself. Runs until it is killed.
import { SignalWire } from '@signalwire/realtime-api'

// The SDK appends nothing to a host that has a scheme, and keeps its path.
const client = await SignalWire({
  host: process.env.SIGNPOST_RELAY_URL,
  project: process.env.SIGNALWIRE_PROJECT_ID,
  token: process.env.SIGNALWIRE_API_TOKEN,
})

await client.messaging.listen({
  topics: ['support', 'sales', 'billing'],
  onMessageReceived: async (message) => {
    try {
      await client.messaging.send({
        context: message.context,
        from: message.to,
        to: message.from,
        body: `You said: ${message.body}`,
      })
    } catch (error) {
      console.error('send:', error?.message ?? error)
    }
  },
})
