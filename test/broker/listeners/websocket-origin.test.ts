import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { startBroker } from '../../helpers/broker.ts'

const CASES: readonly (readonly [string, string | undefined, 403 | 101])[] = [
  ['another site', 'https://evil.example', 403],
  ['the same host by plain HTTP', 'http://good.example', 403],
  ['a longer name', 'https://good.example.evil.example', 403],
  ['a shorter name', 'https://good.exampl', 403],
  ['what a sandboxed page sends', 'null', 403],
  ['an origin of the list', 'https://good.example', 101],
  ['the other one', 'http://localhost:8080', 101],
  ['no Origin, as devices and services send none', undefined, 101],
]

test('websockets_origin', async (t) => {
  const websocketOrigins = ['https://good.example', 'http://localhost:8080']
  const { port } = await startBroker(t, { listener: { protocol: 'websockets', websocketOrigins } })
  for (const [title, origin, expected] of CASES) {
    await t.test(`${title}: ${expected}`, async (t) => {
      const options = origin === undefined ? {} : { origin }
      const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt', options)
      t.after(() => webSocket.terminate())
      webSocket.on('error', () => undefined)
      const status = await Promise.race([
        once(webSocket, 'open').then(() => 101),
        once(webSocket, 'unexpected-response').then(
          ([, response]) => (response as IncomingMessage).statusCode,
        ),
      ])
      assert.equal(status, expected)
    })
  }
})
