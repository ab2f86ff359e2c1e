import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identityOf } from '../../../broker/identity/certificate.ts'
import type { PeerCertificate } from '../../../broker/ports.ts'
import { issuerKey, serialNumber } from '../../../core/names.ts'

const certificate = (commonName: string): PeerCertificate => ({
  commonName,
  issuerKey: issuerKey('a'.repeat(64)),
  serialNumber: serialNumber('0f'),
  fingerprint: 'b'.repeat(64),
  notAfter: 1_900_000_000_000,
})

const REFUSED: readonly (readonly [commonName: string, reason: string])[] = [
  ['', 'cn_empty'],
  ['service_pulse', 'cn_without_slash'],
  ['acme', 'cn_without_slash'],
  [' ', 'cn_without_slash'],
  ['acme\\pump-7', 'cn_without_slash'],
  ['acme\u2215pump-7', 'cn_without_slash'],
  ['acme%2fpump-7', 'cn_without_slash'],
  ['/', 'cn_empty_part'],
  ['acme/', 'cn_empty_part'],
  ['/pump-7', 'cn_empty_part'],
  ['//', 'cn_second_slash'],
  ['acme//pump-7', 'cn_second_slash'],
  ['acme/pump/7', 'cn_second_slash'],
  ['acme/pump-7/', 'cn_second_slash'],
  ['/acme/pump-7', 'cn_second_slash'],
  ['tenant/acme/device/pump-7', 'cn_second_slash'],
  ['#', 'cn_forbidden_character'],
  ['+/pump-7', 'cn_forbidden_character'],
  ['acme/+', 'cn_forbidden_character'],
  ['acme/#', 'cn_forbidden_character'],
  ['#/#', 'cn_forbidden_character'],
  ['ac+me/pump-7', 'cn_forbidden_character'],
  ['acme/pump#7', 'cn_forbidden_character'],
  ['acme/pump\0-7', 'cn_forbidden_character'],
  ['acme\0/pump-7', 'cn_forbidden_character'],
  ['admin\0.evil', 'cn_forbidden_character'],
  ['acme/pump\n7', 'cn_forbidden_character'],
  ['acme/pump\t7', 'cn_forbidden_character'],
  ['acme/pump\u001f7', 'cn_forbidden_character'],
  ['acme/pump\u007f7', 'cn_forbidden_character'],
  ['acme/pump\u00857', 'cn_forbidden_character'],
  ['acme/pump\u009f7', 'cn_forbidden_character'],
  ['acme/pump\uffff', 'cn_forbidden_character'],
  ['acme/pump\ud800', 'cn_forbidden_character'],
  ['acme/\udc00pump', 'cn_forbidden_character'],
  [`acme/${'x'.repeat(196)}`, 'cn_too_long'],
  [`${'x'.repeat(100_000)}/y`, 'cn_too_long'],
]

for (const [commonName, reason] of REFUSED) {
  test(`tenancy on: CN ${JSON.stringify(commonName.slice(0, 40))} is refused: ${reason}`, () => {
    assert.deepEqual(identityOf(certificate(commonName), true), { refused: true, reason })
  })
}

const DEVICES: readonly (readonly [commonName: string, tenant: string, device: string])[] = [
  ['acme/pump-7', 'acme', 'pump-7'],
  ['Acme/Pump-7', 'Acme', 'Pump-7'],
  [' acme / pump-7 ', ' acme ', ' pump-7 '],
  ['$SYS/broker', '$SYS', 'broker'],
  ['../..', '..', '..'],
  ['__proto__/constructor', '__proto__', 'constructor'],
  ['café/cafe\u0301', 'café', 'cafe\u0301'],
  ['日本/デバイス', '日本', 'デバイス'],
  ['a/😀', 'a', '😀'],
  ['acme/%u', 'acme', '%u'],
  [`acme/${'x'.repeat(195)}`, 'acme', 'x'.repeat(195)],
]

for (const [commonName, tenant, device] of DEVICES) {
  test(`tenancy on: CN ${JSON.stringify(commonName.slice(0, 40))} is a device`, () => {
    const verdict = identityOf(certificate(commonName), true)
    assert.deepEqual(verdict, {
      refused: false,
      identity: {
        kind: 'device',
        userName: commonName,
        tenantId: tenant,
        deviceId: device,
        topicPrefix: `tenant/${tenant}/device/${device}/`,
        certificate: certificate(commonName),
      },
    })
    assert.ok(!verdict.refused && Object.isFrozen(verdict.identity))
  })
}

const NOT_USERS: readonly (readonly [commonName: string, reason: string])[] = [
  ['', 'cn_empty'],
  ['admin\0.evil', 'cn_forbidden_character'],
  ['a\nb', 'cn_forbidden_character'],
  ['a\u007fb', 'cn_forbidden_character'],
  ['a\u0090b', 'cn_forbidden_character'],
  ['a\uffff', 'cn_forbidden_character'],
  ['a\ud800', 'cn_forbidden_character'],
  ['x'.repeat(1025), 'cn_too_long'],
]

for (const [commonName, reason] of NOT_USERS) {
  test(`tenancy off: CN ${JSON.stringify(commonName.slice(0, 40))} is refused: ${reason}`, () => {
    assert.deepEqual(identityOf(certificate(commonName), false), { refused: true, reason })
  })
}

for (const commonName of [
  'service_pulse',
  'acme/pump-7',
  'a/b/c',
  '/',
  '#',
  '+',
  '$SYS',
  ' ',
  'x'.repeat(1024),
]) {
  test(`tenancy off: CN ${JSON.stringify(commonName.slice(0, 40))} is the user name`, () => {
    assert.deepEqual(identityOf(certificate(commonName), false), {
      refused: false,
      identity: {
        kind: 'certificate',
        userName: commonName,
        certificate: certificate(commonName),
      },
    })
  })
}
