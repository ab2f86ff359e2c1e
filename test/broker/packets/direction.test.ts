import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertClientPacket } from '../../../broker/packets/index.ts'
import { frameOf, hex, refuseEach } from './corpus.ts'

refuseEach([
  ['from a client', '20 02 00 00', 'CONNACK: only a server sends it (MQTT 3.1.1 §2.2.1)'],
  ['from a client', '90 03 00 01 00', 'SUBACK: only a server sends it (MQTT 3.1.1 §2.2.1)'],
  ['from a client', 'b0 02 00 01', 'UNSUBACK: only a server sends it (MQTT 3.1.1 §2.2.1)'],
  ['from a client', 'd0 00', 'PINGRESP: only a server sends it (MQTT 3.1.1 §2.2.1)'],
])

test('every type a client may send passes', () => {
  for (const first of ['10', '30', '40', '50', '62', '70', '82', 'a2', 'c0', 'e0']) {
    assertClientPacket(frameOf(hex(`${first}020001`)))
  }
  assert.throws(() => assertClientPacket(frameOf(hex('20020001'))))
})
