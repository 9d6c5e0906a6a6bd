// The simulator as the tests see it: a process, and its control API.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** How long anything may take before its test fails. */
export const DEADLINE = 60_000

/** How long the simulator may take to compile: everything, on a machine that has built nothing yet. */
export const BUILD_DEADLINE = 600_000

const folder = fileURLToPath(new URL('.', import.meta.url))

/** Builds the command that serves the simulator, in a directory that `remove` deletes. */
async function build() {
  const directory = await mkdtemp(join(tmpdir(), 'signpost-jssdk-'))
  const program = join(directory, 'signpost')
  await promisify(execFile)('go', ['build', '-o', program, '../../../cmd/signpost'], { cwd: folder, timeout: BUILD_DEADLINE })
  return { command: [program, 'sim', '--json'], remove: () => rm(directory, { recursive: true }) }
}

/**
 * Starts a simulated space and resolves once it accepts connections. SIMULATOR replaces the command; it prints a JSON object
 * with the members relay and http, and ends on SIGTERM.
 */
export async function startSimulator() {
  const { command, remove } = process.env.SIMULATOR
    ? { command: process.env.SIMULATOR.split(' '), remove: async () => {} }
    : await build()
  const child = spawn(command[0], command.slice(1), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit')
  ended.catch(() => {}) // whoever stops it is told
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    await remove()
  }
  let addresses
  try {
    addresses = await announced(child)
  } catch (error) {
    await stop()
    throw error
  }
  const { relay, http } = addresses

  const call = async (method, path, body) => {
    const response = await fetch(http + path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(DEADLINE),
    })
    const answer = await response.json()
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`)
    }
    return answer
  }

  /** Waits for frames that match the query, newer than the sequence number `after`. */
  const frames = (query) => call('GET', `/control/frames?${new URLSearchParams({ wait: '30s', ...query })}`)

  return {
    relay,
    call,
    frames,
    /** The sequence number of the newest frame: what comes later has a larger one. */
    now: async () => (await frames({ wait: '0s', limit: 20_000 })).at(-1)?.seq ?? 0,
    /** The connected session that receives a context. */
    session: async (context) => {
      const found = (await call('GET', '/control/sessions')).find((s) => s.contexts.includes(context))
      if (!found) {
        throw new Error(`no session receives ${context}`)
      }
      return found
    },
    /** A text message from a person; resolves once it is acknowledged. */
    inject: (sms) => call('POST', '/control/inject', { wait: '30s', ...sms }),
    stop,
  }
}

/** The object that a simulator prints when it is ready. What it logs is shown only when it is not. */
async function announced(child) {
  let text = ''
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    log = (log + chunk).slice(-4096)
  })
  child.stdout.setEncoding('utf8')
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    text += chunk
    try {
      const addresses = JSON.parse(text)
      child.stdout.resume()
      return addresses
    } catch {
      // not whole yet
    }
  }
  throw new Error(`the simulator ended before it was ready: ${text}${log}`)
}

/** A queue between the callbacks of the SDK and a test that waits for what they are given. */
export class Inbox {
  #items = []
  #wake = () => {}

  /** Takes an item in; made to be passed as a callback. */
  put = (item) => {
    this.#items.push(item)
    this.#wake()
  }

  /** Removes and returns the first item that matches, now or later. */
  async take(what, match = () => true) {
    const deadline = AbortSignal.timeout(DEADLINE)
    for (;;) {
      const i = this.#items.findIndex(match)
      if (i >= 0) {
        return this.#items.splice(i, 1)[0]
      }
      await new Promise((resolve, reject) => {
        this.#wake = resolve
        deadline.onabort = () => reject(new Error(`waited in vain for ${what}; there are ${this.#items.length} others`))
      })
    }
  }
}
