import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkBodyless, parseAcknowledgement } from '../../../broker/packets/index.ts'
import { frameOf, hex, refuseEach, type BadPacket } from './corpus.ts'

const ACKNOWLEDGEMENTS = [
  ['PUBACK', '40', '3.4.1'],
  ['PUBREC', '50', '3.5.1'],
  ['PUBREL', '62', '3.6.1'],
  ['PUBCOMP', '70', '3.7.1'],
] as const

const BODYLESS = [
  ['PINGREQ', 'c0', '3.12.1'],
  ['DISCONNECT', 'e0', '3.14.1'],
] as const

refuseEach([
  ...ACKNOWLEDGEMENTS.flatMap(([name, first, section]): BadPacket[] => [
    ['no body', `${first} 00`, `${name}: Remaining Length is 0, not 2 (MQTT 3.1.1 §${section})`],
    [
      'one byte',
      `${first} 01 07`,
      `${name}: Remaining Length is 1, not 2 (MQTT 3.1.1 §${section})`,
    ],
    [
      'a reason code of MQTT 5',
      `${first} 03 00 07 00`,
      `${name}: Remaining Length is 3, not 2 (MQTT 3.1.1 §${section})`,
    ],
    [
      'properties of MQTT 5',
      `${first} 04 00 07 00 00`,
      `${name}: Remaining Length is 4, not 2 (MQTT 3.1.1 §${section})`,
    ],
    [
      'packet identifier 0',
      `${first} 02 00 00`,
      `${name}: Packet Identifier is 0 (MQTT 3.1.1 §2.3.1)`,
    ],
  ]),
  ...BODYLESS.flatMap(([name, first, section]): BadPacket[] => [
    [
      'one byte',
      `${first} 01 00`,
      `${name}: Remaining Length is 1, not 0 (MQTT 3.1.1 §${section})`,
    ],
    [
      'two bytes',
      `${first} 02 00 00`,
      `${name}: Remaining Length is 2, not 0 (MQTT 3.1.1 §${section})`,
    ],
  ]),
])

test('an acknowledgement is read, from identifier 1 to 65 535', () => {
  for (const [, first] of ACKNOWLEDGEMENTS) {
    for (const packetId of [1, 255, 256, 65_535]) {
      const id = packetId.toString(16).padStart(4, '0')
      assert.equal(parseAcknowledgement(frameOf(hex(`${first}02${id}`))), packetId)
      // Lengths written longer than they need.
      const longer = hex(`${first}828000${id}`)
      assert.equal(parseAcknowledgement(frameOf(longer)), packetId)
    }
  }
})

test('a PINGREQ and a DISCONNECT of no body pass', () => {
  for (const [, first] of BODYLESS) {
    checkBodyless(frameOf(hex(`${first}00`)))
    checkBodyless(frameOf(hex(`${first}808000`)))
  }
})
