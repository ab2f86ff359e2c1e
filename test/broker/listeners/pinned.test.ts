/** Self-signed certificates on a TLS listener: let in by their pin alone, as whom the pin says. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { connect } from 'node:tls'
import type { ConnectionObserver } from '../../../broker/ports.ts'
import type { Pinned } from '../../../pki/pins.ts'
import { startBroker } from '../../helpers/broker.ts'
import { makeCa, type TestCertificate } from '../../helpers/certificates.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { mutualTls, TLS_VERSIONS } from '../../helpers/mutual-tls.ts'
import { connectBytes, RawClient } from '../../helpers/raw-client.ts'

const selfSigned = (name: string, days = 30): TestCertificate =>
  makeCa(name, { keyUsage: null, notAfter: Date.now() + days * 86_400_000 })
const fingerprintOf = ({ certificatePem }: TestCertificate): string =>
  new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '').toLowerCase()

class PinsInMemory {
  readonly #names = new Map<string, Pinned>()

  pin(certificate: TestCertificate, commonName: string): this {
    this.#names.set(fingerprintOf(certificate), { kind: 'device', commonName })
    return this
  }

  remove(certificate: TestCertificate): void {
    this.#names.delete(fingerprintOf(certificate))
  }

  pinned(fingerprint: string): Pinned | undefined {
    return this.#names.get(fingerprint)
  }
}

const LET_IN = [0x20, 2, 0, 0]

for (const version of TLS_VERSIONS) {
  const pinned = selfSigned('acme/pump-9')
  const expired = selfSigned('x', -1)

  for (const [what, presented, reason] of [
    ['unpinned', selfSigned('acme/pump-7'), 'unknown_ca'],
    ['of the name of a pinned one', selfSigned('acme/pump-9'), 'unknown_ca'],
    ['pinned and expired', expired, 'expired'],
  ] as const) {
    test(`${version}: self-signed, ${what}: not one byte of MQTT`, async (t) => {
      const pins = new PinsInMemory().pin(pinned, 'acme/pump-7').pin(expired, 'acme/pump-8')
      const pki = mutualTls({ pins })
      const { port, metrics } = await startBroker(t, { ...pki.listener(), tenancy: true })
      const client = new RawClient(connect(pki.options(port, presented, version)))
      client.send(connectBytes({ clientId: 'x' }))
      await client.closed
      assert.deepEqual(client.unread, [])
      const { values } = await metrics.connectsRefused.get()
      assert.deepEqual(
        values.map(({ labels, value }) => [labels.reason, value]),
        [[reason, 1]],
      )
    })
  }

  test(`${version}: a pinned certificate is the device of its pin, and ends with it`, async (t) => {
    const pins = new PinsInMemory().pin(pinned, 'acme/pump-7')
    const pki = mutualTls({ pins })
    const memory = new RememberingLog()
    const { port, broker } = await startBroker(t, {
      ...pki.listener({ sessionTickets: true }),
      tenancy: true,
      log: memory.log,
    })
    const socket = connect(pki.options(port, pinned, version))
    let session: Buffer | undefined
    socket.on('session', (ticket: Buffer) => (session = ticket))
    const client = new RawClient(socket)
    client.send(connectBytes({ clientId: 'x' }))
    assert.deepEqual([...(await client.next()).bytes], LET_IN)
    assert.equal(memory.last('session.opened')?.['deviceId'], 'pump-7')
    assert.equal(broker.closeRevoked(), 0)

    pins.remove(pinned)
    assert.equal(broker.closeRevoked(), 1)
    await client.closed
    assert.ok(session !== undefined)
    const again = new RawClient(connect({ ...pki.options(port, pinned, version), session }))
    again.send(connectBytes({ clientId: 'x' }))
    await again.closed
    assert.deepEqual(again.unread, [], 'a resumed session is judged as any other')

    pins.pin(pinned, 'acme/pump-8')
    const other = new RawClient(connect(pki.options(port, pinned, version)))
    t.after(() => other.destroy())
    other.send(connectBytes({ clientId: 'x' }))
    assert.deepEqual([...(await other.next()).bytes], LET_IN)
    assert.equal(memory.last('session.opened')?.['deviceId'], 'pump-8')
  })
}

test('with use_subject_as_username a pinned certificate is who its pin says', async (t) => {
  const pinned = selfSigned('CN=admin')
  const pki = mutualTls({ pins: new PinsInMemory().pin(pinned, 'acme/pump-7') })
  const names: (string | undefined)[] = []
  const observer: ConnectionObserver = {
    opened: ({ publisher }) => names.push(publisher.userName),
    closed: () => undefined,
    certificateRefused: () => undefined,
  }
  const { port } = await startBroker(t, {
    ...pki.listener({ useSubjectAsUsername: true }),
    observer,
  })
  const client = await pki.connect(t, port, pinned)
  assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  assert.deepEqual(names, ['acme/pump-7'])
})
