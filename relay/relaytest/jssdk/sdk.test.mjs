// The simulator against the official JavaScript SDK, as npm has it: whatever the SDK's users do with messages must work.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { SignalWire } from '@signalwire/realtime-api'
import { BUILD_DEADLINE, DEADLINE, Inbox, startSimulator } from './simulator.mjs'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const OURS = '+12025559901'
const THEIRS = '+12025550123'

let simulator
before(async () => {
  simulator = await startSimulator()
}, { timeout: BUILD_DEADLINE + DEADLINE })
after(() => simulator?.stop())

/** A client that listens to one topic. It is disconnected when the test ends. */
async function listener(t, topic, listen) {
  const client = await SignalWire({
    host: simulator.relay,
    project: '6f7d1c40-52a1-4b0e-9d57-1f0c2a9be001',
    token: 'PTexample',
    logLevel: 'error',
    ...(listen && { listen }),
  })
  t.after(() => client.disconnect())
  const received = new Inbox()
  const updated = new Inbox()
  const unlisten = await client.messaging.listen({
    topics: [topic],
    onMessageReceived: received.put,
    onMessageUpdated: updated.put,
  })
  return { client, received, updated, unlisten }
}

/** Takes the states of one message, in the order of their arrival, up to and with the last one. */
async function statesOf(updated, id, last) {
  const states = []
  do {
    const message = await updated.take(`a state of the message, after ${states}`, (m) => m.id === id)
    states.push(message.state)
  } while (states.at(-1) !== last)
  return states
}

describe('official JavaScript SDK', { timeout: 4 * DEADLINE }, () => {
  test('connects and listens', async (t) => {
    const { client } = await listener(t, 'hello')
    assert.equal(client.authStatus, 'authorized')
    const session = await simulator.session('hello')
    assert.deepEqual(session.contexts, ['hello'])
    const [connect] = await simulator.frames({ dir: 'in', method: 'signalwire.connect', conn: session.conn })
    assert.match(connect.body.params.agent, /realtime-api/)
    assert.equal(connect.body.params.event_acks, true)
  })

  test('receives a message and acknowledges it', async (t) => {
    const { received } = await listener(t, 'inbound')
    const injected = await simulator.inject({
      context: 'inbound', from: THEIRS, to: OURS, body: 'Grüße 👋 "quoted"\nsecond line', tags: ['vip'],
    })
    assert.equal(injected.acked, true)
    const message = await received.take('the message')
    assert.equal(message.id, injected.message_id)
    assert.equal(message.context, 'inbound')
    assert.equal(message.from, THEIRS)
    assert.equal(message.to, OURS)
    assert.equal(message.body, 'Grüße 👋 "quoted"\nsecond line')
    assert.equal(message.direction, 'inbound')
    assert.equal(message.state, 'received')
    assert.deepEqual(message.media, [])
    assert.deepEqual(message.tags, ['vip'])
    assert.equal(message.segments, 1)
  })

  test('receives pictures', async (t) => {
    const { received } = await listener(t, 'pictures')
    const media = ['https://example.com/a.jpg', 'https://example.com/b.png']
    await simulator.inject({ context: 'pictures', from: THEIRS, to: OURS, body: '', media })
    const message = await received.take('the message')
    assert.equal(message.body, '')
    assert.deepEqual(message.media, media)
  })

  test('gets the messages of its own topics only', async (t) => {
    const { received } = await listener(t, 'mine')
    const other = await simulator.inject({ context: 'not-mine', from: THEIRS, to: OURS, body: 'no', wait: '0s' })
    assert.equal(other.deliveries, 0)
    await simulator.inject({ context: 'mine', from: THEIRS, to: OURS, body: 'yes' })
    assert.equal((await received.take('the message')).body, 'yes')
  })

  test('replies, and sees the reply delivered', async (t) => {
    const { client, received, updated } = await listener(t, 'replies')
    await simulator.inject({ context: 'replies', from: THEIRS, to: OURS, body: 'hi' })
    const message = await received.take('the message')
    const sent = await client.messaging.send({
      context: message.context, from: message.to, to: message.from, body: `You said: ${message.body}`, tags: ['k-42'],
    })
    assert.equal(sent.code, '200')
    assert.match(sent.messageId, UUID)
    const [text] = await simulator.call('GET', `/control/handsets/${encodeURIComponent(THEIRS)}/messages?wait=30s`)
    assert.equal(text.body, 'You said: hi')
    assert.equal(text.from, OURS)
    assert.equal(text.message_id, sent.messageId)

    const first = await updated.take('the first state')
    assert.equal(first.id, sent.messageId)
    assert.equal(first.direction, 'outbound')
    assert.deepEqual(first.tags, ['k-42'])
    const states = [first.state, ...(await statesOf(updated, sent.messageId, 'delivered'))]
    assert.deepEqual(states, ['queued', 'initiated', 'sent', 'delivered'])
  })

  test('learns why a message was not delivered', async (t) => {
    const { client, updated } = await listener(t, 'failures')
    const sent = await client.messaging.send({ context: 'failures', from: OURS, to: '+12025559002', body: 'hi' })
    const message = await updated.take('the failure', (m) => m.id === sent.messageId && m.state === 'undelivered')
    assert.equal(message.reason, 'carrier_blocked')
  })

  test('is told that a send is refused', async (t) => {
    const { client } = await listener(t, 'refusals')
    await assert.rejects(
      client.messaging.send({ context: 'refusals', from: OURS, to: THEIRS }),
      'a send with neither body nor media is accepted',
    )
    const sent = await client.messaging.send({ context: 'refusals', from: OURS, to: THEIRS, body: 'and goes on' })
    assert.equal(sent.code, '200')
  })

  test('answers pings', async (t) => {
    await listener(t, 'pings')
    const { name } = await simulator.session('pings')
    const since = await simulator.now()
    await simulator.call('POST', `/control/sessions/${name}/ping`)
    const [ping] = await simulator.frames({ dir: 'out', method: 'signalwire.ping', session: name, after: since })
    let pong
    for (let seq = ping.seq; !pong; ) {
      const frames = await simulator.frames({ dir: 'in', session: name, after: seq })
      assert.ok(frames.length, 'no pong came')
      pong = frames.find((f) => f.id === ping.id)
      seq = frames.at(-1).seq
    }
    assert.equal(pong.body.result.timestamp, ping.body.params.timestamp)
  })

  test('comes back after a reset, listens again and receives', async (t) => {
    const session = new Inbox()
    const { client, received, updated } = await listener(t, 'resets', {
      onConnected: () => session.put('connected'),
      onReconnecting: () => session.put('reconnecting'),
    })
    const { name, conn } = await simulator.session('resets')
    const since = await simulator.now()
    await simulator.call('POST', `/control/sessions/${name}/drop`)
    await session.take('the loss', (event) => event === 'reconnecting')
    const [again] = await simulator.frames({ dir: 'out', event_type: 'signalwire.authorization.state', after: since })
    assert.notEqual(again.conn, conn)
    await simulator.frames({ dir: 'in', method: 'signalwire.receive', conn: again.conn })

    const injected = await simulator.inject({ context: 'resets', from: THEIRS, to: OURS, body: 'still there?' })
    assert.equal(injected.deliveries, 1)
    assert.equal(injected.acked, true)
    assert.equal((await received.take('the message after the reset')).body, 'still there?')
    const sent = await client.messaging.send({ context: 'resets', from: OURS, to: THEIRS, body: 'still here' })
    assert.deepEqual(await statesOf(updated, sent.messageId, 'delivered'), ['queued', 'initiated', 'sent', 'delivered'])
  })

  test('follows signalwire.disconnect to a new connection', async (t) => {
    const { received } = await listener(t, 'restarts')
    const { name, conn } = await simulator.session('restarts')
    const since = await simulator.now()
    await simulator.call('POST', `/control/sessions/${name}/disconnect`, { restart: true })
    const [again] = await simulator.frames({ dir: 'in', method: 'signalwire.receive', after: since })
    assert.notEqual(again.conn, conn)
    await simulator.inject({ context: 'restarts', from: THEIRS, to: OURS, body: 'after the restart' })
    assert.equal((await received.take('the message after the restart')).body, 'after the restart')
  })

  test('stops listening', async (t) => {
    const { unlisten } = await listener(t, 'goodbye')
    await unlisten()
    await assert.rejects(simulator.session('goodbye'))
    const injected = await simulator.inject({ context: 'goodbye', from: THEIRS, to: OURS, body: 'anyone?', wait: '0s' })
    assert.equal(injected.deliveries, 0)
  })

  test('is refused with wrong credentials', async (t) => {
    await simulator.call('PUT', '/control/credentials', { projects: { 'some-project': 'some-token' } })
    t.after(() => simulator.call('PUT', '/control/credentials', {}))
    const refused = new Inbox()
    const client = await SignalWire({
      host: simulator.relay, project: 'some-project', token: 'wrong', logLevel: 'silent', listen: { onAuthError: refused.put },
    })
    t.after(() => client.disconnect())
    assert.equal((await refused.take('the refusal')).code, -32002)
    assert.equal(client.authStatus, 'unauthorized')
  })

  test('broke no rule on the way, but for the send that had to be refused', async () => {
    const severe = (await simulator.call('GET', '/control/violations')).filter((v) => v.severe)
    assert.deepEqual(severe.map((v) => v.rule), ['send-params'])
    const stats = await simulator.call('GET', '/control/stats')
    assert.equal(stats.acks_unknown + stats.acks_duplicate + stats.acks_wrong_conn, 0)
  })
})
