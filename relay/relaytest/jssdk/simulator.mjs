// The simulator as the tests see it: a process, and its control API.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** How long anything may take before its test fails. The first start compiles the simulator. */
export const DEADLINE = 60_000

const folder = fileURLToPath(new URL('.', import.meta.url))

/**
 * Starts a simulated space and resolves once it accepts connections. SIMULATOR replaces the command; it prints a line of JSON
 * with the members relay and http, and ends with its standard input.
 */
export async function startSimulator() {
  const [command, ...args] = (process.env.SIMULATOR ?? 'go run ./simulator').split(' ')
  const child = spawn(command, args, { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const failed = ended.then(([code]) => Promise.reject(new Error(`the simulator ended with ${code} before it was ready`)))
  failed.catch(() => {})
  const lines = createInterface({ input: child.stdout })
  const [line] = await Promise.race([once(lines, 'line', { signal: AbortSignal.timeout(DEADLINE) }), failed])
  const { relay, http } = JSON.parse(line)

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
    stop: async () => {
      child.stdin.end()
      await ended
    },
  }
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
